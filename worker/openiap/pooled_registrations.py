"""Registering over a pool: each queue, exchange and watch has one connection that it stays with.

Asking for the same again gives the new callback to what is there; so a program may register on each
``SignedIn`` as OpenIAP's examples do, or once, or both.
"""

import asyncio
import inspect
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from worker.forks import Origin
from worker.openiap.client import Client
from worker.openiap.connection import Connection
from worker.openiap.counted import counted
from worker.openiap.errors import IN_A_CHILD, Disconnected, NotConnected
from worker.openiap.kept import Kept
from worker.openiap.pool import Pool
from worker.openiap.types import EventCallback

NOTICED: Final = 0.05
"""Seconds until the pool has noticed, too, that a link is down."""


class PooledRegistrations:
    """Queues, exchanges, watches and events of user code over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._origin = Origin()

    async def register(self, operation: str, *args: Any, **kwargs: Any) -> str:
        """Make a call whose effect is kept; arguments as the client's, returns what it does."""
        self._refuse_a_child()
        arguments = _bound(operation, args, kwargs)
        timeout = arguments.pop("timeout")
        callback = arguments.pop("callback")
        if callback is not None:
            callback = counted(callback)
        while True:
            known = self._same(operation, arguments, callback)
            if known is None:
                return await self._new(Kept(operation, arguments, callback), timeout)
            known.callback = callback
            if known.name:
                return known.name
            async with known.lock:  # another task is registering it just now
                pass
            await asyncio.sleep(0)

    async def _new(self, one: Kept, timeout: float | None) -> str:
        await self._pool.wait_ready()
        connection = self._pool.least_busy()
        kept = connection.keeper.kept
        kept.append(one)
        try:
            while True:
                await connection.ready.wait()
                try:
                    await connection.call(lambda client: one.make(client, timeout))
                    return one.name
                except (NotConnected, Disconnected) as error:
                    # The server forgets with the link, so it may be asked again.
                    if error.text == IN_A_CHILD:
                        raise
                    await asyncio.sleep(NOTICED)
        except BaseException:
            one.gone = True
            kept.remove(one)
            raise

    async def end(self, operation: str, *args: Any, **kwargs: Any) -> None:
        """End a queue or a watch on the connection that has it."""
        self._refuse_a_child()
        arguments = _bound(operation, args, kwargs)
        timeout = arguments.pop("timeout")
        name = next(iter(arguments.values()))
        ended = "watch" if operation == "unwatch" else "register_"
        for connection in self._pool.connections:
            for one in connection.keeper.kept:
                if one.name == name and one.operation.startswith(ended):
                    await self._end(connection, one, timeout)
                    return
        await self._pool.wait_ready()
        await self._pool.call(lambda client: getattr(client, operation)(name, timeout=timeout))

    async def _end(self, connection: Connection, one: Kept, timeout: float | None) -> None:
        connection.keeper.kept.remove(one)
        try:
            await connection.call(lambda client: one.end(client, timeout))
        except NotConnected:  # it went with the link, and is not to come back
            await one.end(connection.present, timeout)

    def listen(self, callback: EventCallback) -> str:
        """Tell a callback of the events of all connections; returns one id for all."""
        eventid = ""
        callback = counted(callback)
        for connection in self._pool.connections:
            eventid = connection.keeper.events.add(callback, eventid)
        return eventid

    def listen_no_more(self, eventid: str) -> None:
        """Forget a callback; an unknown id is no error."""
        for connection in self._pool.connections:
            connection.keeper.events.remove(eventid)

    def set(self, key: str, apply: Callable[[Client], None]) -> None:
        """Set something on the first connection's client, and on each that takes its place."""
        first = self._pool.connections[0]
        first.keeper.settings[key] = apply
        self._apply(first, apply)

    def unset(self, key: str, apply: Callable[[Client], None]) -> None:
        """Take something back that was set."""
        first = self._pool.connections[0]
        first.keeper.settings.pop(key, None)
        self._apply(first, apply)

    def _refuse_a_child(self) -> None:
        if self._origin.left:
            raise NotConnected(IN_A_CHILD)

    def _apply(self, connection: Connection, apply: Callable[[Client], None]) -> None:
        if connection.present is not None:
            apply(connection.present)

    def _same(
        self, operation: str, arguments: Mapping[str, Any], callback: Callable[[Any], Any] | None
    ) -> Kept | None:
        wanted = _identity(operation, arguments, callback)
        for connection in self._pool.connections:
            for one in connection.keeper.kept:
                if _identity(one.operation, one.arguments, one.callback) == wanted:
                    return one
        return None


def _bound(operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, one spelling each, defaults filled in.

    Raises:
        TypeError: as the call would.
    """
    bound = inspect.signature(getattr(Client, operation)).bind(None, *args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    del arguments["self"]
    for documented, older in (("queuename", "queue_name"), ("exchangename", "exchange_name")):
        other = arguments.pop(older, "")
        if documented in arguments:
            arguments[documented] = arguments[documented] or other
    return arguments


def _identity(
    operation: str, arguments: Mapping[str, Any], callback: Callable[[Any], Any] | None
) -> Hashable:
    """Return what makes two registrations the same; a queue without a name is like no other."""
    if operation == "register_queue":
        return (operation, arguments["queuename"] or object())
    told = (callback,) if operation == "watch" else ()
    return (operation, repr(sorted(arguments.items())), *told)
