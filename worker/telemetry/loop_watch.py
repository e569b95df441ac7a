"""Is the loop alive? A thread outside of it asks twice a second; a blocked loop cannot hide.

What blocks it is read from the loop thread's own stack.
"""

import asyncio
import os
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import dropwhile
from types import FrameType
from typing import Final

from worker.package_path import OWN_CODE

ASK_EVERY: Final = 0.5
RED_AFTER: Final = 5.0
"""Seconds without an answer after which the loop counts as blocked."""

MAX_FRAMES: Final = 60
_LOOP_ROOMS: Final = ("asyncio.base_events", "asyncio.events", "asyncio.runners")
_INSTALLED: Final = tuple(sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib"))
_PYTHON: Final = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib"))


@dataclass(frozen=True, slots=True)
class Blockage:
    """A loop that does not answer: since how many seconds, by whom, and its stack."""

    seconds: float
    culprit: str
    stack: tuple[str, ...]


class LoopWatch:
    """Watches one loop; shape: ``start``, ``stop``.

    Args:
        loop: the loop.
        thread_id: of the thread that runs it (``threading.get_ident()``).
        describe: names the handlers in flight on the loop, where the stack does not tell.
        on_blocked: called once per blockage, in the watching thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        thread_id: int,
        describe: Callable[[], str],
        *,
        on_blocked: Callable[[Blockage], None] | None = None,
        ask_every: float = ASK_EVERY,
        red_after: float = RED_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._thread_id = thread_id
        self._describe = describe
        self._on_blocked = on_blocked
        self._ask_every = ask_every
        self._red_after = red_after
        self._clock = clock
        self._asked: float | None = None
        self._said = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; idempotent."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def silent_for(self) -> float:
        """Return for how many seconds the loop has owed an answer; 0 when it owes none."""
        asked = self._asked
        return 0.0 if asked is None else max(0.0, self._clock() - asked)

    @property
    def alive(self) -> bool:
        """Whether the loop answered in time."""
        return self.silent_for() <= self._red_after

    def blockage(self) -> Blockage | None:
        """Return what blocks the loop now, or None."""
        seconds = self.silent_for()
        if seconds <= self._red_after:
            return None
        frame = sys._current_frames().get(self._thread_id)
        stack = traceback.format_stack(frame, MAX_FRAMES) if frame is not None else []
        return Blockage(seconds, self._culprit(frame), tuple(line.rstrip() for line in stack))

    def _culprit(self, frame: FrameType | None) -> str:
        found = culprit_of(frame)
        try:
            described = self._describe()
        except Exception as error:  # the loop's own data, read from outside while it may change
            described = f"unknown ({type(error).__name__})"
        if found and described:
            return f"{found}; on the loop: {described}"
        return found or described or "unknown"

    def _run(self) -> None:
        while not self._ending.wait(self._ask_every):
            if self._asked is None:
                self._asked = self._clock()
                try:
                    self._loop.call_soon_threadsafe(self._answered)
                except RuntimeError:
                    return  # the loop is closed
            elif not self._said and self._on_blocked is not None:
                with suppress(Exception):  # of the loop's data, while it changes; it is asked again
                    blocked = self.blockage()
                    if blocked is not None:
                        self._said = True
                        self._on_blocked(blocked)

    def _answered(self) -> None:
        self._asked = None
        self._said = False


def culprit_of(frame: FrameType | None) -> str:
    """Return the function on a loop's stack that is neither the loop's, Python's nor ours, or "".

    It is the outermost one below the loop: the handler itself, not what it called.
    """
    frames: list[FrameType] = []
    while frame is not None:
        if frame.f_globals.get("__name__") in _LOOP_ROOMS:
            break
        frames.append(frame)
        frame = frame.f_back
    below = dropwhile(lambda f: f.f_code.co_filename.startswith(OWN_CODE), reversed(frames))
    for candidate in below:
        code = candidate.f_code
        if not _pythons_own(code.co_filename):
            module = candidate.f_globals.get("__name__", "?")
            return f"{module}.{code.co_qualname}, line {candidate.f_lineno}"
    return ""


def _pythons_own(filename: str) -> bool:
    if filename.startswith(_INSTALLED):
        return False
    return filename.startswith((*_PYTHON, "<frozen", OWN_CODE))
