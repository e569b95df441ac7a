"""Items of one key get into its line in the order in which this process popped them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class _Door:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Arrivals:
    """A lock per line, kept as long as somebody waits for it or has it."""

    def __init__(self) -> None:
        self._doors: dict[str, _Door] = {}
        self._underway: dict[str, int] = {}

    @asynccontextmanager
    async def of(self, line: str) -> AsyncIterator[bool]:
        """Enter alone, in order; gives whether an earlier one is still on its way into the line."""
        door = self._doors.setdefault(line, _Door())
        door.users += 1
        try:
            async with door.lock:
                yield line in self._underway
        finally:
            door.users -= 1
            if not door.users:
                del self._doors[line]

    def sets_out(self, line: str) -> None:
        """An item has a place, and is being parked."""
        self._underway[line] = self._underway.get(line, 0) + 1

    def arrived(self, line: str) -> None:
        """It is parked, and the holders were looked at."""
        left = self._underway.pop(line, 0) - 1
        if left > 0:
            self._underway[line] = left
