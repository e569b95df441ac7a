"""An outcome's attachments, stored before the outcome that names them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from worker.openiap.client import Client
from worker.openiap.errors import FileTransferError
from worker.openiap.pool import Pool
from worker.openiap.workitem import Workitem, WorkitemFile

SLOW_LINK: Final = 100_000
"""Bytes per second below which a transfer counts as stuck."""


async def store_attachments(
    pool: Pool, workitem: Workitem, attachments: Sequence[tuple[str, str]]
) -> list[WorkitemFile]:
    """Store files; the metadata lets deleting and purging find them (server.md, Files).

    Args:
        attachments: the name and local path of each.

    Raises:
        FileTransferError: one is not there any more.
        OpenIAPError: the server could not be reached, or refuses.
    """
    metadata = {"wi": workitem.id, "wiq": workitem.wiq, "wiqid": workitem.wiqid}
    stored: list[WorkitemFile] = []
    for name, path in attachments:
        if not Path(path).is_file():
            raise FileTransferError(f"the attachment {name} vanished before it was stored")

        async def store(client: Client, name: str = name, path: str = path) -> str:
            return await client.upload(
                path, name, metadata=metadata, timeout=transfer_time(Path(path))
            )

        stored.append(WorkitemFile(name, await pool.call(store, turn="first")))
    return stored


def transfer_time(path: Path) -> float:
    """Return the seconds a file may take: a minute, and what a slow link needs for its size."""
    return 60 + path.stat().st_size / SLOW_LINK
