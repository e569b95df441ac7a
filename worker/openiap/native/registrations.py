"""What this client registered, so that it is there again after every reconnect.

The server forgets queues, exchanges and watches with the connection (server.md, Wake-up). Names and
ids given to the application stay valid: where the server makes up a new one, it is translated.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

from worker.openiap.callbacks import Callbacks
from worker.openiap.errors import OpenIAPError, RateLimited
from worker.openiap.native.session import Session
from worker.openiap.replies import Replies
from worker.openiap.types import QueueEvent, ToldChange, ToldMessage, WatchEvent
from worker.openiap.values import from_message, message_data
from worker.openiap.wire import openiap_pb2 as pb


@dataclass(slots=True)
class Registration:
    """One queue or exchange.

    Attributes:
        name: the queue's name as the application knows it.
        exchange: the request that registers it, where it is an exchange's.
        made_up: whether the server chose the name.
        current: its name on the present connection, "" while it is not registered there.
    """

    name: str
    callback: ToldMessage | None
    exchange: pb.RegisterExchangeRequest | None = None
    made_up: bool = False
    current: str = ""


@dataclass(slots=True)
class Watch:
    """One watch; ``id`` is the application's, ``current`` the server's of today."""

    id: str
    callback: ToldChange | None
    request: pb.WatchRequest
    current: str = ""


@dataclass(slots=True)
class Registrations:
    """Queues, exchanges and watches with their callbacks.

    Attributes:
        replies: takes the messages that answer an ``rpc`` of this client.
        joining, starting: those whose registration is being answered.
    """

    callbacks: Callbacks
    report: Callable[[str], None]
    replies: Replies
    queues: dict[str, Registration] = field(default_factory=dict)
    watches: dict[str, Watch] = field(default_factory=dict)
    joining: list[Registration] = field(default_factory=list)
    starting: list[Watch] = field(default_factory=list)

    def queue_event(self, event: pb.QueueEvent) -> None:
        """Hand a message to the callback of its queue."""
        name = event.queuename
        if name and name == self.replies.queue:
            self.replies.take(event.correlationId, message_data(event.data))
            return
        found = self.queues.get(name)
        if found is None or found.current != name:
            ours = chain(self.queues.values(), self.joining)
            found = next((one for one in ours if one.current == name), None)
        if found is None or found.callback is None:
            return
        told = QueueEvent(
            found.name or name,
            event.correlationId,
            event.replyto,
            event.routingkey,
            event.exchangename,
            message_data(event.data),
        )
        self.callbacks.run(f"message on {name}", found.callback, told)

    def watch_event(self, event: pb.WatchEvent) -> None:
        """Hand a change to the callback of its watch."""
        ours = chain(self.watches.values(), self.starting)
        found = next((one for one in ours if one.current == event.id), None)
        if found is None or found.callback is None:
            return
        document = from_message(event.document)
        self.callbacks.run(
            f"watch {found.id}",
            found.callback,
            WatchEvent(
                found.id or event.id,
                event.operation,
                document if isinstance(document, dict) else {},
            ),
        )

    def forget_connection(self) -> None:
        """Nothing is registered on the server any more."""
        for queue in self.queues.values():
            queue.current = ""
        for watch in self.watches.values():
            watch.current = ""

    async def restore(self, session: Session, timeout: float) -> None:
        """Register everything on a fresh connection.

        What the server refuses is reported and left out, so that the rest lives.

        Raises:
            OpenIAPError: the connection is of no use: it dropped, it does not answer, or it
                refuses for the rate.
        """
        for queue in tuple(self.queues.values()):
            await self._tried(f"queue {queue.name}", session, queue, timeout)
        for watch in tuple(self.watches.values()):
            await self._tried(f"watch {watch.id}", session, watch, timeout)

    async def _tried(
        self, what: str, session: Session, one: Registration | Watch, timeout: float
    ) -> None:
        try:
            if isinstance(one, Watch):
                await send_watch(session, one, timeout)
            elif one.exchange is not None:
                await send_exchange(session, one, timeout)
            else:
                await self._queue_again(session, one, timeout)
        except OpenIAPError as error:
            if session.ended or error.maybe_done or isinstance(error, RateLimited):
                raise
            self.report(f"{what} could not be registered again: {error.text}")

    async def _queue_again(self, session: Session, one: Registration, timeout: float) -> None:
        """Register a queue under the name that others know it by, if the server lets it."""
        try:
            await send_queue(session, one, one.name, timeout)
        except OpenIAPError as error:
            if not one.made_up or error.maybe_done or isinstance(error, RateLimited):
                raise
            await send_queue(session, one, "", timeout)


async def send_queue(
    session: Session, registration: Registration, name: str, timeout: float
) -> None:
    """Register a queue under ``name`` ("": the server makes one up)."""

    def registered(reply: pb.RegisterQueueResponse) -> None:
        registration.current = reply.queuename or name

    # Known before the server answers: a message may come right behind the reply.
    await session.request(
        "register_queue",
        "registerqueue",
        pb.RegisterQueueRequest(queuename=name),
        pb.RegisterQueueResponse,
        timeout,
        on_reply=registered,
    )


async def send_exchange(session: Session, registration: Registration, timeout: float) -> None:
    """Register an exchange; the server makes a queue for it."""

    def registered(reply: pb.RegisterExchangeResponse) -> None:
        registration.current = reply.queuename

    await session.request(
        "register_exchange",
        "registerexchange",
        registration.exchange or pb.RegisterExchangeRequest(),
        pb.RegisterExchangeResponse,
        timeout,
        on_reply=registered,
    )


async def send_watch(session: Session, watch: Watch, timeout: float) -> None:
    """Register a watch."""

    def registered(reply: pb.WatchResponse) -> None:
        watch.current = reply.id

    await session.request(
        "watch", "watch", watch.request, pb.WatchResponse, timeout, on_reply=registered
    )
