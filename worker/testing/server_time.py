"""The time of the test's server: it goes from tick to tick, and jumps while a test waits."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from worker.durations import text as duration_text
from worker.testing.controlled_server import ControlledServer
from worker.testing.item_view import ItemView
from worker.testing.local_workers import LocalWorkers
from worker.testing.server_items import ServerItems

LOOK_AGAIN: Final = 0.005
BEHIND: Final = 0.001
"""Seconds behind a moment at which what is due then is due for sure."""


class ServerTime:
    """Moves the server's time, and waits for items by moving it."""

    def __init__(self, server: ControlledServer, items: ServerItems, workers: LocalWorkers) -> None:
        self._server = server
        self._items = items
        self._workers = workers

    async def advance(self, duration: float) -> None:
        """Move it ahead by so many seconds; schedules tick on the way, one after the other."""
        while True:
            ahead = await self._workers.tick()
            if duration <= 0:
                return
            step = duration if ahead is None else min(duration, max(0.0, ahead) + BEHIND)
            await self._server.advance(step)
            duration -= step

    async def wait(
        self, left: Callable[[], Sequence[ItemView]], *, timeout: float, jump: bool
    ) -> None:
        """Return once nothing is left.

        Args:
            left: returns the items that are to end; asked whenever items may have changed.
            timeout: real seconds.
            jump: move time to the next due item whenever nothing else is left to do.

        Raises:
            TimeoutError: the text says how the first of them stands.
        """
        waiting: Sequence[ItemView] = ()
        try:
            async with asyncio.timeout(timeout):
                while waiting := left():
                    self._server.changed.clear()
                    if jump and (ahead := self._items.next_due()) is not None:
                        await self.advance(ahead + BEHIND)
                    await self._server.changed.wait()
        except TimeoutError:
            first = (left() or waiting)[0]
            raise TimeoutError(self._not_ended(first, timeout)) from None

    async def settled(self, *, timeout: float, jump: bool) -> None:
        """Return once all items have ended and no worker has anything in hand.

        Args:
            timeout: real seconds.
            jump: as for ``wait``.

        Raises:
            TimeoutError: the text says how the first item stands, or that workers are busy.
        """
        over = time.monotonic() + timeout

        def left() -> list[ItemView]:
            return [item for item in self._items.items() if not item.ended]

        while True:
            await self.wait(left, timeout=max(0.0, over - time.monotonic()), jump=jump)
            # An item ends on the server first; what its handler pushed follows.
            if not self._workers.busy():
                if not left():
                    return
            elif time.monotonic() > over:
                raise TimeoutError(
                    f"all items have ended, but within {duration_text(timeout)} the workers did not"
                    " get rid of their outcomes and follow-ups"
                )
            else:
                await asyncio.sleep(LOOK_AGAIN)

    def _not_ended(self, item: ItemView, limit: float) -> str:
        due = ""
        if item.nextrun is not None:
            ahead = (item.nextrun - datetime.now(UTC)).total_seconds()
            due = f", due in {duration_text(round(ahead))}" if ahead >= 1 else ", due"
        error = f", last error: {item.errormessage}" if item.errormessage else ""
        worked = item.queue in self._workers.queues
        nobody = "" if worked else f"; no worker of this test works {item.queue}"
        return (
            f"item {item.id} in {item.queue} did not end within {duration_text(limit)}: state"
            f" {item.state}, {item.attempts} attempts begun{due}{error}{nobody}"
        )
