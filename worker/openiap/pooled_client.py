"""The client of handlers and scripts: the same API, over whatever connection is ready.

1. A handler may hold it for its whole run; reconnects and replaced connections happen behind it,
   and its calls wait for a link, and for their turn at the same limiter as the worker's own.
2. What it registers stays registered (``pooled_registrations.py``).
3. Each class method of ``Client`` is reached by its name; what belongs to one link is refused.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

from worker.openiap.client import Client
from worker.openiap.errors import IN_A_CHILD, NotConnected
from worker.openiap.kept import ENDED_BY
from worker.openiap.pool import Pool
from worker.openiap.pooled_registrations import NOTICED, PooledRegistrations

# What belongs to one link and not to a handler: the worker alone connects and disconnects.
_REFUSED = frozenset({"connect", "disconnect", "signin"})
_ENDS: Final = frozenset(ENDED_BY.values())
_GAUGES: Final = frozenset(f"set_{kind}_observable_gauge" for kind in ("f64", "u64", "i64"))

T = TypeVar("T")


class PooledClient:
    """Forwards every method of ``Client`` to the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._registrations = PooledRegistrations(pool)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _REFUSED:
            raise AttributeError(f"{name}: the pool owns the connection; calls only use it")
        if name in ENDED_BY or name in _ENDS:
            return self._registering(name)
        if name in _GAUGES:
            return self._gauge(name)
        if inspect.iscoroutinefunction(getattr(Client, name, None)):
            return self._through_pool(name)
        for connection in self._pool.connections:
            if connection.present is not None:
                return getattr(connection.present, name)
        raise NotConnected("not connected to OpenIAP", operation=name)

    def on_client_event(self, callback: Any) -> str:
        """Tell of the events of every connection; see ``Client.on_client_event``."""
        return self._registrations.listen(callback)

    def off_client_event(self, eventid: str) -> None:
        """Forget a callback; an unknown id is no error."""
        self._registrations.listen_no_more(eventid)

    def disable_observable_gauge(self, name: str) -> None:
        """Stop reporting a gauge, for good."""
        self._registrations.unset(
            f"gauge {name}", lambda client: client.disable_observable_gauge(name)
        )

    def enable_tracing(self, rust_log: str = "", tracing: str = "") -> None:
        """Let log lines through, those of later clients too."""
        self._registrations.set("tracing", lambda client: client.enable_tracing(rust_log, tracing))

    def disable_tracing(self) -> None:
        """Stop log lines."""
        self._registrations.unset("tracing", lambda client: client.disable_tracing())

    def _registering(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if name in _ENDS:
                return await self._registrations.end(name, *args, **kwargs)
            return await self._registrations.register(name, *args, **kwargs)

        return call

    def _gauge(self, operation: str) -> Callable[..., None]:
        def call(name: str, value: float, *description: str, **more: str) -> None:
            self._registrations.set(
                f"gauge {name}",
                lambda client: getattr(client, operation)(name, value, *description, **more),
            )

        return call

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
