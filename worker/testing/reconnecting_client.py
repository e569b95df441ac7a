"""The test's own client: signed in, and again after each cut and restart."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from worker.openiap.client import Client
from worker.openiap.connection import Connection, LinkTimes
from worker.openiap.errors import NotConnected
from worker.openiap.limiter import Limiter
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.telemetry.log import Log

T = TypeVar("T")

TIMEOUT: Final = 60.0
"""Seconds; a test that waits longer waits in vain."""
LOOK_AGAIN: Final = 0.02
TIMES: Final = LinkTimes(
    reconnect_min=0.05, reconnect_max=0.5, watchdog_interval=3.0, connect_timeout=TIMEOUT
)


class ReconnectingClient:
    """One link and its client; shape: ``start``, ``stop``.

    Args:
        make: makes unconnected clients.
    """

    def __init__(self, make: Callable[[], Client]) -> None:
        self._signed_in = asyncio.Event()

        async def connected(connection: Connection) -> None:
            self._signed_in.set()

        self._pool = Pool(
            [
                Connection(
                    "test",
                    make,
                    limiter=Limiter(0),
                    times=TIMES,
                    log=Log("error"),
                    on_connected=connected,
                    on_lost=lambda connection, reason: None,
                )
            ]
        )
        self.client: Final[Client] = pooled_client(self._pool)

    async def start(self) -> None:
        """Sign in."""
        await self._pool.start()

    async def stop(self) -> None:
        """Close the link for good."""
        await self._pool.stop()

    @asynccontextmanager
    async def again(self) -> AsyncIterator[None]:
        """Come back from a block that cuts the link only when it is signed in again."""
        self._signed_in.clear()
        yield
        async with asyncio.timeout(TIMEOUT):
            await self._signed_in.wait()
            await self._pool.wait_ready()

    async def when_connected(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call once the link is there: nothing was sent where it was not."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                try:
                    return await call()
                except NotConnected:
                    await asyncio.sleep(LOOK_AGAIN)
