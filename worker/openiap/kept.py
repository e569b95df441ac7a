"""What user code registered over one connection of the pool, kept for as long as it wants it.

1. Queues, exchanges and watches are made again after every sign-in, over the client that there is
   then, before anybody is told of the sign-in; names and ids that user code was given stay valid.
2. Gauges and other settings of a client are set again on each that takes its place.
3. Who listens to the connection's events hears those of every client that it ever has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from worker.openiap.callbacks import Callbacks, ConnectionEvents
from worker.openiap.client import Client
from worker.openiap.errors import NotConnected, OpenIAPError, RequestTimeout
from worker.openiap.limiter import Turn
from worker.openiap.types import QueueEvent, WatchEvent

ENDED_BY: Final[Mapping[str, str]] = {
    "register_queue": "unregister_queue",
    "register_exchange": "unregister_queue",
    "watch": "unwatch",
}
"""The calls whose effect is kept, and what ends it."""
TRIES: Final = 2
"""How often a registration may go unanswered before the rest goes on without it."""

Operation = Callable[[Client], Awaitable[None]]


class Call(Protocol):
    """Runs one operation on the present client of a connection."""

    def __call__(self, operation: Operation, *, turn: Turn = "then") -> Awaitable[None]:
        """Raise ``OpenIAPError`` where it does not succeed."""


@dataclass(slots=True, eq=False)
class Kept:
    """One queue, exchange or watch.

    Attributes:
        operation, arguments: the call that makes it, without its callback.
        callback: of the user's; None takes what comes and tells nobody.
        name: the queue's name or the watch's id as user code knows it; "" before it is made.
        current: the same on the present link.
        made_on: the client and the number of its sign-in that it is made on, or None.
        gone: nobody wants it any more.
    """

    operation: str
    arguments: Mapping[str, Any]
    callback: Callable[[Any], Any] | None
    name: str = ""
    current: str = ""
    made_on: tuple[Client, int] | None = None
    gone: bool = False
    unanswered: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def told(self, event: QueueEvent | WatchEvent) -> Any:
        """Pass an event on, under the name that user code knows."""
        if self.gone or self.callback is None:
            return None
        if isinstance(event, WatchEvent):
            known = self.name if event.id == self.current else event.id
            return self.callback(event if known == event.id else replace(event, id=known))
        known = self.name if event.queuename == self.current else event.queuename
        return self.callback(event if known == event.queuename else replace(event, queuename=known))

    async def make(self, client: Client, timeout: float | None = None) -> None:
        """Register it on the present link of a client, unless it is there already.

        Raises:
            OpenIAPError: the call's; then it is not made.
        """
        async with self.lock:
            link = (client, client.sign_ins)
            if self.gone or self.made_on == link:
                return
            self.current = await self._sent(client, timeout)
            self.name = self.name or self.current
            self.made_on, self.unanswered = link, 0

    async def _sent(self, client: Client, timeout: float | None) -> str:
        call: Callable[..., Awaitable[str]] = getattr(client, self.operation)
        arguments = {**self.arguments, "callback": self.told, "timeout": timeout}
        made_up = self.operation == "register_queue" and not self.arguments["queuename"]
        if not made_up or not self.current:
            return await call(**arguments)
        try:
            return await call(**{**arguments, "queuename": self.current})
        except OpenIAPError as error:
            if error.maybe_done or isinstance(error, NotConnected):
                raise
            # A server may refuse to have a name again that it made up itself.
            return await call(**arguments)

    async def end(self, client: Client | None, timeout: float | None) -> None:
        """End it wherever it is made; where there is no link, it went with that.

        Raises:
            OpenIAPError: the server refuses, or does not answer.
        """
        self.gone = True
        async with self.lock:
            if client is None or self.made_on is None or self.made_on[0] is not client:
                return
            present = client.connected and self.made_on[1] == client.sign_ins
            try:
                await getattr(client, ENDED_BY[self.operation])(self.current, timeout=timeout)
            except OpenIAPError as error:
                if present and client.connected and not isinstance(error, NotConnected):
                    raise


class Keeper:
    """Keeps what belongs to one connection.

    Args:
        report: told in one line of what could not be made again, and of what a callback raised.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self.events: Final = ConnectionEvents(Callbacks(report))
        self.kept: Final[list[Kept]] = []
        self.settings: Final[dict[str, Callable[[Client], None]]] = {}

    async def restore(self, client: Client, call: Call) -> None:
        """Make everything again after a sign-in of ``client``.

        What the server refuses is reported and left out until the next sign-in, so that the rest
        lives.

        Args:
            call: runs an operation on the present client, at its turn.

        Raises:
            OpenIAPError: the link is of no use: it dropped, or it does not answer.
        """
        for apply in tuple(self.settings.values()):
            apply(client)
        for one in tuple(self.kept):
            try:
                await call(one.make, turn="first")
            except OpenIAPError as error:
                if isinstance(error, RequestTimeout):
                    one.unanswered += 1
                    if one.unanswered < TRIES:
                        raise
                    one.unanswered = 0
                elif error.maybe_done or isinstance(error, NotConnected):
                    raise
                self._report(f"{one.operation} {one.name}: could not be made again: {error.text}")
