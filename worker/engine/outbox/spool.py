"""The spool: the folders of items in flight.

Inputs are downloaded here when a handler asks for them and go when the item is finished. Outputs
are copied here when a handler attaches them and stay, across handler, process and restart, until
the server has them. Nothing is created for an item without files.
"""

import asyncio
import hashlib
import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from worker.engine.outbox.private_files import private_folder
from worker.errors import StateError, WorkerFault
from worker.item.files import Attachment
from worker.openiap.errors import FileTransferError, LocalFileError
from worker.openiap.filenames import safe_name
from worker.openiap.part_file import OF_THE_NAME
from worker.openiap.workitem import Workitem, WorkitemFile

INPUTS: Final = "inputs"
OUTPUTS: Final = "outputs"
_PLAIN: Final = re.compile(r"[a-z0-9]{1,64}")
_CHUNK: Final = 1024 * 1024
LEAST: Final = 64 * 1024
"""Bytes that a disk with room takes."""
NO_THREAD: Final = "can't start new thread"
"""Python's words, in a ``RuntimeError``."""

Fetch = Callable[[WorkitemFile, Path], Awaitable[Path]]
Size = Callable[[str], Awaitable[int]]


class Spool:
    """The folders below one folder, which belongs to one worker identity."""

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder

    def inputs(self, item_id: str, retries: int) -> Path:
        """Return the folder for what one attempt downloads, made if need be.

        Raises:
            WorkerFault: it cannot be made.
        """
        return self._made(INPUTS, item_id, retries)

    def outputs(self, item_id: str, retries: int) -> Path:
        """Return the folder for what one attempt attaches, made if need be.

        Raises:
            WorkerFault: it cannot be made.
        """
        return self._made(OUTPUTS, item_id, retries)

    def keep(self, source: Path | bytes, name: str, item_id: str, retries: int) -> Path:
        """Copy an output of one attempt into the spool; blocking.

        A copy, never a link: a handler may go on writing to its file. It appears under its name
        when it is whole, readable by this user alone, and replaces one of the same name.

        Raises:
            FileTransferError: no such file, not a regular file, unreadable, or an unsafe name.
            WorkerFault: the spool's disk does not take it.
            StateError: it does not take this name.
        """
        safe = safe_name(name, operation="attach", item_id=item_id)
        reader = None if isinstance(source, bytes) else _opened(source, safe, item_id)
        try:
            folder = self.outputs(item_id, retries)
            part = folder / f".{uuid4().hex}.part"
            try:
                with open(part, "xb", opener=_private) as target:
                    if isinstance(source, bytes):
                        target.write(source)
                    elif reader is not None:
                        with os.fdopen(os.dup(reader), "rb") as origin:
                            shutil.copyfileobj(origin, target, _CHUNK)
                    target.flush()
                    os.fsync(target.fileno())
                os.replace(part, folder / safe)
            except OSError as error:
                with suppress(OSError):  # the error that brought us here is the one to report
                    part.unlink(missing_ok=True)
                text = f"{safe} cannot be kept in {folder}: {error.strerror or error}."
                if error.errno in OF_THE_NAME:
                    raise StateError(text) from error
                raise self.fault(text, _size_of(source)) from error
        finally:
            if reader is not None:
                os.close(reader)
        return folder / safe

    def fault(self, text: str, size: int = LEAST) -> WorkerFault:
        """Return the fault of a disk that does not take so many bytes."""
        return WorkerFault(text, over=lambda: takes(self.folder, size))

    def inherit(self, source: Path, name: str, item_id: str, retries: int) -> Path:
        """Take an output of one attempt over from another spool; blocking.

        A link where the disk has links: what lies in a spool is whole and nobody writes to it any
        more, so however large it is, this takes no time. A copy otherwise.

        Raises:
            FileTransferError, StateError: as ``keep``.
        """
        safe = safe_name(name, operation="attach", item_id=item_id)
        kept = self.outputs(item_id, retries) / safe
        try:
            regular = stat.S_ISREG(source.lstat().st_mode)
            if regular:
                os.link(source, kept)
                return kept
        except OSError:
            pass  # other disks, no links, there already: the copy settles it, or says what is wrong
        return self.keep(source, name, item_id, retries)

    def discard_inputs(self, item_id: str, retries: int) -> None:
        """Remove what an attempt downloaded; what cannot be removed is left for the next sweep."""
        shutil.rmtree(self._path(INPUTS, item_id, retries), ignore_errors=True)

    def discard_outputs(self, item_id: str, retries: int) -> None:
        """Remove what an attempt attached; to be called when the server has it."""
        shutil.rmtree(self._path(OUTPUTS, item_id, retries), ignore_errors=True)

    def sweep(self, keep: Iterable[tuple[str, int]] = ()) -> int:
        """Remove what earlier lives left: all inputs, and the outputs of attempts not in ``keep``.

        To be called at start, before the first pop; returns how many folders went.
        """
        kept = {folder_name(item_id, retries) for item_id, retries in keep}
        removed = 0
        for kind in (INPUTS, OUTPUTS):
            for folder in _entries(self.folder / kind):
                if kind == OUTPUTS and folder.name in kept:
                    continue
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        return removed

    def _path(self, kind: str, item_id: str, retries: int) -> Path:
        return self.folder / kind / folder_name(item_id, retries)

    def _made(self, kind: str, item_id: str, retries: int) -> Path:
        folder = self._path(kind, item_id, retries)
        try:
            private_folder(folder)
        except StateError as error:
            raise self.fault(str(error)) from error
        return folder


class SpooledFiles:
    """One attempt's files (``worker.item.item.ItemFiles``); costs nothing until one is asked for.

    Args:
        client_download: fetches a file whole into a folder and returns its path.
        client_size: returns the stored length of a file by its id.

    Attributes:
        fault: what the disk refused last, whatever became of that error; None if nothing.
    """

    __slots__ = (
        "_client_download",
        "_client_size",
        "_fetching",
        "_names",
        "_spool",
        "_workitem",
        "fault",
    )

    def __init__(
        self, spool: Spool, workitem: Workitem, client_download: Fetch, client_size: Size
    ) -> None:
        self._spool = spool
        self._workitem = workitem
        self._client_download = client_download
        self._client_size = client_size
        self._fetching: dict[str, asyncio.Task[Path]] | None = None
        self.fault: WorkerFault | None = None
        self._names: Counter[str] | None = None
        """How many files have a name, where small and capital letters count as one."""

    async def fetch(self, file: WorkitemFile) -> Path:
        """Fetch a file once, however many ask for it at once; a failed try can be repeated.

        Raises:
            FileTransferError: it did not arrive whole, or its name is not safe.
            WorkerFault: the spool's disk does not take it.
        """
        if file.path is not None:
            return file.path
        if self._fetching is None:
            self._fetching = {}
        task = self._fetching.get(file.id)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.ensure_future(self._fetch(file))
            self._fetching[file.id] = task
        # Shielded: one who gives up must not take the file from the others.
        return await asyncio.shield(task)

    async def size(self, file: WorkitemFile) -> int:
        """Return the stored length in bytes without downloading."""
        return await self._client_size(file.id)

    async def keep(self, source: Path | bytes, name: str) -> Attachment:
        """Copy an output into the spool; see ``Spool.keep``."""
        item = self._workitem
        try:
            path = await asyncio.to_thread(self._spool.keep, source, name, item.id, item.retries)
        except WorkerFault as fault:
            self.fault = fault
            raise
        except RuntimeError as error:
            if NO_THREAD not in str(error):
                raise
            self.fault = self._spool.fault(f"{name} cannot be kept: {error}.")
            raise self.fault from error
        return Attachment(path.name, path)

    def discard_inputs(self) -> None:
        """End downloads and remove what was downloaded; outputs stay. Free where nothing was."""
        fetching, self._fetching = self._fetching, None
        if fetching is None:
            return
        for task in fetching.values():
            if not task.done():
                task.add_done_callback(self._discard)
                task.cancel()
            elif not task.cancelled():
                task.exception()  # seen by whoever asked for the file, if anyone still did
        self._discard(None)

    def _discard(self, ended: object) -> None:
        self._spool.discard_inputs(self._workitem.id, self._workitem.retries)

    async def _fetch(self, file: WorkitemFile) -> Path:
        item = self._workitem
        safe_name(file.filename, item_id=item.id)
        try:
            folder = self._spool.inputs(item.id, item.retries)
            if self._names is None:
                self._names = Counter(other.filename.casefold() for other in item.files)
            if self._names[file.filename.casefold()] > 1:
                # Two names that some file systems take for one.
                folder = folder / folder_name(file.id, 0)
                private_folder(folder)
            return await self._client_download(file, folder)
        except WorkerFault as fault:
            self.fault = fault
            raise
        except (StateError, LocalFileError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and NO_THREAD not in str(error):
                raise
            self.fault = self._spool.fault(f"{file.filename} cannot be fetched: {error}")
            raise self.fault from error


def takes(folder: Path, size: int) -> bool:
    """Return whether the disk of a folder takes so many bytes now; blocking: it is tried out."""
    probe = folder / f".{uuid4().hex}.part"
    try:
        private_folder(folder)
        if shutil.disk_usage(folder).free < size:
            return False
        with open(probe, "xb", opener=_private) as file:
            file.write(bytes(min(max(size, LEAST), _CHUNK)))
            file.flush()
            os.fsync(file.fileno())
    except (OSError, StateError):
        return False
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return True


def folder_name(item_id: str, retries: int) -> str:
    """Return the name of an attempt's folder; an id that is no plain word is hashed."""
    plain = _PLAIN.fullmatch(item_id) is not None
    stem = item_id if plain else hashlib.sha256(item_id.encode("utf-8", "replace")).hexdigest()
    return f"{stem}-{retries}"


def _opened(source: Path, name: str, item_id: str) -> int:
    """Open a handler's file for reading, and only a regular one: a pipe would block for ever."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(source, flags)
    except OSError as error:
        raise FileTransferError(
            f"{source} cannot be attached as {name}: {error.strerror}",
            operation="attach",
            item_id=item_id,
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileTransferError(
            f"{source} cannot be attached as {name}: it is not a regular file",
            operation="attach",
            item_id=item_id,
        )
    return descriptor


def _size_of(source: Path | bytes) -> int:
    if isinstance(source, bytes):
        return len(source)
    try:
        return source.stat().st_size
    except OSError:
        return LEAST


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
