"""The connections of one worker, and the way every engine call takes through them.

A call goes over the ready connection whose limit lets it through first, and of those the least
busy; see ``Connection.call``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from worker.forks import Origin
from worker.openiap.client import Client
from worker.openiap.connection import Connection
from worker.openiap.errors import IN_A_CHILD, NotConnected
from worker.openiap.limiter import Turn

T = TypeVar("T")


class Pool:
    """A fixed set of connections; shape: ``start``, ``stop``."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = tuple(connections)
        self._origin = Origin()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All of them, ready or not."""
        return self._connections

    @property
    def epoch(self) -> int:
        """The number of sign-ins so far; it changes with every reconnect."""
        total = 0
        for connection in self._connections:  # twice per item: a generator would cost more
            total += connection.epoch
        return total

    @property
    def ready(self) -> bool:
        """Whether a call could be made now."""
        for connection in self._connections:  # noqa: SIM110 (several times per item)
            if connection.ready.is_set():
                return True
        return False

    @property
    def rate(self) -> float:
        """Messages per second that the limiters admit now; 0 without a limit."""
        return sum(connection.limiter.rate for connection in self._connections)

    @property
    def learnt(self) -> float:
        """Messages per second that the server takes on one connection, as far as its refusals
        have told; 0.0 if there were none."""
        return max(connection.limiter.learnt for connection in self._connections)

    def begin_with(self, rate: float) -> None:
        """Begin with what was found out before: messages per second on each connection."""
        for connection in self._connections:
            connection.limiter.begin_with(rate)

    @property
    def refusals(self) -> int:
        """How often the server's rate limit refused a message."""
        return sum(connection.limiter.refusals for connection in self._connections)

    async def start(self) -> None:
        """Connect all; returns when the first is ready.

        Raises:
            AccessDenied: the server refuses the credentials.
        """
        first, *others = (
            asyncio.ensure_future(connection.start()) for connection in self._connections
        )
        try:
            await first
        except BaseException:
            for other in others:
                other.cancel()
            await asyncio.gather(first, *others, return_exceptions=True)
            raise
        for other in others:
            other.add_done_callback(_seen)

    async def stop(self) -> None:
        """Close all for good."""
        await asyncio.gather(*(connection.stop() for connection in self._connections))

    async def wait_ready(self) -> None:
        """Return when a call can be made."""
        if self.ready:
            return
        waits = [asyncio.ensure_future(c.ready.wait()) for c in self._connections]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def call(
        self, operation: Callable[[Client], Awaitable[T]], *, turn: Turn = "then"
    ) -> Coroutine[Any, Any, T]:
        """Run one operation on the ready connection that lets it through first.

        Args:
            operation: makes the call on the client that it is given.
            turn: ``"first"`` for what writes outcomes back.

        Raises:
            NotConnected: no connection is ready; nothing was sent.
            OpenIAPError: what the operation raised, save for ``RateLimited``.
        """
        return self.least_busy().call(operation, turn=turn)

    def least_busy(self) -> Connection:
        """Return the ready connection over which a call goes first.

        Raises:
            NotConnected: none is ready.
        """
        if self._origin.left:
            raise NotConnected(IN_A_CHILD)
        connections = self._connections
        if len(connections) == 1:
            if not connections[0].ready.is_set():
                raise NotConnected("not connected to OpenIAP")
            return connections[0]
        ready = [c for c in connections if c.ready.is_set()]
        if not ready:
            raise NotConnected("not connected to OpenIAP")
        # The limit first: one pop at a time would else always find the first connection idle and
        # wait there for its window, while those of the others pass unused.
        return min(ready, key=lambda c: (c.limiter.delay(), c.in_flight))


def _seen(task: "asyncio.Future[None]") -> None:
    """Take the exception of a further connection: the first one's refusal is what is reported."""
    if not task.cancelled():
        task.exception()
