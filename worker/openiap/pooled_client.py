"""The client that handlers are given: the same API, over whatever connection is ready.

A handler may hold it for its whole run; reconnects and replaced connections happen behind it, and
its calls wait for a link, and for their turn at the same limiter as the worker's own.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from worker.openiap.client import Client
from worker.openiap.errors import IN_A_CHILD, NotConnected
from worker.openiap.pool import Pool

NOTICED: Final = 0.05
"""Seconds until the pool has noticed, too, that a link is down."""
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
            while True:
                await self._pool.wait_ready()
                try:
                    return await self._pool.call(
                        lambda client: getattr(client, name)(*args, **kwargs)
                    )
                except NotConnected as error:  # nothing was sent
                    if error.text == IN_A_CHILD:
                        raise
                    await asyncio.sleep(NOTICED)

        return call


def pooled_client(pool: Pool) -> Client:
    """Return a client for handlers."""
    return cast(Client, PooledClient(pool))
