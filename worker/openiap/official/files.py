"""Stored files with the official client: whole, or an error.

1. Uploads through the library, never inside push and update: those panic and hang when they fail.
2. Downloads over HTTP, where the whole file comes every time; where HTTP cannot be reached, through
   the library, again until it is whole. Either way the length is the stored one.
"""

import asyncio
import hashlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from worker.openiap.errors import (
    FileTransferError,
    LocalFileError,
    NotConnected,
    OpenIAPError,
    ServerError,
)
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.functions import NativeFunction
from worker.openiap.official.items import native_text
from worker.openiap.official.link import Link
from worker.openiap.official.pending_call import PendingCall
from worker.openiap.part_file import DISK, TABLES, check_length, discard

if TYPE_CHECKING:
    from worker.openiap.download import Download

LIBRARY_ATTEMPTS: Final = 8

_OS_ERROR: Final = re.compile(r"\(os error (\d{1,4})\)")
"""In Rust's words."""


class Files:
    """Stored files of one client; a ``FileBackend``."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._download: Download | None = None
        self._library_downloads = asyncio.Lock()

    async def upload(
        self,
        path: Path,
        filename: str,
        mimetype: str,
        metadata: str,
        collectionname: str,
        seconds: float,
    ) -> str:
        """Store a local file and return its id."""
        request = abi.UploadRequest(
            filepath=native_text(str(path)),
            filename=native_text(filename),
            mimetype=native_text(mimetype),
            metadata=native_text(metadata),
            collectionname=native_text(collectionname),
        )
        id: str = await self._call(functions.UPLOAD, request, "upload", seconds)
        return id

    async def fetch(
        self, id: str, part: Path, length: int, collectionname: str, seconds: float
    ) -> None:
        """Write a stored file to ``part``: over HTTP, and through the library if that fails."""
        try:
            await self._over_http(id, part, seconds)
            check_length(part, length, id=id)
        except LocalFileError:
            raise  # the library has no other disk
        except (NotConnected, FileTransferError) as error:
            await self._through_library(id, part, length, collectionname, seconds, error)

    async def _over_http(self, id: str, part: Path, seconds: float) -> None:
        link = self._link
        if self._download is None:
            # Here and not above: its HTTP client would be a part of every start (download.py).
            from worker.openiap.download import Download

            self._download = Download(link.web, link.verify)
        await self._download.fetch_signed_in(
            id, part, link.token, lambda: link.fresh_token(seconds)
        )

    async def _through_library(
        self,
        id: str,
        part: Path,
        length: int,
        collectionname: str,
        seconds: float,
        before: OpenIAPError,
    ) -> None:
        """Fetch through the library until two whole copies agree.

        Its transfers go through one temporary file per second and machine: a copy of the right
        length may still hold what another transfer wrote, and the file may be gone before it is
        moved. Then the next second is waited for, whose file is another.
        """
        request = abi.DownloadRequest(
            collectionname=native_text(collectionname),
            id=native_text(id),
            folder=native_text(str(part.parent)),
            filename=native_text(part.name),
        )
        seen: set[bytes] = set()
        async with self._library_downloads:
            for _ in range(LIBRARY_ATTEMPTS):
                try:
                    await self._call(functions.DOWNLOAD, request, "download", seconds)
                except ServerError as error:
                    if not _taken(error.text):
                        raise
                    await asyncio.sleep(1 - time.time() % 1)
                    continue
                if await asyncio.to_thread(_size, part) == length:
                    digest = await asyncio.to_thread(_digest, part)
                    if digest in seen:
                        return
                    seen.add(digest)
                discard(part)
        raise FileTransferError(
            f"file {id} did not come whole through the library, nor over HTTP ({before.text})",
            operation="download",
        )

    async def _call(
        self, function: NativeFunction, request: Any, operation: str, seconds: float
    ) -> Any:
        call = PendingCall(self._link.signed_in(operation))
        call.start(function, request)
        try:
            return await call.answer(operation, seconds)
        except ServerError as error:
            if of_this_machine(error.text):
                raise LocalFileError(error.text, operation=operation) from None
            raise

    def removal_problem(self, filename: str) -> str:
        """Return why a file cannot be removed: the library would upload a local one of its name."""
        if not Path(filename).exists():
            return ""
        return (
            f"the file {filename} cannot be removed from the item while a local file of that name"
            " is in the working directory"
        )

    async def close(self) -> None:
        """Close the connections over HTTP."""
        download, self._download = self._download, None
        if download is not None:
            await download.close()


def of_this_machine(text: str) -> bool:
    """Tell whether it is not the server that refused, but the disk below the library."""
    numbers = _OS_ERROR.findall(text)
    return any(int(number) in DISK | TABLES for number in numbers)


def _taken(text: str) -> bool:
    """Tell whether the library found its temporary file gone: another transfer had the same."""
    return text.startswith("Failed to move file") and "(os error 2)" in text


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
