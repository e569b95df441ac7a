"""The client for code that blocks: each call of ``Client`` by its name, waited for.

A callback that is a plain function runs on a thread of its own, one event after another, so it may
block and use this client. Async ones run on the connection's loop, where it cannot be used.
"""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from worker.openiap.client import Client
from worker.openiap.counted import counted
from worker.openiap.threads import DaemonThreads

_TAKE_CALLBACKS: Final = frozenset(
    {"register_queue", "register_exchange", "watch", "on_client_event"}
)
_IN_THE_CALLER: Final = frozenset({"scope"})
"""What changes the context of whoever calls it, which its calls take along to the loop."""


class Loop(Protocol):
    """The connection, which has a loop on a thread of its own."""

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine there and wait for it."""


class BlockingClient:
    """Every call and property of ``worker.Client``, for code that blocks.

    Args:
        loop: runs what is called.
        client: returns the client that is used.
    """

    def __init__(self, loop: Loop, client: Callable[[], Client]) -> None:
        self._loop = loop
        self._client = client

    def __dir__(self) -> list[str]:
        return [name for name in dir(Client) if not name.startswith("_")]

    def __getattr__(self, name: str) -> Any:
        if name in _IN_THE_CALLER:
            return functools.partial(self._call, name)
        if name.startswith("_") or not hasattr(Client, name):
            raise AttributeError(f"the client has no {name!r}")
        if not callable(getattr(Client, name)):
            return self._loop.wait(self._read(name))
        return functools.partial(self._call, name)

    async def _read(self, name: str) -> Any:
        return getattr(self._client(), name)

    def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        if name in _IN_THE_CALLER:
            return getattr(self._client(), name)(*args, **kwargs)
        if name in _TAKE_CALLBACKS:
            args = tuple(off_the_loop(one) if callable(one) else one for one in args)
            if callable(kwargs.get("callback")):
                kwargs["callback"] = off_the_loop(kwargs["callback"])
        return self._loop.wait(self._called(name, args, kwargs))

    async def _called(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = getattr(self._client(), name)(*args, **kwargs)
        return await found if inspect.isawaitable(found) else found


def off_the_loop(callback: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return a callback as one that keeps the connection's loop free."""
    return callback if inspect.iscoroutinefunction(callback) else _Threaded(callback)


class _Threaded:
    """Runs a callback on a thread of its own, one event after another; equal by its callback."""

    def __init__(self, callback: Callable[..., Any]) -> None:
        self._callback = counted(callback)
        self._threads = DaemonThreads("openiap callback")
        self._turn = asyncio.Lock()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Threaded) and other._callback == self._callback

    def __hash__(self) -> int:
        return hash(self._callback)

    def __del__(self) -> None:
        self._threads.close()

    async def __call__(self, event: Any) -> Any:
        async with self._turn:
            return await self._threads.run(lambda: self._callback(event))
