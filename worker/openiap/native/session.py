"""One connection: numbers what is sent, routes what comes, and bounds every wait.

1. A request is a future; its reply resolves it from the transport's callback, without a task.
2. ``seq`` is given in the order of the wire, from 0, pongs and stream parts included.
3. Deadlines of all calls share one timer.
4. The server's pings are answered; its silence ends the connection.
5. Bytes that are not the protocol end the connection; they never end its reader in silence.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from worker.openiap.errors import Disconnected, OpenIAPError, RequestTimeout, error_from_text
from worker.openiap.native.scope import Scope
from worker.openiap.native.transport import Transport
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import TYPE_PREFIX, WireError

M = TypeVar("M", bound=Message)

_STREAMS: Final = frozenset(("beginstream", "stream", "endstream"))
_NEVER: Final = float("inf")
LATE: Final = 600.0
"""Seconds for which the reply to a call that has failed by its deadline is still expected, where
somebody wants it: a pop that the server executed late took up to 49 s (server.md, Pops compete)."""
ASK_AFTER: Final = 5 / 6
"""Of the silence that ends a link: then the server is asked. Of the usual 30 s that is later than
an idle worker's heartbeats, which are 20 s apart, so that it asks nothing besides them."""
_URLS: Final[dict[type[Message], str]] = {
    kind: TYPE_PREFIX + kind.__name__
    for kind in vars(pb).values()
    if isinstance(kind, type) and issubclass(kind, Message)
}


class Inflow(Protocol):
    """Takes the parts of a file that the server streams."""

    def part(self, data: bytes) -> None:
        """One part came."""

    def end(self, error: OpenIAPError | None) -> None:
        """Nothing more comes; ``error`` says why when it broke off."""


class SessionEvents(Protocol):
    """What a session tells without being asked. Plain functions; none raises."""

    def queue_event(self, event: pb.QueueEvent) -> None:
        """A message on a registered queue."""

    def watch_event(self, event: pb.WatchEvent) -> None:
        """A change in a watched collection."""

    def token_refreshed(self, jwt: str) -> None:
        """The server sent a fresh token."""

    def lost(self, session: "Session", reason: str) -> None:
        """The connection is down; told once."""


@dataclass(slots=True)
class _Pending:
    """A request on its way."""

    future: asyncio.Future[Any]
    kind: type[Message]
    deadline: float
    operation: str
    item_id: str
    inflow: Inflow | None
    on_reply: Callable[[Any], None] | None
    on_late: Callable[[Any], None] | None
    overdue: bool = False


class Session:
    """The life of one connection, from its transport to its loss; a ``Receiver``."""

    def __init__(self, events: SessionEvents, *, silence: float) -> None:
        self._events = events
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._transport: Transport | None = None
        self._seq = 0
        self._pending: dict[str, _Pending] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._next_sweep = _NEVER
        self._watcher: asyncio.TimerHandle | None = None
        self._congested: set[object] = set()
        self._early: list[bytes] = []
        self.last_heard = time.monotonic()
        self.ended = ""
        """Why the connection is down, or "" while it is up."""

    def start(self, transport: Transport) -> None:
        """Take the transport, which may have delivered something already."""
        self._transport = transport
        self._watch()
        if self.ended:
            transport.abort()
            return
        early, self._early = self._early, []
        for body in early:
            self.received(body)

    # Sending

    def request(
        self,
        operation: str,
        command: str,
        message: Message,
        kind: type[M],
        timeout: float,
        *,
        item_id: str = "",
        scope: Scope | None = None,
        inflow: Inflow | None = None,
        on_reply: Callable[[M], None] | None = None,
        on_late: Callable[[M], None] | None = None,
    ) -> "asyncio.Future[M]":
        """Send a request and return the future of its reply.

        Args:
            operation, item_id: for the error, should it become one.
            command: the protocol's name of the request.
            kind: the type of the reply.
            timeout: seconds until the future fails with ``RequestTimeout``.
            inflow: takes the parts of a file that belong to this request.
            on_reply: called with the reply before anything else that came after it is looked at,
                so that an event right behind it finds its callback.
            on_late: called with a reply that nobody waits for any more.

        Raises:
            Disconnected: the connection is down; set on the future.
        """
        if self.ended:
            return self._refused(Disconnected(self.ended, operation=operation, item_id=item_id))
        deadline = time.monotonic() + timeout
        future: asyncio.Future[M] = self._loop.create_future()
        self._pending[self._send(command, message, scope=scope)] = _Pending(
            future, kind, deadline, operation, item_id, inflow, on_reply, on_late
        )
        if deadline < self._next_sweep:
            self._sweep_at(deadline)
        return future

    def open(
        self,
        operation: str,
        command: str,
        message: Message,
        kind: type[M],
        timeout: float,
        scope: Scope | None = None,
    ) -> tuple[str, "asyncio.Future[M]"]:
        """Like ``request``; returns the request's id as well, for the stream that follows."""
        id = str(self._seq)
        return id, self.request(operation, command, message, kind, timeout, scope=scope)

    def _refused(self, error: OpenIAPError) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()
        future.set_exception(error)
        return future

    def send_part(self, command: str, message: Message, rid: str, scope: Scope | None) -> None:
        """Send one message of the stream that belongs to request ``rid``."""
        self._send(command, message, rid=rid, scope=scope)

    async def drain(self) -> None:
        """Wait until little waits to be sent, or the connection is down."""
        if self._transport is not None and not self.ended:
            await self._transport.drain()

    def _send(
        self, command: str, message: Message | None, *, rid: str = "", scope: Scope | None = None
    ) -> str:
        seq = self._seq
        self._seq = seq + 1
        id = str(seq)
        envelope = pb.Envelope(command=command, id=id, seq=seq)
        if rid:
            envelope.rid = rid
        if message is not None:
            data = envelope.data
            data.type_url = _URLS[type(message)]
            data.value = message.SerializeToString()
        if scope is not None:
            envelope.jwt = scope.jwt
            envelope.traceid = scope.traceid
            envelope.spanid = scope.spanid
        if self._transport is not None:
            self._transport.send(envelope.SerializeToString())
        return id

    # Receiving

    def heard(self) -> None:
        """Note a sign of life."""
        self.last_heard = time.monotonic()

    def received(self, body: bytes) -> None:
        """Take one envelope; what is none ends the connection."""
        if self._transport is None:
            self._early.append(body)
            return
        if self.ended:
            return
        try:
            self._route(pb.Envelope.FromString(body))
        except (DecodeError, WireError) as error:
            text = str(error) if isinstance(error, WireError) else "not an envelope"
            self._fail(f"the server sent what is not the OpenIAP protocol: {text}")

    def _route(self, envelope: pb.Envelope) -> None:
        command = envelope.command
        rid = envelope.rid
        pending = self._pending.get(rid) if rid else None
        if pending is not None:
            if command in _STREAMS:
                self._stream(command, pending, envelope)
            else:
                self._reply(command, rid, pending, envelope)
        elif command == "ping":
            self._send("pong", None, rid=envelope.id)
        elif command == "queueevent":
            self._events.queue_event(_decode(envelope, pb.QueueEvent))
        elif command == "watchevent":
            self._events.watch_event(_decode(envelope, pb.WatchEvent))
        elif command == "refreshtoken":
            self._events.token_refreshed(_decode(envelope, pb.RefreshToken).jwt)
        # Anything else answers a call that has ended by its deadline, or whose caller has gone.

    def _reply(self, command: str, rid: str, pending: _Pending, envelope: pb.Envelope) -> None:
        # What cannot be decoded leaves the call among the pending ones, which fail with the link.
        if command == "error":
            text = _decode(envelope, pb.ErrorResponse).message or "the server gave no reason"
            del self._pending[rid]
            self._refuse(
                pending,
                error_from_text(text, operation=pending.operation, item_id=pending.item_id),
            )
            return
        reply = _decode(envelope, pending.kind)
        del self._pending[rid]
        future = pending.future
        if future.done():
            if pending.on_late is not None:
                pending.on_late(reply)
            return
        if pending.on_reply is not None:
            pending.on_reply(reply)
        if pending.inflow is not None:
            pending.inflow.end(None)
        future.set_result(reply)

    def _stream(self, command: str, pending: _Pending, envelope: pb.Envelope) -> None:
        if pending.inflow is None:
            return
        if command == "stream":
            data = _decode(envelope, pb.Stream).data
            if data:
                pending.inflow.part(data)
        elif command == "endstream":
            pending.inflow.end(None)

    def _refuse(self, pending: _Pending, error: OpenIAPError) -> None:
        if pending.inflow is not None:
            pending.inflow.end(error)
        if not pending.future.done():
            pending.future.set_exception(error)

    # Backpressure of what comes

    def congest(self, who: object) -> None:
        """Stop reading until ``relieve`` is called by everyone who congested."""
        if not self._congested and self._transport is not None:
            self._transport.pause_reading()
        self._congested.add(who)

    def relieve(self, who: object) -> None:
        """Go on reading, once nobody else is congested."""
        if who not in self._congested:
            return
        self._congested.discard(who)
        if not self._congested and self._transport is not None:
            self.heard()
            self._transport.resume_reading()

    # Deadlines and silence

    def _sweep_at(self, deadline: float) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._next_sweep = deadline
        self._sweeper = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        self._next_sweep = _NEVER
        now = time.monotonic()
        due = [id for id, pending in self._pending.items() if pending.deadline <= now]
        for id in due:
            pending = self._pending[id]
            if pending.on_late is None or pending.overdue:
                del self._pending[id]
            else:
                # The server executes the call when it gets to it (server.md, Errors).
                pending.overdue = True
                pending.deadline = now + LATE
            self._refuse(
                pending,
                RequestTimeout(
                    "no answer in time", operation=pending.operation, item_id=pending.item_id
                ),
            )
        if self._pending:
            self._sweep_at(min(pending.deadline for pending in self._pending.values()))

    def _watch(self) -> None:
        """Look for the server's silence, and ask before giving it up."""
        self._watcher = None
        if self.ended:
            return
        quiet = 0.0 if self._congested else time.monotonic() - self.last_heard
        ask = self._silence * ASK_AFTER
        if quiet >= self._silence:
            self._fail(f"nothing was heard from the server for {quiet:.0f} s")
            return
        if quiet >= ask:
            self._send("getelement", pb.GetElementRequest())
            wait = self._silence - quiet
        else:
            wait = ask - quiet
        self._watcher = self._loop.call_later(max(wait, 0.01), self._watch)

    # The end

    def closed(self, reason: str) -> None:
        """End every call in flight, and tell of it; once."""
        if self.ended:
            return
        self.ended = reason or "the connection was closed"
        for timer in (self._sweeper, self._watcher):
            if timer is not None:
                timer.cancel()
        pendings, self._pending = self._pending, {}
        for pending in pendings.values():
            self._refuse(
                pending,
                Disconnected(self.ended, operation=pending.operation, item_id=pending.item_id),
            )
        self._events.lost(self, self.ended)

    def _fail(self, reason: str) -> None:
        self.closed(reason)
        if self._transport is not None:
            self._transport.abort()

    async def close(self, timeout: float) -> None:
        """Close in peace within ``timeout`` seconds; calls in flight fail with Disconnected."""
        self.closed("closed by this side")
        if self._transport is not None:
            await self._transport.close(timeout)


def _decode(envelope: pb.Envelope, kind: type[M]) -> M:
    try:
        return kind.FromString(envelope.data.value)
    except DecodeError:
        raise WireError(f"{envelope.command}: the data is no {kind.__name__}") from None
