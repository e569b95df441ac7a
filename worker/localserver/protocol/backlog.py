"""Bytes on their way out of one connection, with bounds for those who send a lot."""

import asyncio
from collections import deque
from typing import Final

LOW: Final = 4 * 1024 * 1024


class Backlog:
    """A queue of encoded messages between a session, which never waits, and its transport."""

    def __init__(self) -> None:
        self._bodies: deque[bytes] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._low = asyncio.Event()
        self._low.set()

    def add(self, body: bytes) -> None:
        """Put a message behind the others."""
        self._bodies.append(body)
        self._size += len(body)
        if self._size > LOW:
            self._low.clear()
        self._filled.set()

    async def take(self) -> list[bytes]:
        """Wait for messages and return all there are."""
        await self._filled.wait()
        self._filled.clear()
        taken = list(self._bodies)
        self._bodies.clear()
        return taken

    def sent(self, size: int) -> None:
        """Note that so many bytes of messages have left."""
        self._size -= size
        if self._size <= LOW:
            self._low.set()

    async def low(self) -> None:
        """Wait until no more than a few MiB wait to leave."""
        await self._low.wait()
