"""Files between the disk and OpenIAP: whole, under safe names, or an error.

1. A local file is found readable before anything is sent.
2. A download appears under its name only when its length is the stored one.
3. Names from the server are reduced to what is safe in a folder.
"""

import asyncio
import mimetypes
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from worker.openiap.backend import Backend
from worker.openiap.errors import FileTransferError, LocalFileError, OpenIAPError, RequestTimeout
from worker.openiap.fields import number, text_of
from worker.openiap.filenames import safe_name
from worker.openiap.part_file import discard, disk_refused, finish, part_of
from worker.openiap.types import FileArgument
from worker.openiap.values import json_text, objects_from_text
from worker.openiap.workitem import MOST_FILES, JsonObject, Workitem, WorkitemFile

FILES: Final = "fs.files"
"""The collection of stored files."""


class FileTransfer:
    """Uploads and downloads over an implementation of the client."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def upload(
        self,
        path: Path,
        filename: str,
        mimetype: str,
        metadata: str,
        collectionname: str,
        seconds: float,
    ) -> str:
        """Store a local file and return its id; see ``FileCalls.upload``."""
        await asyncio.to_thread(_check_readable, path, "upload", "")
        name = filename or path.name
        mimetype = mimetype or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return await self._backend.files.upload(
            path, name, mimetype, metadata, collectionname, seconds
        )

    async def stored(
        self,
        files: Sequence[FileArgument],
        metadata: JsonObject,
        *,
        operation: str,
        item_id: str = "",
        seconds: float,
    ) -> list[WorkitemFile]:
        """Upload what has no id yet and return what to attach; all are checked before any is sent.

        A file with a name only stands for its removal from the item.

        Raises:
            FileTransferError: too many, one is missing or has a name that is not safe; nothing was
                sent.
        """
        if len(files) > MOST_FILES:
            raise FileTransferError(
                f"{len(files):,} files are more than the {MOST_FILES:,} that an item can be given;"
                " put them into an archive",
                operation=operation,
                item_id=item_id,
            )
        given = [self._argument(file, operation, item_id) for file in files]
        for file in given:
            if file.path is not None and not file.id:
                await asyncio.to_thread(_check_readable, file.path, operation, item_id)
        stored = []
        for file in given:
            if file.path is not None and not file.id:
                id = await self.upload(
                    file.path, file.filename, "", json_text(metadata), FILES, seconds
                )
                file = WorkitemFile(file.filename, id)
            stored.append(file)
        return stored

    def _argument(self, file: FileArgument, operation: str, item_id: str) -> WorkitemFile:
        if isinstance(file, str | Path):
            file = WorkitemFile(path=Path(file))
        name = file.filename or (file.path.name if file.path else "")
        name = safe_name(name, operation=operation, item_id=item_id)
        if not file.id and file.path is None:
            if operation == "push_workitem":
                problem = f"the file {name} has neither a path nor an id"
            else:
                problem = self._backend.files.removal_problem(name)
            if problem:
                raise FileTransferError(problem, operation=operation, item_id=item_id)
        return WorkitemFile(name, file.id, file.path)

    async def download(
        self, id: str, folder: Path, filename: str, collectionname: str, seconds: float
    ) -> Path:
        """Fetch a stored file whole and return its path; see ``FileCalls.download``."""
        try:
            async with asyncio.timeout(seconds):
                return await self._download(id, folder, filename, collectionname, seconds)
        except (TimeoutError, RequestTimeout):
            raise FileTransferError(
                f"file {id} did not come within {seconds:g} s", operation="download"
            ) from None

    async def _download(
        self, id: str, folder: Path, filename: str, collectionname: str, seconds: float
    ) -> Path:
        stored = await self._look_up(id, collectionname, seconds)
        target = folder / safe_name(filename or text_of(stored.get("filename")))
        length = number(stored.get("length"))
        part = part_of(target)
        try:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            await self._backend.files.fetch(id, part, length, collectionname, seconds)
            await asyncio.to_thread(finish, part, target, length, id=id)
        except OSError as error:
            raise disk_refused(error) from None
        finally:
            discard(part)
        return target

    async def _look_up(self, id: str, collectionname: str, seconds: float) -> JsonObject:
        fields = {
            "collectionname": collectionname,
            "query": json_text({"_id": id}),
            "projection": '{"filename":1,"length":1}',
            "orderby": "",
            "queryas": "",
            "explain": False,
            "skip": 0,
            "top": 1,
        }
        text = await self._backend.operations.call("query", seconds, "", fields)
        found = objects_from_text(text, operation="query")
        if not found:
            raise FileTransferError(f"there is no file {id}", operation="download")
        return found[0]

    async def fetch_all(self, item: Workitem, parent: Path, seconds: float) -> None:
        """Fetch an item's files into a new folder in ``parent``, and note their paths.

        One that cannot be fetched whole is logged and gets no path: the item is in hand already.
        """
        try:
            folder = await asyncio.to_thread(_own_folder, parent)
        except OSError as error:
            self._report(
                f"no folder for the files of work item {item.id}: {error.strerror or error}"
            )
            return
        taken: set[str] = set()
        for file in item.files:
            try:
                name = safe_name(file.filename, operation="pop_workitem", item_id=item.id)
                if name.casefold() in taken:
                    self._report(f"work item {item.id} has two files that come down to {name!r}")
                    continue
                file.path = await self.download(file.id, folder, name, FILES, seconds)
                taken.add(name.casefold())
            except OpenIAPError as error:
                self._report(f"a file of work item {item.id} could not be fetched: {error}")
        if not taken:
            await asyncio.to_thread(shutil.rmtree, folder, True)

    def _report(self, text: str) -> None:
        self._backend.telemetry.log("error", (text,))


def _check_readable(path: Path, operation: str, item_id: str) -> None:
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
        # One that is not there, or not ours to read, is the caller's mistake.
        mistake = isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError)
        raise (FileTransferError if mistake else LocalFileError)(
            f"the local file {path} cannot be read: {error.strerror or error}",
            operation=operation,
            item_id=item_id,
        ) from None


def _own_folder(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="item-", dir=parent))
