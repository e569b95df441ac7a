"""Uptime: the one clock for leases, fences and silence; it goes on while the machine sleeps.

``time.monotonic()`` stands still while a laptop's lid is closed or a virtual machine is suspended
(Linux: CLOCK_MONOTONIC), and others count on. So whatever says "nobody else can have it by now", or
"it was not heard of for so long", is measured here; what only paces this process (pauses, timeouts
of calls) may use ``time.monotonic()``.

1. Where the system has a clock that goes on (CLOCK_BOOTTIME), that is it.
2. Elsewhere the wall clock is compared with the monotonic one: what it went ahead counts as slept.
   A wall clock that is set ahead counts too, so that leases end early and never late; one that is
   set back does not.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

TOLERATED: Final = 1.0
"""Seconds by which the wall clock may drift from the monotonic one between two looks."""


class SleepCounting:
    """Seconds that go on while the machine sleeps, made of two clocks; may be used from threads."""

    def __init__(
        self,
        monotonic: Callable[[], float] = lambda: time.monotonic(),
        wall: Callable[[], float] = lambda: time.time(),
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._apart = wall() - monotonic()
        self._slept = 0.0
        self._mutex = threading.Lock()

    def __call__(self) -> float:
        with self._mutex:
            now = self._monotonic()
            apart = self._wall() - now
            if apart - self._apart > TOLERATED:
                self._slept += apart - self._apart
            self._apart = apart
            return now + self._slept


_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", None)
_elsewhere: Final = SleepCounting()


def uptime() -> float:
    """Return seconds since some moment in the past, with those that the machine slept."""
    return _elsewhere() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
