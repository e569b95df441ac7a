"""One question a second: a client whose calls wait for their turn."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final

from worker.cli.shared.around_calls import with_around
from worker.openiap.client import Client

EVERY: Final = 1.0
"""Seconds between two questions, at least."""
FIRST: Final = 8
"""Questions that the first picture takes; they are asked at once."""


class Pace:
    """Turns: one at a time, first come first served, no more than one in ``EVERY`` seconds after
    the first picture.

    After a call that took long the next one waits as long again, so that a server that has much to
    do is not asked for half of its time.
    """

    def __init__(self, every: float = EVERY, first: int = FIRST) -> None:
        self._every = every
        self._first = first
        self._lock = asyncio.Lock()
        self._next = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn; it lasts until the block ends."""
        async with self._lock:
            if self._first > 0:
                self._first -= 1
            else:
                await asyncio.sleep(max(0.0, self._next - monotonic()))
            began = monotonic()
            self._next = began + self._every
            try:
                yield
            finally:
                took = monotonic() - began
                self._next = max(self._next, began + 2 * took)


def paced(client: Client, pace: Pace) -> Client:
    """Return a client each of whose calls takes a turn."""

    async def in_turn(call: Callable[[], Awaitable[Any]]) -> Any:
        async with pace.turn():
            return await call()

    return with_around(client, in_turn)
