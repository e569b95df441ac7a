"""What tells a consumer that there may be work: hints, alarms for known times, jittered polls.

A wake-up is a hint and never data: whoever may send to the message queue can cause a pop, nothing
more (server.md, Wake-up).
"""

import asyncio
import heapq
import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from worker.settings import RARELY

MAX_ALARMS: Final = 10_000
# The server's clock and ours differ; a pop that comes too early finds nothing and polls again.
ALARM_SLACK: Final = 0.05
MOST_SELDOM: Final = 10
"""A fleet shares the polls that are only a net below; each worker polls at least so often as if
there were no more workers than these."""


class Wakeup:
    """Wakes one consumer.

    Args:
        poll_interval: seconds between looks at an idle queue.
        notified: whether the server tells of items now, by a watch or a message queue.
        fleet: how many workers the queue has, this one included.
    """

    def __init__(
        self,
        poll_interval: float,
        *,
        chance: random.Random,
        notified: Callable[[], bool] = lambda: False,
        fleet: Callable[[], int] = lambda: 1,
    ) -> None:
        self._poll_interval = poll_interval
        self._notified = notified
        self._chance = chance
        self._woken = asyncio.Event()
        self._told = asyncio.Event()
        """As ``_woken``, but for who waits for something else meanwhile."""
        self._fleet = fleet
        self._alarms: list[tuple[float, str]] = []
        """When they ring (``time.monotonic()``), and the item that one is about, or ""."""
        self._items: dict[str, float] = {}
        """When an item's alarm rings, as long as it is not known to be taken."""
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """There may be work now."""
        self._woken.set()
        self._told.set()

    def wake_at(self, moment: datetime) -> None:
        """There will be work at that moment (UTC), for example an item's nextrun."""
        ahead = (moment - datetime.now(UTC)).total_seconds() + ALARM_SLACK
        if ahead <= 0:
            self.wake()
            return
        if len(self._alarms) < MAX_ALARMS:  # beyond that the poll is often enough
            self._set(time.monotonic() + ahead, "")

    def wake_for(self, item: str, wait: float) -> None:
        """There is a new item, to be looked for in so many seconds, unless it is ``taken`` then."""
        if wait <= 0 or len(self._alarms) >= MAX_ALARMS:
            self._items.pop(item, None)
            self.wake()
            return
        at = self._items[item] = time.monotonic() + wait
        self._set(at, item)

    def taken(self, item: str) -> None:
        """Another has an item: nobody has to be woken for it."""
        self._items.pop(item, None)

    def clear(self) -> None:
        """Forget wake-ups so far; to be called before a pop, never after it."""
        self._woken.clear()

    async def wait(self) -> None:
        """Return on the next wake-up, or when it is time to poll."""
        if self._woken.is_set():
            return
        pause = self._poll_interval * self._chance.uniform(0.75, 1.25)
        if self._notified():
            pause *= RARELY * min(MOST_SELDOM, max(1, self._fleet()))
        try:
            async with asyncio.timeout(pause):
                await self._woken.wait()
        except TimeoutError:
            return

    async def told(self, seconds: float) -> None:
        """Return on the next wake-up from now, or after so many seconds."""
        self._told.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()

    def close(self) -> None:
        """Cancel the alarms."""
        if self._timer is not None:
            self._timer.cancel()
        self._alarms.clear()
        self._items.clear()

    def _set(self, at: float, item: str) -> None:
        heapq.heappush(self._alarms, (at, item))
        if self._alarms[0] == (at, item):
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._alarms:
            wait = max(0.0, self._alarms[0][0] - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._alarms and self._alarms[0][0] <= now:
            at, item = heapq.heappop(self._alarms)
            if not item:
                self.wake()
            elif self._items.get(item) == at:
                del self._items[item]
                self.wake()
        self._arm()
