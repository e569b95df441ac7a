"""The documented calls on stored files: whole, under safe names, or an error."""

import asyncio
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from worker.openiap.errors import AccessDenied, FileTransferError, RequestTimeout
from worker.openiap.filenames import safe_name
from worker.openiap.native.collections import json_argument
from worker.openiap.native.documents import DocumentCalls
from worker.openiap.native.scope import current_scope
from worker.openiap.native.streams import FileInflow, send_file
from worker.openiap.part_file import discard, finish, part_of
from worker.openiap.types import FileArgument, JsonText
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.messages import wire_text
from worker.openiap.workitem import JsonObject, WorkitemFile

FILES: Final = "fs.files"
_MOST_TOLD: Final = 2**31
"""Lengths from here on do not fit the protocol's ``bytes`` field."""


class FileCalls(DocumentCalls):
    """See ``worker.openiap.client.Client`` for each."""

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
            FileTransferError: the local file is missing or unreadable (nothing was sent), or the
                server stored another length.
        """
        path = Path(filepath)
        await asyncio.to_thread(check_readable, path)
        name = filename or path.name
        request = pb.UploadRequest(
            filename=wire_text(name),
            mimetype=mimetype or mimetypes.guess_type(name)[0] or "application/octet-stream",
            metadata=json_argument(metadata),
            collectionname=collectionname,
        )
        session = self._link.session_for("upload")
        scope = current_scope(self)
        seconds = self._seconds(timeout)
        rid, reply = session.open("upload", "upload", request, pb.UploadResponse, seconds, scope)
        try:
            async with asyncio.timeout(seconds):
                length = await send_file(session, rid, path, reply, scope)
                stored = await reply
                await self._check_stored(stored, length, collectionname, seconds)
        except TimeoutError:
            raise RequestTimeout(f"not stored within {seconds:g} s", operation="upload") from None
        finally:
            settle(reply)
        return stored.id

    async def _check_stored(
        self, stored: pb.UploadResponse, length: int, collectionname: str, timeout: float
    ) -> None:
        found: object = stored.bytes
        if length >= _MOST_TOLD or (length and not stored.bytes):
            found = (await self._stored(stored.id, collectionname, timeout)).get("length")
        if found != length:
            raise FileTransferError(
                f"the server stored {found} of {length} bytes as {stored.id}", operation="upload"
            )

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
                return await self._fetch(id, Path(folder), filename, collectionname, seconds)
        except (TimeoutError, RequestTimeout):
            raise FileTransferError(
                f"file {id} did not come within {seconds:g} s", operation="download"
            ) from None

    async def _fetch(
        self, id: str, folder: Path, filename: str, collectionname: str, seconds: float
    ) -> Path:
        stored = await self._stored(id, collectionname, seconds)
        target = folder / safe_name(filename or str(stored.get("filename") or ""))
        length = int(stored.get("length") or 0)
        part = part_of(target)
        try:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            came = await self._streamed(id, part, collectionname, seconds)
            if came != length:
                await self._over_http(id, part)
            await asyncio.to_thread(finish, part, target, length, id=id)
        except OSError as error:
            raise FileTransferError(
                f"the local file cannot be written: {error.strerror or error}",
                operation="download",
            ) from None
        finally:
            discard(part)
        return target

    async def _streamed(self, id: str, part: Path, collectionname: str, seconds: float) -> int:
        session = self._link.session_for("download")
        inflow = FileInflow(session)
        reply = session.request(
            "download",
            "download",
            pb.DownloadRequest(id=id, collectionname=collectionname),
            pb.DownloadResponse,
            seconds,
            scope=current_scope(self),
            inflow=inflow,
        )
        try:
            length = await inflow.write_to(part)
            await reply
        finally:
            settle(reply)
        return length

    async def _over_http(self, id: str, part: Path) -> None:
        """Fetch a file that the protocol's stream did not bring whole (server.md, Files)."""
        # Here and not above: its HTTP client would be a part of every start (transfer.py).
        from worker.openiap.download import Download

        download = Download(self._link.web, self._link.verify)
        try:
            try:
                await download.fetch(id, self._link.token, part)
            except AccessDenied:
                # The token of a sign-in lasts for minutes: a fresh one, once.
                await download.fetch(id, await self._link.fresh_token(self._default_timeout), part)
        except AccessDenied as error:
            raise FileTransferError(
                f"GET /download/{id}: {error.text}", operation="download"
            ) from None
        finally:
            await download.close()

    async def _stored(self, id: str, collectionname: str, timeout: float | None) -> JsonObject:
        found = await self.query(
            collectionname, {"_id": id}, {"filename": 1, "length": 1}, top=1, timeout=timeout
        )
        if not found:
            raise FileTransferError(f"there is no file {id}", operation="download")
        return found[0]

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


def settle(reply: "asyncio.Future[Any]") -> None:
    """Leave a reply that may not have been awaited: nobody asks for its error any more."""
    if not reply.cancel() and not reply.cancelled():
        reply.exception()


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
    if operation == "push_workitem" and not file.id and file.path is None:
        raise FileTransferError(
            f"the file {name} has neither a path nor an id", operation=operation, item_id=item_id
        )
    return WorkitemFile(name, file.id, file.path)
