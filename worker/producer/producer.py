"""Pushing, from wherever: what is pushed, who carries it, and the handle that waits for its end.

A push finds its way by, in this order: the producer that it is given (``via=``), the one whose
``async with connect(…)`` it stands in, and inside a handler the worker's own.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeVar, Unpack, overload

from worker.errors import WorkerError
from worker.item.context import current_item
from worker.item.function_types import AsyncFieldFirst, AsyncPayloadFirst, FieldFirst, PayloadFirst
from worker.item.item import AsyncItemFirst, AsyncItemOnly, ItemFirst, ItemOnly
from worker.item.new_item import Push, Sender, Sent
from worker.item.push import Fields, PushArguments, PushManyArguments, Target, pushes_to
from worker.openiap.client import Client
from worker.openiap.large import apart, is_large
from worker.openiap.workitem import JsonObject
from worker.producer.groups.pushing import GroupPushing
from worker.producer.pushed import Pushed
from worker.producer.taking import ItemTaking, Pulls
from worker.producer.topics import Message, Topics, TopicSubscription
from worker.state.state import State
from worker.telemetry.spans import sending

M = TypeVar("M")
T = TypeVar("T")

current_producer: Final[ContextVar["Producer | None"]] = ContextVar("producer", default=None)


class NoProducer(WorkerError):
    """A push that nobody can carry."""


class Checks(Protocol):
    """Contracts of queues; see ``worker.Contracts``."""

    def check(self, push: Push) -> None:
        """Refuse what does not fit the queue's contract."""

    def check_signal(self, queue: str, name: str, value: Any) -> None:
        """Refuse the value of a signal that the queue's handler would not take."""


class Producer(GroupPushing, ItemTaking):
    """Pushes items.

    Args:
        sender: carries them.
        checks: contracts that every push is held to.
        client: over which it pushes, where it does so over one.
        namespace: the setting of that name, for ``state``.
        pulls: pops items for ``take`` and ``items``.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        checks: Checks | None = None,
        client: Client | None = None,
        namespace: str = "",
        pulls: Pulls | None = None,
    ) -> None:
        self.sender: Final = sender
        self._checks = checks
        self._client = client
        self._namespace = namespace
        self._pulls = pulls
        self._state: State | None = None
        self._topics: Topics | None = None

    @property
    def _carrier(self) -> Sender:
        return self.sender

    @property
    def client(self) -> Client:
        """The client of this connection: every call that OpenIAP documents.

        Raises:
            NoProducer: this producer pushes by way of the worker, which lends no client.
        """
        if self._client is None:
            raise NoProducer(
                "This producer has no client: take one from `async with worker.client():`, or in a"
                " handler by a parameter of the type Client."
            )
        return self._client

    @property
    def state(self) -> State:
        """What is shared with the fleet over this connection: values, streams, locks, counters.

        Raises:
            NoProducer: as ``client``.
        """
        if self._state is None:
            self._state = State(self.client, self._namespace)
        return self._state

    @property
    def pulls(self) -> Pulls:
        """Who pops items for ``take`` and ``items``.

        Raises:
            NoProducer: nobody does.
        """
        if self._pulls is None:
            raise NoProducer(
                "Items cannot be taken over this connection: use `async with worker.connect(…):`."
            )
        return self._pulls

    async def publish(
        self, topic: str, message: Any, metadata: Mapping[str, Any] | None = None
    ) -> str:
        """Send a message to all that listen to a topic now; returns its id.

        Nobody listening is no error; how many did is not known in OpenIAP.

        Args:
            topic: words parted by dots, ``orders.4711.paid``.
            message: whatever has a JSON form.
            metadata: what stands beside it.

        Raises:
            TypeError, ValueError: a topic or a message that is not allowed.
            NoProducer: as ``client``.
            OpenIAPError: it was not sent, or no answer came.
        """
        return await self._topic_calls().publish(topic, message, metadata)

    async def subscribe(
        self, topics: Sequence[str], callback: Callable[[Message], Any]
    ) -> TopicSubscription:
        """Call ``callback`` with each message whose topic fits one of ``topics``, once.

        ``*`` is one word, ``#`` any number of them. It is registered again after every sign-in;
        what is sent meanwhile is lost.

        Raises:
            TypeError, ValueError: a pattern that is not allowed, or none.
            NoProducer: as ``client``.
            OpenIAPError: it cannot be registered.
        """
        return await self._topic_calls().subscribe(topics, callback)

    def _topic_calls(self) -> Topics:
        if self._topics is None:
            self._topics = Topics(self.client, self._namespace)
        return self._topics

    @overload
    async def push(
        self, queue: str, payload: Fields, **options: Unpack[PushArguments]
    ) -> Pushed[JsonObject]: ...

    @overload
    async def push(
        self, target: Target[AsyncItemOnly[T]], /, payload: Fields, **options: Unpack[PushArguments]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self, target: Target[ItemOnly[T]], /, payload: Fields, **options: Unpack[PushArguments]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self, target: Target[AsyncItemFirst[M, T]], /, payload: M, **options: Unpack[PushArguments]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self, target: Target[ItemFirst[M, T]], /, payload: M, **options: Unpack[PushArguments]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self,
        target: Target[AsyncFieldFirst[T]],
        /,
        payload: Fields,
        **options: Unpack[PushArguments],
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self,
        target: Target[FieldFirst[T]],
        /,
        payload: Fields,
        **options: Unpack[PushArguments],
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self,
        target: Target[AsyncPayloadFirst[M, T]],
        /,
        payload: M,
        **options: Unpack[PushArguments],
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self, target: Target[PayloadFirst[M, T]], /, payload: M, **options: Unpack[PushArguments]
    ) -> Pushed[T]: ...

    async def push(self, queue: Any, payload: Any, **options: Unpack[PushArguments]) -> Pushed[Any]:
        """Push one item to a handler's queue, or to a queue by name.

        Args:
            queue: a handler (the payload is checked against its model, ``result`` gives what it
                returns) or a queue's name (``result`` gives the whole payload).
            payload: the item's.
            options: ``name``, ``priority``, ``delay``, ``at``, ``files``, ``namespace``,
                ``unique``, ``unique_for``, ``unique_update``; see ``PushOptions``.

        Raises:
            ContractError: the payload, or a file that must come along, does not fit the handler,
                or the payload is no JSON object that would come back as it is.
            QueueNotFound: no such queue, or no rights.
            ValueError: a time or a unique key that is not allowed.
        """
        (pushed,) = await self._push(queue, [payload], options)
        return pushed

    @overload
    async def push_many(
        self, queue: str, payloads: Sequence[Fields], **options: Unpack[PushManyArguments]
    ) -> list[Pushed[JsonObject]]: ...

    @overload
    async def push_many(
        self,
        target: Target[AsyncItemOnly[T]],
        /,
        payloads: Sequence[Fields],
        **options: Unpack[PushManyArguments],
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self,
        target: Target[ItemOnly[T]],
        /,
        payloads: Sequence[Fields],
        **options: Unpack[PushManyArguments],
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self,
        target: Target[AsyncItemFirst[M, T]],
        /,
        payloads: Sequence[M],
        **options: Unpack[PushManyArguments],
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self,
        target: Target[ItemFirst[M, T]],
        /,
        payloads: Sequence[M],
        **options: Unpack[PushManyArguments],
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self,
        target: Target[AsyncFieldFirst[T]],
        /,
        payloads: Sequence[Fields],
        **options: Unpack[PushManyArguments],
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self,
        target: Target[FieldFirst[T]],
        /,
        payloads: Sequence[Fields],
        **options: Unpack[PushManyArguments],
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self,
        target: Target[AsyncPayloadFirst[M, T]],
        /,
        payloads: Sequence[M],
        **options: Unpack[PushManyArguments],
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self,
        target: Target[PayloadFirst[M, T]],
        /,
        payloads: Sequence[M],
        **options: Unpack[PushManyArguments],
    ) -> list[Pushed[T]]: ...

    async def push_many(
        self, queue: Any, payloads: Sequence[Any], **options: Unpack[PushManyArguments]
    ) -> list[Pushed[Any]]:
        """Push many items; in few messages where the client can.

        Raises:
            ContractError: one payload does not fit; nothing was pushed.
        """
        return await self._push(queue, payloads, options)

    def pushed(self, id: str, queue: str = "") -> Pushed[JsonObject]:
        """Return a handle on an item that was pushed before, by its id; ``handler.pushed`` returns
        one whose ``result`` is the handler's.

        Args:
            queue: its queue's name, for errors.
        """
        return Pushed(Sent(id, existing=True), queue, self.sender, whole)

    def _hold_to_contracts(self, pushes: Sequence[Push]) -> None:
        if self._checks is not None:
            for push in pushes:
                self._checks.check(push)

    async def signal(self, item_id: str, name: str, value: Any = None, *, key: str = "") -> str:
        """Tell an item something that it waits for; see ``Pushed.signal``::

        await producer.signal(item_id, "approval", Approval(by="Ada"))
        """
        return await self.pushed(item_id).signal(name, value, key=key)

    async def _push(
        self, target: Any, payloads: Sequence[Any], options: PushManyArguments
    ) -> list[Pushed[Any]]:
        pushes = await apart(is_large(payloads), pushes_to, target, payloads, options)
        read = whole if isinstance(target, str) else target.reader()
        return await self.send(pushes, read)

    async def send(
        self, pushes: Sequence[Push], read: Callable[[JsonObject], T]
    ) -> list[Pushed[T]]:
        """Push what was made ready.

        Args:
            read: makes the result of a successful item's payload.

        Raises:
            ContractError: one does not fit its queue's contract; nothing was pushed.
            QueueNotFound: no such queue, or no rights.
        """
        self._hold_to_contracts(pushes)
        with sending(pushes) as send:
            sent = await self.sender.send(send.pushes)
            send.sent(sent)
        return [
            Pushed(one, push.queue, self.sender, read)
            for one, push in zip(sent, pushes, strict=True)
        ]


def whole(payload: JsonObject) -> JsonObject:
    """Return a result of which nothing is known: the whole payload."""
    return payload


def producer_for(via: Producer | None) -> Producer:
    """Return who carries a push.

    Raises:
        NoProducer: nobody.
    """
    found = via or current_producer.get()
    if found is not None:
        return found
    item = current_item.get()
    sender = None if item is None else item.sender
    if sender is None:
        raise NoProducer(
            "Nobody here can push: stand inside `async with worker.connect(…):`, or pass"
            " via=PRODUCER; inside a handler the worker itself does it."
        )
    return Producer(sender)
