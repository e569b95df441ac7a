"""The end of a queue, for a worker that ends with its queues: when does one count as empty?

1. Once a pop found nothing while nothing of the queue was in flight, and no item that this worker
   parked is due soon: until then it only looks empty.
2. Of several queues each may bring items into another, so whoever asks says how many items had left
   in all; what was seen empty before that is looked at once more.
3. A queue that cannot be popped further is at its end whatever the others bring.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

PATIENCE: Final = 60.0
"""Seconds that such a worker waits for what is to come of its queue."""
CLOCKS: Final = timedelta(seconds=0.5)
"""How far the server's clock may be behind ours."""


class QueueEnd:
    """Of one queue.

    Args:
        pause: waits for so many seconds, or until the worker stops.
    """

    def __init__(self, pause: Callable[[float], Awaitable[None]]) -> None:
        self.seen: Final = asyncio.Event()
        """Set while the queue looks empty; see ``after``."""
        self._pause = pause
        self._over = False
        """That the queue cannot or need not be popped further."""
        self._finished = -1
        """What had left in all when the pop began that found the queue empty."""
        self._due: list[datetime] = []
        """When items that this worker parked may be popped again; a heap."""

    def after(self, finished: int) -> bool:
        """Whether the queue was seen empty once so many items had left, of all queues: the last of
        them may have pushed, or been chained, into this one."""
        return self._over or (self.seen.is_set() and self._finished == finished)

    def come(self) -> None:
        """The end has come, whatever other queues may bring."""
        self._over = True
        self.seen.set()

    def empty(self, finished: int) -> None:
        """The queue was empty once so many items had left, of all queues."""
        self._finished = finished
        self.seen.set()

    def answered(self, found: bool) -> None:
        """A pop was answered, so the queue can be popped."""
        self._over = False
        if found:
            self.seen.clear()

    def parked(self, until: datetime) -> None:
        """An item of this worker's may be popped again from then on."""
        heapq.heappush(self._due, until)

    async def parked_are_due(self, looked: datetime) -> bool:
        """Wait for the next of the items that this worker parked, if that is soon; whether it was.

        Args:
            looked: when the pop that found nothing began.
        """
        while self._due and self._due[0] + CLOCKS <= looked:
            heapq.heappop(self._due)
        if not self._due:
            return False
        left = (self._due[0] + CLOCKS - datetime.now(UTC)).total_seconds()
        if left > PATIENCE:
            return False
        await self._pause(max(0.0, left))
        return True
