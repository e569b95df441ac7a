"""How often OpenIAP is asked for one user: two questions a second, what is waited for first."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Mapping
from enum import IntEnum
from itertools import count
from time import monotonic
from typing import Final

EVERY: Final = 0.5
"""Seconds between two questions that are asked again by themselves."""
HURRIES: Final = 1.0
"""Seconds for which nobody waits once somebody has changed something."""
MOST_DEBT: Final = 1.0
"""Seconds that they wait at most for what somebody asked by opening a page or doing something."""


class Rank(IntEnum):
    """Who goes first."""

    NOW = 0
    """Somebody waits for it: it takes no turn, and later ones wait."""
    SOON = 1
    """It is known to have changed."""
    DUE = 2
    """It may have changed, and nobody would tell."""
    LATER = 3
    """It is of less interest, or would have been told."""


AFTER: Final[Mapping[Rank, float]] = {Rank.DUE: 0.0, Rank.LATER: 1.5}
"""Seconds for which those that come after it go first, of those that go after ``SOON``."""
MOST_IN_A_ROW: Final = 2
"""Turns of what has changed after which one of the others gets one, so that it is seen too where
something changes all the time."""


class Allowance:
    """Turns to ask.

    Args:
        every: seconds between two.
        clock: seconds.
    """

    def __init__(self, every: float = EVERY, clock: Callable[[], float] = monotonic) -> None:
        self._every = every
        self._clock = clock
        self._next = 0.0
        self._free_until = 0.0
        self._soon: deque[asyncio.Future[None]] = deque()
        self._others: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._in_a_row = 0
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self, rank: Rank) -> None:
        """Wait for a turn."""
        now = self._clock()
        if rank is Rank.NOW or now < self._free_until:
            self._next = min(max(now, self._next) + self._every, now + MOST_DEBT)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if rank is Rank.SOON:
            self._soon.append(waiter)
        else:
            heapq.heappush(self._others, (now + AFTER[rank], next(self._numbers), waiter))
        self._plan()
        await waiter

    def hurry(self) -> None:
        """Let whoever waits go at once, and for a moment whoever comes."""
        self._free_until = self._clock() + HURRIES
        while (waiter := self._first()) is not None:
            waiter.set_result(None)

    def _plan(self) -> None:
        if self._timer is None and (self._soon or self._others):
            wait = max(0.0, self._next - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self._give)

    def _give(self) -> None:
        self._timer = None
        if self._clock() >= self._next:
            waiter = self._first()
            if waiter is None:
                return
            waiter.set_result(None)
            self._next = self._clock() + self._every
        self._plan()

    def _first(self) -> asyncio.Future[None] | None:
        """Return who is next; those that were cancelled meanwhile are nobody."""
        while self._soon or self._others:
            if self._soon and (self._in_a_row < MOST_IN_A_ROW or not self._others):
                waiter, in_a_row = self._soon.popleft(), self._in_a_row + 1
            else:
                waiter, in_a_row = heapq.heappop(self._others)[2], 0
            if not waiter.done():
                self._in_a_row = in_a_row
                return waiter
        return None
