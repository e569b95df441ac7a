"""The replies that a client's own ``rpc`` calls wait for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from worker.openiap.errors import Disconnected


class Replies:
    """Matches replies to calls by their correlation ids.

    Attributes:
        queue: the message queue for replies on the present connection; "" while there is none.
    """

    def __init__(self) -> None:
        self.queue = ""
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._lock = asyncio.Lock()

    async def own_queue(self, register: Callable[[], Awaitable[str]]) -> str:
        """Return the queue for replies, which is registered when it is first needed."""
        async with self._lock:
            if not self.queue:
                self.queue = await register()
            return self.queue

    def expect(self, correlation_id: str) -> "asyncio.Future[Any]":
        """Return the future of a reply."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = reply
        return reply

    def forget(self, correlation_id: str) -> None:
        """Wait no longer."""
        reply = self._waiting.pop(correlation_id, None)
        if reply is not None:
            reply.cancel()

    def take(self, correlation_id: str, data: Any) -> None:
        """Hand a reply to the call that waits for it; one that comes too late is dropped."""
        reply = self._waiting.get(correlation_id)
        if reply is not None and not reply.done():
            reply.set_result(data)

    def lost(self, reason: str) -> None:
        """End all waits: the link dropped, and with it the queue for replies."""
        self.queue = ""
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(Disconnected(reason, operation="rpc"))
