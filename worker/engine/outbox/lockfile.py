"""A lock that one process holds on a file for as long as it lives; the system frees it at death."""

import contextlib
import hashlib
import os
import platform
import sys
import time
import uuid
from functools import cache
from pathlib import Path
from typing import Final

from worker.engine.outbox.forked_copies import end_copies
from worker.errors import StateError
from worker.forks import in_children

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCKED_BYTE: Final = 4096
"""Windows keeps others from reading what is locked, so the pid at the start stays outside."""

FREED_WITHIN: Final = 2.0
"""Seconds until the system has taken a lock from a process that was killed."""
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Locked(StateError):
    """Another living process holds the lock; the text names its pid."""


class LockFile:
    """An exclusive lock beside what it protects.

    The file is never deleted: between the deleting and the next creating two processes could hold
    "the" lock. A forked child gives up its copy at once, or it would hold the lock of a dead
    parent.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path: Final = path
        self._descriptor: int | None = descriptor
        in_children(self, LockFile.forget)

    @classmethod
    def take(cls, path: Path) -> "LockFile":
        """Take the lock, without waiting.

        Raises:
            Locked: another process has it.
            StateError: the file cannot be made or opened.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError as error:
            raise StateError(f"The lock {path} cannot be opened: {error.strerror}.") from error
        try:
            _lock_or_free(descriptor, path)
        except OSError:
            pid = _holder(path)
            holder = "" if pid is None else f", pid {pid}"
            os.close(descriptor)
            raise Locked(f"{path.stem} is in use by another process{holder} ({path}).") from None
        try:
            os.truncate(descriptor, 0) if sys.platform != "win32" else None
            os.write(descriptor, f"{os.getpid():<20}".encode())
        except OSError:
            pass  # a full disk: the lock holds, only its owner's number is not told
        return cls(path, descriptor)

    @property
    def mark(self) -> str:
        """What tells this lock from every other one, also of a copied folder or another machine; ""
        where that cannot be told. Who holds it after another knows that the other is dead."""
        return mark_of(self.path) if self._descriptor is not None else ""

    def release(self) -> None:
        """Give the lock back; idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            _unlock(descriptor)
        finally:
            os.close(descriptor)

    def forget(self) -> None:
        """Close the descriptor without unlocking: the parent of a fork goes on holding it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _lock_or_free(descriptor: int, path: Path) -> None:
    """Lock the file, without waiting for any process that lives.

    Raises:
        OSError: another process has the lock.
    """
    try:
        _lock(descriptor)
    except OSError:
        if not end_copies(path, _holder(path)):
            raise
        until = time.monotonic() + FREED_WITHIN
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                _lock(descriptor)
                return
            time.sleep(0.005)
        raise


def mark_of(path: Path) -> str:
    """Return the mark of the lock on a file, whoever holds it; "" where there is none.

    It names the running system and the file's place in it. The file is never deleted, and a deleted
    one keeps its number for as long as somebody has it open, so no second lock gets the same while
    the first is held.
    """
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return hashlib.sha256(f"{_system()}:{found.st_dev}:{found.st_ino}".encode()).hexdigest()[:24]


@cache
def _system() -> str:
    """Return what names this run of this machine's system; containers of one machine share it, and
    the locks are one for all of them."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return f"{platform.node()}-{uuid.getnode():x}"


def _holder(path: Path) -> int | None:
    """Return who wrote that it has the lock; nobody could on a full disk."""
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and len(text) < 12 else None


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
