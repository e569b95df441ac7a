"""What a process has started: children, their children, and those that went into sessions of their
own; found, measured and ended.

1. On Linux the child of a process handler adopts what its descendants leave behind (a subreaper),
   so that whatever a handler started hangs below it. Elsewhere what was left by its parent is found
   by the mark alone.
2. Each child carries a mark in its environment, which everything that it starts inherits: what is
   still there when the child has died by itself is found by that.
3. Pages that processes share count once, as far as the system tells (PSS).
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

MARK: Final = "OPENIAP_HANDLER_PROCESS"
"""Not under the prefix of settings: a worker that a handler starts would refuse it."""
ADOPT: Final = 36  # PR_SET_CHILD_SUBREAPER, prctl(2)
ROUNDS: Final = 50
"""So often is looked for more: what is being ended may be starting others."""


def adopt() -> None:
    """From now on what the descendants of this process leave behind becomes its child."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(ADOPT, 1, 0, 0, 0)


def descendants(pid: int) -> list[psutil.Process]:
    """Return what lives below a process; [] when it is gone."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return _by_the_kernel(pid)
    with contextlib.suppress(psutil.Error):
        return [one for one in psutil.Process(pid).children(recursive=True) if _lives(one)]
    return []


def _by_the_kernel(pid: int) -> list[psutil.Process]:
    """Walk the kernel's own lists: looking at every process of the machine costs too much."""
    found: list[psutil.Process] = []
    ahead, seen = [pid], {pid}
    while ahead:
        parent = ahead.pop()
        try:
            below = [
                int(child)
                for task in os.listdir(f"/proc/{parent}/task")
                for child in Path(f"/proc/{parent}/task/{task}/children").read_text().split()
            ]
        except OSError:
            if not os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children"):
                raise  # this kernel has no such lists
            continue  # it is gone by now
        for child in below:
            if child not in seen:
                seen.add(child)
                ahead.append(child)
                with contextlib.suppress(psutil.Error):
                    one = psutil.Process(child)
                    if _lives(one):
                        found.append(one)
    return found


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def end_below(pid: int, spared: Iterable[int] = ()) -> int:
    """Kill what lives below a process, but for ``spared`` and what is below those; returns how many
    there were. The process itself has to live, or what it adopts is lost sight of."""
    kept = set(spared)
    ended: set[int] = set()
    for _ in range(ROUNDS):
        safe = kept | {one.pid for each in kept for one in descendants(each)}
        found = [one for one in descendants(pid) if one.pid not in safe]
        if not found:
            break
        for one in found:
            ended.add(one.pid)
            with contextlib.suppress(psutil.Error):
                one.kill()
        time.sleep(0.001)
    return len(ended)


def end_marked(mark: str) -> None:
    """Kill what carries a mark; for what has outlived the process that it hung below."""
    for _ in range(ROUNDS):
        found = [one for one in psutil.process_iter() if _carries(one, mark)]
        if not found:
            return
        for one in found:
            with contextlib.suppress(psutil.Error):
                one.kill()
        time.sleep(0.001)


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark and _lives(process)
    except (psutil.Error, OSError):
        return False


def has_children() -> bool:
    """Whether this process has children, living or not; cheap."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class Leftovers:
    """In the child: ends what a handler has left behind when it returned.

    What was there when it began (started while its module was imported) is of no item, and stays;
    so do the helpers of ``multiprocessing``.
    """

    def __init__(self) -> None:
        self._spared: set[int] = set()

    def begin(self) -> None:
        """A handler is about to run."""
        self._spared = {one.pid for one in descendants(os.getpid())} if has_children() else set()

    def end(self) -> None:
        """It has returned."""
        if not has_children():
            return
        me, spared = os.getpid(), self._spared | _helpers()
        end_below(me, spared)
        if sys.platform == "win32":
            return
        for dead in _dead_children(me):  # adopted ones have nobody else who would wait for them
            if dead not in spared:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(dead, os.WNOHANG)


def _dead_children(pid: int) -> list[int]:
    with contextlib.suppress(psutil.Error):
        return [one.pid for one in psutil.Process(pid).children() if not _lives(one)]
    return []


def _helpers() -> set[int]:
    """The processes that ``multiprocessing`` and joblib keep for as long as this one lives."""
    found: set[int] = set()
    for module, name, attribute in (
        ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
        ("loky.backend.resource_tracker", "_resource_tracker", "_pid"),
        ("joblib.externals.loky.backend.resource_tracker", "_resource_tracker", "_pid"),
        ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ):
        helper = getattr(sys.modules.get(module), name, None)
        pid = getattr(helper, attribute, None)
        if isinstance(pid, int):
            found.add(pid)
    return found


def memory_of(processes: Iterable[psutil.Process]) -> int:
    """Return the resident bytes of some processes; what they share may count more than once."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += int(process.memory_info().rss)
    return total


def memory_together(processes: Iterable[psutil.Process]) -> int:
    """Return the bytes that some processes hold together: exact where the system tells, dear."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            full = process.memory_full_info()
            total += int(getattr(full, "pss", full.uss))
    return total


def cpu_of(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of the children that it has waited for."""
    times = process.cpu_times()
    more = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + more)


def stop_and_end(pid: int) -> None:
    """From outside: kill all below a process; it is halted, so that it starts no more of them."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGSTOP)
    end_below(pid)
