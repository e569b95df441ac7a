"""How often OpenIAP is asked for one user: two questions a second, what is waited for first."""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import IntEnum
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
    LATER = 2
    """It may have changed."""


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
        self._waiting: dict[Rank, deque[asyncio.Future[None]]] = {
            rank: deque() for rank in (Rank.SOON, Rank.LATER)
        }
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self, rank: Rank) -> None:
        """Wait for a turn."""
        now = self._clock()
        if rank is Rank.NOW or now < self._free_until:
            self._next = min(max(now, self._next) + self._every, now + MOST_DEBT)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[rank].append(waiter)
        self._plan()
        await waiter

    def hurry(self) -> None:
        """Let whoever waits go at once, and for a moment whoever comes."""
        self._free_until = self._clock() + HURRIES
        while (waiter := self._first()) is not None:
            waiter.set_result(None)

    def _plan(self) -> None:
        if self._timer is None and any(self._waiting.values()):
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
        for waiting in self._waiting.values():
            while waiting:
                waiter = waiting.popleft()
                if not waiter.done():
                    return waiter
        return None
