"""Whose fault is an error? What a handler raised because the worker or its machine could not do its
part is not the item's.

1. What the worker itself could not do for the item (a folder, a download, a copy, a thread, a
   process) is its fault, whatever the handler made of that error.
2. An error of the handler's own that says that the disk or the process tables are full is the
   machine's where a look at the worker's own folders, or for a thread, says the same. On a file
   elsewhere it is the handler's: what it writes to is its own affair.
"""

import asyncio
import errno
import os
import re
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from worker.engine.outbox.spool import LEAST, NO_THREAD, Spool, takes
from worker.errors import WorkerFault
from worker.item.error_chain import behind
from worker.openiap.part_file import DISK, TABLES

SQLITE: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
TASKS: Final = frozenset({errno.EAGAIN, errno.ENOMEM})
"""What a fork or a new thread says; others say it, too."""
NO_FOLDER: Final = "No usable temporary directory"
"""Python's words where none of them takes a file."""
_NUMBERED: Final = re.compile(r"\[Errno (\d{1,4})\]")
"""An error that came out of another process has its number in its text alone."""


async def fault_behind(
    error: BaseException, met: WorkerFault | None, spool: Spool
) -> WorkerFault | None:
    """Return the worker's fault that made a handler fail, or None.

    Args:
        error: what the handler raised.
        met: what the worker could not do for this item, or None.
        spool: where the worker keeps the files of items.
    """
    if met is not None:
        return met
    for one in (error, *(other for _, other in behind(error))):
        if isinstance(one, WorkerFault):
            return one
        for fault, certain in _suspected(one, spool):
            if certain or not await is_over(fault):
                return fault
    return None


async def is_over(fault: WorkerFault) -> bool:
    """Look, in a thread, whether what the worker lacked is there again."""
    try:
        return await asyncio.to_thread(fault.over)
    except RuntimeError:  # not even a thread for that
        return False


def no_thread(what: str) -> WorkerFault:
    """Return the fault of a process that cannot have another thread."""
    return WorkerFault(f"{what}: {NO_THREAD}", over=_threads)


def _suspected(error: BaseException, spool: Spool) -> Iterator[tuple[WorkerFault, bool]]:
    """Yield what an error of the handler's own may come from, and whether it does for certain."""
    if isinstance(error, sqlite3.Error):
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in SQLITE:
            yield from _folders(str(error), spool)
    elif isinstance(error, RuntimeError) and NO_THREAD in str(error):
        yield no_thread(type(error).__name__), False
    elif isinstance(error, OSError):
        numbered = _NUMBERED.match(str(error)) if error.errno is None else None
        number = int(numbered[1]) if numbered else error.errno
        if number in TABLES:  # others may have let go of theirs since
            over = partial(takes, spool.folder, LEAST)
            yield WorkerFault(f"no more files can be opened ({error})", over=over), True
        elif number in TASKS:
            yield no_thread(str(error)), False
        elif NO_FOLDER in str(error) or (number in DISK and not _elsewhere(error.filename, spool)):
            yield from _folders(str(error), spool)


def _folders(text: str, spool: Spool) -> Iterator[tuple[WorkerFault, bool]]:
    for folder in (spool.folder, _scratch()):
        over = partial(takes, folder, LEAST)
        yield WorkerFault(f"the disk of {folder} takes nothing more ({text})", over=over), False


def _scratch() -> Path:
    """Return the folder that handlers have for what they need for a while."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 (nothing is kept there)


def _elsewhere(filename: object, spool: Spool) -> bool:
    """Whether a file is on none of the worker's own disks."""
    if not isinstance(filename, str | bytes):
        return False  # a write does not tell
    path = Path(os.fsdecode(filename))
    own = {_device(spool.folder), _device(_scratch())}
    return _device(path) not in own


def _device(path: Path) -> int | None:
    """Return the disk that a file is on, or would be."""
    for place in (path, *path.absolute().parents):
        try:
            return os.stat(place).st_dev
        except OSError:
            continue
    return None


def _threads() -> bool:
    try:
        thread = threading.Thread(target=lambda: None, daemon=True)
        thread.start()
    except RuntimeError:
        return False
    thread.join()
    return True
