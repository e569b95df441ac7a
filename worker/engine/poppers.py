"""How many pops of one queue may be in flight, where they do not disturb each other.

The first pops whenever there may be work. Each further one joins once so many pops in a row have
found an item, and rests when one has found none: a single item costs no more pops than before, and
a full queue is popped as fast as the server answers.
"""

import asyncio
from typing import Final

EACH_AFTER: Final = 3
"""Pops in a row that found an item, for each further pop in flight."""


class Poppers:
    """The poppers of one queue, by number; 0 is the first."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._joins = asyncio.Event()
        self._stopped = False

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

    def stop(self) -> None:
        """Let all of them go on, to see that they are to stop."""
        self._stopped = True
        self._joins.set()
