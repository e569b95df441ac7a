"""The client that handlers are given: the same API, over whatever connection is ready.

A handler may hold it for its whole run; reconnects and replaced connections happen behind it, and
its calls wait for their turn at the same limiter as the worker's own.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

from worker.openiap.client import Client
from worker.openiap.errors import NotConnected
from worker.openiap.pool import Pool

# What belongs to one link and not to a handler: the worker alone connects and disconnects.
_REFUSED = frozenset({"connect", "disconnect", "signin"})


class PooledClient:
    """Forwards every method of ``Client`` to the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

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
            await self._pool.wait_ready()
            return await self._pool.call(lambda client: getattr(client, name)(*args, **kwargs))

        return call


def pooled_client(pool: Pool) -> Client:
    """Return a client for handlers."""
    return cast(Client, PooledClient(pool))
