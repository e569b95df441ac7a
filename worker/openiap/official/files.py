"""Files in and out of OpenIAP with the official client: whole, under safe names, or an error.

1. Uploads through the library, after the local file was found readable: the library's own uploads
   inside push and update panic and hang when they fail.
2. Downloads over HTTP, where the whole file comes every time; where HTTP cannot be reached, through
   the library, again until it is whole. Either way the length is the stored one.
"""

import asyncio
import hashlib
import mimetypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.openiap.errors import (
    AccessDenied,
    FileTransferError,
    NotConnected,
    OpenIAPError,
    ServerError,
)
from worker.openiap.filenames import safe_name
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.documents import OfficialDocuments
from worker.openiap.official.items import native_text
from worker.openiap.part_file import discard, finish, part_of
from worker.openiap.types import FileArgument, JsonText
from worker.openiap.values import argument_text
from worker.openiap.workitem import JsonObject, WorkitemFile

if TYPE_CHECKING:
    from worker.openiap.download import Download

FILES: Final = "fs.files"
LIBRARY_TRIES: Final = 8


class OfficialFiles(OfficialDocuments):
    """The documented calls on files; see ``worker.openiap.client.Client``."""

    _download: "Download | None" = None
    _library_downloads: asyncio.Lock | None = None

    async def upload(
        self,
        filepath: str | Path,
        filename: str = "",
        mimetype: str = "",
        metadata: JsonText | None = None,
        collectionname: str = FILES,
        *,
        timeout: float | None = None,
    ) -> str:
        """Store a local file and return its id.

        Raises:
            FileTransferError: the local file is missing or unreadable; nothing was sent.
        """
        path = Path(filepath)
        await asyncio.to_thread(check_readable, path)
        name = filename or path.name
        request = abi.UploadRequest(
            filepath=native_text(str(path)),
            filename=native_text(name),
            mimetype=native_text(
                mimetype or mimetypes.guess_type(name)[0] or "application/octet-stream"
            ),
            metadata=native_text(argument_text(metadata)),
            collectionname=native_text(collectionname),
        )
        id: str = await self._call(functions.UPLOAD, request, operation="upload", timeout=timeout)
        return id

    async def download(
        self,
        id: str,
        folder: str | Path,
        filename: str = "",
        collectionname: str = FILES,
        *,
        timeout: float | None = None,
    ) -> Path:
        """Fetch a stored file whole into ``folder`` and return its path.

        Raises:
            FileTransferError: unknown file, unsafe name, or a length that is not the stored one.
        """
        seconds = self._seconds(timeout)
        try:
            async with asyncio.timeout(seconds):
                return await self._fetch(id, Path(folder), filename, collectionname, timeout)
        except TimeoutError:
            raise FileTransferError(
                f"file {id} did not come within {seconds:g} s", operation="download"
            ) from None

    async def _fetch(
        self, id: str, folder: Path, filename: str, collectionname: str, timeout: float | None
    ) -> Path:
        stored = await self._stored(id, collectionname, timeout)
        target = folder / safe_name(filename or str(stored.get("filename") or ""))
        length = int(stored.get("length") or 0)
        try:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise FileTransferError(
                f"the folder cannot be made: {error.strerror or error}", operation="download"
            ) from None
        part = part_of(target)
        try:
            try:
                await self._over_http(id, part, timeout)
                finish(part, target, length, id=id)
            except (NotConnected, FileTransferError) as error:
                await self._through_library(id, part, length, collectionname, timeout, error)
                finish(part, target, length, id=id)
        finally:
            discard(part)
        return target

    async def _stored(self, id: str, collectionname: str, timeout: float | None) -> JsonObject:
        found = await self.query(
            collectionname,
            {"_id": id},
            {"filename": 1, "length": 1},
            top=1,
            timeout=timeout,
        )
        if not found:
            raise FileTransferError(f"there is no file {id}", operation="download")
        return found[0]

    async def _over_http(self, id: str, part: Path, timeout: float | None) -> None:
        if self._download is None:
            # Here and not above: its HTTP client would be a part of every start (transfer.py).
            from worker.openiap.download import Download

            self._download = Download(self._web(), self._verify())
        try:
            await self._download.fetch(id, self._jwt, part)
        except AccessDenied:
            # The token of a sign-in lasts for minutes (server.md): a fresh one, once.
            await self.signin(timeout=timeout)
            try:
                await self._download.fetch(id, self._jwt, part)
            except AccessDenied as error:
                raise FileTransferError(
                    f"GET /download/{id}: {error.text}", operation="download"
                ) from None

    async def _through_library(
        self,
        id: str,
        part: Path,
        length: int,
        collectionname: str,
        timeout: float | None,
        before: OpenIAPError,
    ) -> None:
        """Fetch through the library until two whole copies agree.

        Its transfers go through one temporary file per second and machine: a copy of the right
        length may still hold what another transfer wrote, and the file may be gone before it is
        moved. Then the next second is waited for, whose file is another.
        """
        if self._library_downloads is None:
            self._library_downloads = asyncio.Lock()
        request = abi.DownloadRequest(
            collectionname=native_text(collectionname),
            id=native_text(id),
            folder=native_text(str(part.parent)),
            filename=native_text(part.name),
        )
        seen: set[bytes] = set()
        async with self._library_downloads:
            for _ in range(LIBRARY_TRIES):
                try:
                    await self._call(
                        functions.DOWNLOAD, request, operation="download", timeout=timeout
                    )
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

    async def _stored_files(
        self,
        files: Sequence[FileArgument],
        metadata: JsonObject,
        *,
        operation: str,
        item_id: str = "",
        timeout: float | None,
    ) -> list[WorkitemFile]:
        """Upload what has no id yet and return what to attach; all are checked before any is sent.

        A file with a name only stands for its removal from the item.
        """
        given = [_argument(file, operation, item_id) for file in files]
        for file in given:
            if file.path is not None and not file.id:
                await asyncio.to_thread(check_readable, file.path, operation, item_id)
        stored = []
        for file in given:
            if file.path is not None and not file.id:
                id = await self.upload(file.path, file.filename, metadata=metadata, timeout=timeout)
                file = WorkitemFile(file.filename, id)
            stored.append(file)
        return stored

    async def _close_web(self) -> None:
        download, self._download = self._download, None
        if download is not None:
            await download.close()


def check_readable(path: Path, operation: str = "upload", item_id: str = "") -> None:
    """Open a local file for reading.

    Raises:
        FileTransferError: it is missing, unreadable, or no file.
    """
    try:
        if path.is_dir():
            raise FileTransferError(f"{path} is a folder", operation=operation, item_id=item_id)
        with path.open("rb"):
            return
    except OSError as error:
        raise FileTransferError(
            f"the local file {path} cannot be read: {error.strerror or error}",
            operation=operation,
            item_id=item_id,
        ) from None


def _argument(file: FileArgument, operation: str, item_id: str) -> WorkitemFile:
    if isinstance(file, str | Path):
        path = Path(file)
        return WorkitemFile(safe_name(path.name, operation=operation, item_id=item_id), path=path)
    name = file.filename or (file.path.name if file.path else "")
    name = safe_name(name, operation=operation, item_id=item_id)
    if file.id or file.path is not None:
        return WorkitemFile(name, file.id, file.path)
    if operation == "push_workitem":
        raise FileTransferError(
            f"the file {name} has neither a path nor an id", operation=operation, item_id=item_id
        )
    if Path(name).exists():
        # The library would upload that one instead of removing the item's.
        raise FileTransferError(
            f"the file {name} cannot be removed from the item while a local file of that name is "
            "in the working directory",
            operation=operation,
            item_id=item_id,
        )
    return WorkitemFile(name)


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


def now_seconds() -> int:
    """Return the second that the library would name a temporary file after."""
    return int(time.time())
