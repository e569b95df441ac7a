"""The stored files of items: fetched, and asked for their sizes, over whatever link is ready.

What only reads is done again where the link breaks meanwhile: a link that was away for a moment is
the worker's affair, and costs no item an attempt. A handler's own limits, and the stop of the
worker, end the waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from worker.openiap.client import Client
from worker.openiap.errors import IN_A_CHILD, Disconnected, NotConnected
from worker.openiap.fields import number
from worker.openiap.limiter import Turn
from worker.openiap.pool import Pool
from worker.openiap.workitem import WorkitemFile

DOWNLOAD_TIMEOUT: Final = 3600.0
"""Seconds; a link that dies meanwhile is noticed long before."""
MOST_BREAKS: Final = 5
"""Of links over one file: then it is the file's doing."""
NOTICED: Final = 0.05
"""Seconds until a pool knows that its link is gone."""

T = TypeVar("T")


class StoredFiles:
    """Of one worker's items.

    Args:
        pool: the links.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fetch(self, file: WorkitemFile, folder: Path) -> Path:
        """Fetch a file whole into a folder and return its path.

        Raises:
            OpenIAPError: it cannot be had; a link that breaks is waited for.
        """
        return await self._again(
            lambda client: client.download(
                file.id, folder, file.filename, timeout=DOWNLOAD_TIMEOUT
            ),
            turn="first",
        )

    async def size(self, file_id: str) -> int:
        """Return a file's stored length in bytes.

        Raises:
            OpenIAPError: see ``fetch``.
        """
        found = await self._again(
            lambda client: client.query("fs.files", {"_id": file_id}, {"length": 1}, top=1)
        )
        return number(found[0].get("length")) if found else 0

    async def _again(
        self, operation: Callable[[Client], Awaitable[T]], *, turn: Turn = "then"
    ) -> T:
        breaks = 0
        while True:
            await self._pool.wait_ready()
            try:
                return await self._pool.call(operation, turn=turn)
            except NotConnected as error:  # nothing was sent
                if error.text == IN_A_CHILD:
                    raise
                await asyncio.sleep(NOTICED)
            except Disconnected:
                breaks += 1
                if breaks == MOST_BREAKS:
                    raise
                await asyncio.sleep(NOTICED)
