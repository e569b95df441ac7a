"""A client with something around each of its calls."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from worker.openiap.client import Client

Around = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Awaitable[Any]]
"""Makes a call, when and as often as it likes."""


def with_around(client: Client, around: Around) -> Client:
    """Return a client each of whose calls is made by ``around``; all else is the client's own."""
    return cast(Client, _AroundClient(client, around))


class _AroundClient:
    def __init__(self, client: Client, around: Around) -> None:
        self._client = client
        self._around = around

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._client, name)
        if not inspect.iscoroutinefunction(getattr(Client, name, None)):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            async def made() -> Any:
                return await found(*args, **kwargs)

            return await self._around(made)

        return call
