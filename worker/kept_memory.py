"""Memory that a process which runs for long keeps, in place of giving it back and asking anew.

The system hands out memory page by page, at a fault each, and clears each page first. A payload of
1 MB is received, decoded and validated in some 12 MB that are free again a moment later. Measured,
with rows of a number and a text: of receiving and decoding it nine tenths of the time were such
faults, of validating it a third.

1. Blocks of C that are freed stay with the process (``keep_freed``).
2. So do the arenas that Python makes of them for its small objects (``Reserve``), from the first
   large payload on.
3. Python looks for circles less often while a process works large payloads: these are tens of
   thousands of containers, and none. Once it has looked, it is as ever until the next one.
4. Large payloads are validated one after another, so that a short handler has let go of one before
   the next is there, and the loop looks around in between.
"""

import asyncio
import gc
import sys
from typing import Final

MOST_FREED: Final = 64 * 1024 * 1024
"""Bytes that stay at the end of the heap when they are free."""
LARGEST_BLOCK: Final = 32 * 1024 * 1024
"""Larger blocks are given back at once; the most that glibc takes here."""
MOST_RESERVED: Final = 64 * 1024 * 1024
"""Bytes of Python's small objects that stay, at most."""
STEP: Final = 4 * 1024 * 1024
"""Bytes that are reserved at a time: so much stops the loop for about 2 ms."""
OBJECTS: Final = 10
"""Bytes of objects that a model of rows takes for each character of JSON."""
CHARACTERS: Final = 20
"""Of JSON for each container that such a model has, with what pydantic notes in it."""
TURNS: Final = 2
"""Of the loop, in which a handler that awaits nothing is called and its payload let go."""
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_WHOLE: Final = 512
"""Bytes of the largest object that Python puts into an arena."""
_BLOCK: Final = _WHOLE - sys.getsizeof(b"")
_EACH: Final = 1024
"""Of so many such blocks one is kept, which is two in each arena of 1 MB."""


def keep_freed() -> None:
    """Let this process keep what it frees, where the C library can be told so: glibc."""
    if sys.platform != "linux":
        return
    try:
        from ctypes import CDLL  # not everywhere, and not for all processes

        tell = CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):
        return
    tell(_MMAP_THRESHOLD, LARGEST_BLOCK)
    tell(_TRIM_THRESHOLD, MOST_FREED)


class Reserve:
    """What one process keeps for the next large payload.

    Args:
        collect_every: how often the collector comes in processes that keep anything
            (``runloop.py``); one in which it comes more often is somebody else's program.
    """

    def __init__(self, collect_every: int) -> None:
        self._collect_every = collect_every
        self._largest = 0
        self._kept: list[bytes] = []
        self._hears = False
        self._next = asyncio.Lock()

    @property
    def held(self) -> int:
        """Bytes of small objects that stay."""
        return len(self._kept) * _EACH * _WHOLE

    def hold(self, characters: int) -> None:
        """Keep what a payload of so many characters takes; a part at a time."""
        found = gc.get_threshold()[0]
        if found < self._collect_every:
            return
        if not self._largest:
            keep_freed()
        self._largest = max(self._largest, characters)
        if self.held < min(MOST_RESERVED, self._largest * OBJECTS):
            self._kept += [bytes(_BLOCK) for _ in range(STEP // _WHOLE)][::_EACH]
        every = self._collect_every + 2 * self._largest // CHARACTERS
        if found < every:
            gc.set_threshold(every)
            if not self._hears:
                self._hears = True
                gc.callbacks.append(self._collected)

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        """The collector has come: it does so as often as ever until the next large payload, so that
        circles of a process that works small ones again do not pile up."""
        if phase == "stop" and gc.get_threshold()[0] > self._collect_every:
            gc.set_threshold(self._collect_every)

    async def turn(self) -> None:
        """Wait until a large payload may be validated on the loop, which is to be done at once."""
        async with self._next:
            for _ in range(TURNS):
                await asyncio.sleep(0)
