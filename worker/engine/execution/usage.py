"""What a child uses and how it died: memory, CPU, signals, as numbers and as sentences."""

import contextlib
import re
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

import psutil

from worker.durations import text as duration_text
from worker.engine.execution.offspring import (
    cpu_of,
    descendants,
    memory_of,
    memory_together,
)
from worker.errors import ResourceLimitExceeded

if sys.platform != "win32":
    import resource

SAMPLE_SECONDS: Final = 0.2
HEADROOM: Final = 64 * 1024**2

_FRAME: Final = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')


def megabytes(size: int) -> str:
    """Return bytes for people: ``megabytes(512 * 1024**2)`` is "512 MB"."""
    return f"{size / 1024**2:.0f} MB"


def own_peak() -> int:
    """Return the largest resident size of this process so far, in bytes; 0 if unknown."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def own_cpu() -> float:
    """Return the CPU seconds that this process and the children that it waited for have used."""
    if sys.platform == "win32":
        return time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def bound_memory(limit: int) -> None:
    """Let allocations of this process fail somewhat above ``limit`` bytes, where the system can.

    The watcher in the worker holds a child to its limit by what is resident, but looks only now
    and then. This bound stops a hog that is faster than that. It lies higher, since the system
    counts what is reserved and never touched too.
    """
    if sys.platform == "win32":
        return
    bound = limit + limit // 4 + HEADROOM
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        bound = min(bound, most)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (bound, most))


def memory_broken(name: str, limit: int, peak: int) -> ResourceLimitExceeded:
    """Return the error of a handler that broke its memory limit."""
    return ResourceLimitExceeded(
        f"{name} broke its memory limit of {megabytes(limit)} (peak {megabytes(peak)})"
    )


def cpu_broken(name: str, limit: float, used: float) -> ResourceLimitExceeded:
    """Return the error of a handler that broke its CPU limit."""
    return ResourceLimitExceeded(
        f"{name} broke its CPU limit of {duration_text(limit)} (used {duration_text(used)})"
    )


def died(name: str, code: int, peak: int) -> ResourceLimitExceeded:
    """Return the error of a handler whose process ended under it.

    Args:
        name: the handler's.
        code: the process's return code; negative for a signal.
        peak: the largest resident size seen, in bytes; 0 if none was.
    """
    seen = f", peak {megabytes(peak)}" if peak else ""
    if code >= 0:
        return ResourceLimitExceeded(f"{name}: its process exited with code {code}{seen}")
    try:
        shown = signal.Signals(-code).name
    except ValueError:
        shown = f"signal {-code}"
    why = ""
    if shown == "SIGKILL":
        why = ", not by the worker: the system does that when memory runs out"
    return ResourceLimitExceeded(f"{name}: its process was killed by {shown}{why}{seen}")


def fault_frames(dump: str) -> list[tuple[str, int, str]]:
    """Read what ``faulthandler`` wrote for the thread that it ran in.

    Returns:
        File, line and function of each frame, outermost first.
    """
    frames: list[tuple[str, int, str]] = []
    inside = False
    for line in dump.splitlines():
        if line.startswith(("Current thread", "Stack (most recent")):
            frames, inside = [], True
        elif inside and (match := _FRAME.match(line)):
            frames.append((match[1], int(match[2]), match[3]))
        elif frames:
            inside = False
    frames.reverse()
    return frames


class Meter:
    """One child's use of memory and CPU together with all that it started, seen from the worker.

    Args:
        memory: the limit in bytes, or None; near it is looked more exactly.

    Attributes:
        peak: largest resident size seen during this run, in bytes.
        cpu: CPU seconds used by this run.
    """

    def __init__(
        self, process: psutil.Process, cpu_before: float, *, memory: int | None = None
    ) -> None:
        self._process = process
        self._before = cpu_before
        self._memory = memory
        self._earlier: dict[int, float] = {}
        """The CPU seconds of what was there before this run."""
        if process is not None:
            for one in descendants(process.pid):
                with contextlib.suppress(psutil.Error):
                    self._earlier[one.pid] = cpu_of(one)
        self.peak = 0
        self.cpu = 0.0

    def sample(self) -> None:
        """Look; a process that is gone or not ours to see changes nothing."""
        below = descendants(self._process.pid)
        family = [self._process, *below]
        resident = memory_of(family)
        if below and self._memory is not None and resident > self._memory:
            resident = memory_together(family)  # forked children share most of what they hold
        self.peak = max(self.peak, resident)
        used = -self._before
        for one in family:
            with contextlib.suppress(psutil.Error):
                used += cpu_of(one) - self._earlier.get(one.pid, 0.0)
        self.cpu = max(self.cpu, used)

    def broken(
        self, name: str, memory: int | None, cpu: float | None
    ) -> Callable[[], ResourceLimitExceeded] | None:
        """Return the maker of the error for the limit that is broken, or None."""
        if memory is not None and self.peak > memory:
            return lambda: memory_broken(name, memory, self.peak)
        if cpu is not None and self.cpu > cpu:
            return lambda: cpu_broken(name, cpu, self.cpu)
        return None
