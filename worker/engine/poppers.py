"""How many pops of one queue may be in flight, where they do not disturb each other.

1. The first pops whenever there may be work. Each further one joins once so many pops in a row have
   found an item, and rests when one has found none: a single item costs no more pops than before,
   and a full queue is popped as fast as the server answers.
2. Those that wait for a slot are woken one for each that comes free, the first before the others:
   it alone needs no reason to join.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

EACH_AFTER: Final = 3
"""Pops in a row that found an item, for each further pop in flight."""


class Poppers:
    """The poppers of one queue, by number; 0 is the first."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._joins = asyncio.Event()
        self._stopped = False
        self._waiting: dict[int, asyncio.Future[None]] = {}
        """For a slot, by number."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(
        self, pop: Callable[[int], Coroutine[Any, Any, None]], count: int, *, name: str
    ) -> None:
        """Begin.

        Args:
            pop: what each does, given its number.
            count: so many of them, and one at least.
            name: of their tasks.
        """
        numbers = range(max(1, count))
        self._tasks = [asyncio.create_task(pop(number), name=name) for number in numbers]

    async def joins(self, number: int) -> None:
        """Wait until a popper is needed, or all are to stop."""
        while self._in_a_row < number * EACH_AFTER and not self._stopped:
            self._joins.clear()
            await self._joins.wait()

    def found(self) -> None:
        """A pop found an item."""
        self._in_a_row += 1
        if self._in_a_row % EACH_AFTER == 0:
            self._joins.set()

    def found_none(self) -> None:
        """A pop found no item, or did not work."""
        self._in_a_row = 0

    async def slot(self, number: int) -> None:
        """Wait until there may be a slot for a popper, or all are to stop."""
        if self._stopped:
            return
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await waiting
        finally:
            if self._waiting.get(number) is waiting:
                del self._waiting[number]

    def wake(self, slots: int) -> None:
        """Wake as many as there are slots, but one at least: it sees what else has changed."""
        for number in sorted(self._waiting)[: max(1, slots)]:
            waiting = self._waiting.pop(number)
            if not waiting.done():
                waiting.set_result(None)

    def stop(self) -> None:
        """Let all of them go on, to see that they are to stop."""
        self._stopped = True
        self._joins.set()
        self.wake(len(self._waiting))

    async def ended(self, timeout: float) -> None:
        """Return once all have ended, or after ``timeout`` seconds, when the rest is cancelled."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
