"""The loop of a process that runs for long and does much: a worker, a server."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypeVar

T = TypeVar("T")

EXIT_REPLACE: Final = 75
"""The process is to be replaced: slots are lost that only its end gives back (EX_TEMPFAIL)."""
COLLECT_EVERY: Final = 50_000
"""Containers more than before, from which Python looks for circles among them. An item in flight is
hundreds of containers and no circle, and one with 1 MB of rows 50,000; looking every 700, which is
Python's default, and at all that was ever imported, costs a tenth of a busy worker's CPU and stops
its loop for 36 ms at a time."""


class Restart:
    """How this process was started; made before anything changes it."""

    def __init__(self) -> None:
        self._folder = os.getcwd()

    def after(self, code: int, choice: str) -> None:
        """Begin the same command anew in this process (same pid, same parent, no thread left) where
        its work ended with ``EXIT_REPLACE``, the setting wants it, and the system can.

        Args:
            code: what ``Daemon.run`` returned.
            choice: the setting ``lost_slots``.
        """
        if code != EXIT_REPLACE or choice != "restart":
            return
        if sys.platform == "win32" or not sys.executable or not sys.orig_argv:
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os.chdir(self._folder)
        # What is blocked would go on being so.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 (our own command line)


def run_long(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end: on uvloop, where there is one.

    What was loaded until now is never looked at again by the collector. For the whole process.
    """
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if find_spec("uvloop") is not None:
        # By name: the package does not exist for Windows, so it cannot be imported above.
        factory = import_module("uvloop").new_event_loop
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)
