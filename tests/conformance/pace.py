"""Keeps a client within the server's limit of messages per second.

It is no limiter of the product: that one finds out where the limit is by running into it, which is
not for a server that belongs to somebody else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from worker.openiap.backend import OperationBackend
from worker.openiap.client import Client
from worker.openiap.errors import RateLimited
from worker.openiap.file_transfer import FileTransfer
from worker.openiap.workitem import Workitem

T = TypeVar("T")
WINDOW: Final = 1.1
"""Seconds after which a server that refused takes messages again."""


class Pace:
    """Lets so many messages a second pass; 0 lets all pass."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until the next message may go."""
        now = time.monotonic()
        moment = max(now, self._next)
        self._next = moment + self._gap
        if moment > now:
            await asyncio.sleep(moment - now)

    async def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """Make a call in its turn, and again where the limit refused it: it was not executed."""
        while True:
            await self.turn()
            try:
                return await make()
            except RateLimited:
                self._next = max(self._next, time.monotonic() + WINDOW)


class _Paced:
    """The operations of a client, each in its turn."""

    def __init__(self, operations: OperationBackend, pace: Pace) -> None:
        self._operations = operations
        self._pace = pace

    async def call(
        self, operation: str, seconds: float, item_id: str, fields: Mapping[str, Any]
    ) -> Any:
        return await self._pace.call(
            lambda: self._operations.call(operation, seconds, item_id, fields)
        )

    async def pop_workitem(
        self, wiq: str, wiqid: str, seconds: float, late: Callable[[Workitem], None]
    ) -> Workitem | None:
        return await self._pace.call(
            lambda: self._operations.pop_workitem(wiq, wiqid, seconds, late)
        )


def paced(client: Client, pace: Pace) -> Client:
    """Return the client, with every request that has a reply in its turn."""
    backend = replace(client._backend, operations=_Paced(client._backend.operations, pace))
    client._backend = backend  # type: ignore[misc]
    client._transfer = FileTransfer(backend)  # type: ignore[misc]
    return client
