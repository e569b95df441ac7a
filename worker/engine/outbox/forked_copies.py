"""Forked copies of a dead worker that hold its lock: they are found, and ended.

A child gives up its copy of the lock as soon as Python runs in it (``lockfile.py``). One that hangs
before that, on a lock that was held at the fork, or that a library in C has forked, keeps it for as
long as it lives, and with it the worker's port and links: the worker could never start again.

The kernel tells such a copy: it has the very same opened file as the process that took the lock,
and that process has it no more. Linux alone says so; elsewhere, and where it does not say, nothing
is ended.
"""

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROCESSES: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has the opened file on which a lock is held, and who took the lock."""

    pid: int
    taker: int


def end_copies(path: Path, taker: int | None = None) -> list[int]:
    """End what holds the lock on a file as the copy of a dead process; returns who was ended.

    Args:
        taker: who is said to have taken it. While that process has it, nothing is ended, and no
            other process is looked at: there may be hundreds.
    """
    if taker is not None and has_it(path, taker):
        return []
    ended = []
    for pid in left_behind(holders(path)):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            ended.append(pid)
    return ended


def left_behind(found: list[Holder]) -> list[int]:
    """Return the copies among those that hold one lock; none while who took it has it itself."""
    pids = {holder.pid for holder in found}
    if any(holder.taker in pids for holder in found):
        return []
    return sorted(pids)


def has_it(path: Path, taker: int) -> bool:
    """Say whether a process has taken the lock on a file and has it itself."""
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError):
        wanted = os.stat(path)
        found = _of_process(PROCESSES / str(taker), (wanted.st_dev, wanted.st_ino))
        return any(holder.taker == taker for holder in found)
    return False


def holders(path: Path) -> list[Holder]:
    """Return the processes of this user that hold the lock on a file."""
    if sys.platform != "linux":
        return []
    found: list[Holder] = []
    with contextlib.suppress(OSError):
        wanted = os.stat(path)
        for process in PROCESSES.iterdir():
            if process.name.isdecimal():
                with contextlib.suppress(OSError):  # it has ended, or is another user's
                    found += _of_process(process, (wanted.st_dev, wanted.st_ino))
    return found


def _of_process(process: Path, wanted: tuple[int, int]) -> list[Holder]:
    found = []
    for descriptor in os.listdir(process / "fd"):
        with contextlib.suppress(OSError):
            opened = os.stat(process / "fd" / descriptor)
            if (opened.st_dev, opened.st_ino) == wanted:
                text = (process / "fdinfo" / descriptor).read_text()
                found += [Holder(int(process.name), taker) for taker in _takers(text)]
    return found


def _takers(text: str) -> list[int]:
    """Return who took the locks of an opened file: ``lock: 1: FLOCK ADVISORY WRITE PID …``."""
    lines = [line.split() for line in text.splitlines() if line.startswith("lock:")]
    return [int(parts[5]) for parts in lines if parts[2:3] == ["FLOCK"] and _is_number(parts[5:6])]


def _is_number(parts: list[str]) -> bool:
    return bool(parts) and parts[0].lstrip("-").isdecimal()
