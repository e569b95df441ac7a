"""The client that handlers are given: the same API, over whatever connection is ready.

A handler may hold it for its whole run; reconnects and replaced connections happen behind it, and
its calls wait for a link, and for their turn at the same limiter as the worker's own.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

from worker.forks import Origin
from worker.openiap.client import Client
from worker.openiap.errors import IN_A_CHILD, NotConnected
from worker.openiap.pool import Pool

NOTICED: Final = 0.05
"""Seconds until the pool has noticed, too, that a link is down."""
# What belongs to one link and not to a handler: the worker alone connects and disconnects.
_REFUSED = frozenset({"connect", "disconnect", "signin"})

T = TypeVar("T")


class PooledClient:
    """Forwards every method of ``Client`` to the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._origin = Origin()
        self._watched: dict[str, Client] = {}

    async def watch(self, *args: Any, **kwargs: Any) -> str:
        """See ``Client.watch``; the link that it is on is known to ``unwatch``."""

        async def begin(client: Client) -> tuple[str, Client]:
            return await client.watch(*args, **kwargs), client

        watchid, client = await self._on_the_pool(begin)
        self._watched = {id: on for id, on in self._watched.items() if on.connected}
        self._watched[watchid] = client
        return watchid

    async def unwatch(self, watchid: str, **kwargs: Any) -> None:
        """See ``Client.unwatch``; a watch whose link is gone went with it."""
        if self._origin.left:
            raise NotConnected(IN_A_CHILD)
        client = self._watched.pop(watchid, None)
        for connection in self._pool.connections:
            if client is not None and connection.present is client:
                await connection.call(lambda client: client.unwatch(watchid, **kwargs))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _REFUSED:
            raise AttributeError(f"{name}: the worker owns the connection; handlers only use it")
        if inspect.iscoroutinefunction(getattr(Client, name, None)):
            return self._through_pool(name)
        for connection in self._pool.connections:
            if connection.present is not None:
                return getattr(connection.present, name)
        raise NotConnected("not connected to OpenIAP", operation=name)

    def _through_pool(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._on_the_pool(lambda client: getattr(client, name)(*args, **kwargs))

        return call

    async def _on_the_pool(self, operation: Callable[[Client], Awaitable[T]]) -> T:
        while True:
            await self._pool.wait_ready()
            try:
                return await self._pool.call(operation)
            except NotConnected as error:  # nothing was sent
                if error.text == IN_A_CHILD:
                    raise
                await asyncio.sleep(NOTICED)


def pooled_client(pool: Pool) -> Client:
    """Return a client for handlers."""
    return cast(Client, PooledClient(pool))
