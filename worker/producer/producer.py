"""Pushing, from wherever: what is pushed, who carries it, and the handle that waits for its end.

A push finds its way by, in this order: the producer that it is given (``via=``), the one whose
``async with connect(…)`` it stands in, and inside a handler the worker's own.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from worker.durations import Duration, seconds
from worker.durations import text as duration_text
from worker.errors import WorkerError
from worker.item import context
from worker.item.item import current_item
from worker.item.metadata import KEY, Marks, joined, taken_out
from worker.item.unique import Unique, unique_of
from worker.openiap.workitem import FAILED, JsonObject

T = TypeVar("T")

current_producer: Final[ContextVar["Producer | None"]] = ContextVar("producer", default=None)


class NoProducer(WorkerError):
    """A push that nobody can carry."""


class ItemFailed(WorkerError):
    """The item whose result was waited for has failed.

    Attributes:
        item_id, queue: of the item.
        errortype: ``business`` or ``application``.
        code: the error's, or "".
        message: what the item shows.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        text = str(document.get("errormessage") or "it failed without a message")
        self.item_id = str(document.get("_id", ""))
        self.queue = str(document.get("wiq", ""))
        self.errortype = str(document.get("errortype") or "application")
        self.code, self.message = _coded(text)
        super().__init__(f"item {self.item_id} of {self.queue} failed: {text}")


class ResultTimeout(WorkerError, TimeoutError):
    """No outcome in time; the item goes on, and ``result`` can be asked again."""


@dataclass(frozen=True, slots=True)
class Push:
    """An item to be.

    Attributes:
        payload: as it is stored.
        nextrun: not before; UTC.
        files: local paths.
        unique: whether it is pushed only where its key is free.
    """

    queue: str
    payload: JsonObject
    name: str = ""
    priority: int = context.DEFAULT_PRIORITY
    nextrun: datetime | None = None
    files: tuple[str, ...] = ()
    unique: Unique | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a push.

    Attributes:
        id: of the item.
        existing: it was there already, under the push's unique key.
        updated: it waited, and took what the push brought.
    """

    id: str
    existing: bool = False
    updated: bool = False


@dataclass(frozen=True, slots=True)
class PushOptions:
    """What may be said of a push besides its payload.

    Attributes:
        priority: the lower the more urgent; None: the item's that is being worked, else 2.
        delay, at: not before; one of them.
        namespace: None: the present one.
        unique: a key: while an item with it is not finished, that one is returned instead.
        unique_for: for how long the key is held after the item's end.
        unique_update: the item that has the key, if it waits, takes the earlier time, the more
            urgent priority and this payload.
    """

    name: str = ""
    priority: int | None = None
    delay: Duration | None = None
    at: datetime | None = None
    files: Sequence[str | Path] = ()
    namespace: str | None = None
    unique: str | None = None
    unique_for: Duration | timedelta | None = None
    unique_update: bool = False

    def push(self, queue: str, payload: JsonObject) -> Push:
        """Return the item to be.

        Raises:
            ValueError: both a delay and a time, a duration that is none, a time without a zone, or
                a unique key that is not allowed.
        """
        nextrun = self.at
        if nextrun is not None and self.delay is not None:
            raise ValueError("push: give delay or at, not both")
        if nextrun is not None and nextrun.tzinfo is None:
            raise ValueError(f"push: at = {nextrun.isoformat()} has no time zone")
        if self.delay is not None:
            nextrun = datetime.now(UTC) + timedelta(seconds=seconds(self.delay))
        namespace = context.namespace() if self.namespace is None else self.namespace
        if namespace:
            payload = joined(payload, Marks(namespace=namespace))
        elif KEY in payload:
            payload = {name: value for name, value in payload.items() if name != KEY}
        return Push(
            queue,
            payload,
            self.name,
            context.priority() if self.priority is None else self.priority,
            nextrun,
            tuple(str(path) for path in self.files),
            unique_of(self.unique, self.unique_for, self.unique_update, files=bool(self.files)),
        )


class PushDoor(Protocol):
    """Who carries pushes: a client, or the pipe to the worker."""

    async def send(self, pushes: Sequence[Push]) -> list[Sent]:
        """Push all and return what came of each, in order."""

    async def ended(self, item_id: str, queue: str, timeout: float | None) -> JsonObject:
        """Return an item's document once it is successful or failed.

        Raises:
            ResultTimeout: not within ``timeout`` seconds.
        """


class Checks(Protocol):
    """Contracts of queues; see ``worker.app.contracts``."""

    def check(self, push: Push) -> None:
        """Refuse what does not fit the queue's contract."""


class Pushed(Generic[T]):
    """A handle on a pushed item.

    Attributes:
        id, queue: of the item.
        existing: it was there already, under the unique key of this push.
        updated: it waited, and took what this push brought (``unique_update``).
    """

    __slots__ = ("_door", "_read", "existing", "id", "queue", "updated")

    def __init__(
        self, sent: Sent, queue: str, door: PushDoor, read: Callable[[JsonObject], T]
    ) -> None:
        self.id: Final = sent.id
        self.existing: Final = sent.existing
        self.updated: Final = sent.updated
        self.queue: Final = queue
        self._door = door
        self._read = read

    def __repr__(self) -> str:
        return f"Pushed({self.id!r}, queue={self.queue!r})"

    async def result(self, timeout: Duration | None = None) -> T:
        """Wait for the outcome and return what the handler returned.

        Args:
            timeout: seconds or text like ``"5m"``; None waits for ever.

        Raises:
            ItemFailed: the item has failed for good.
            ResultTimeout: it has not ended in time.
        """
        limit = None if timeout is None else seconds(timeout)
        document = await self._door.ended(self.id, self.queue, limit)
        if document.get("state") == FAILED:
            raise ItemFailed(document)
        payload = document.get("payload")
        return self._read(taken_out(payload)[0] if isinstance(payload, dict) else {})


class Producer:
    """Pushes items.

    Args:
        door: carries them.
        checks: contracts that every push is held to.
    """

    def __init__(self, door: PushDoor, *, checks: Checks | None = None) -> None:
        self.door: Final = door
        self._checks = checks

    async def push(
        self,
        queue: str,
        payload: Mapping[str, Any],
        *,
        name: str = "",
        priority: int | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        files: Sequence[str | Path] = (),
        namespace: str | None = None,
        unique: str | None = None,
        unique_for: Duration | timedelta | None = None,
        unique_update: bool = False,
    ) -> Pushed[JsonObject]:
        """Push one item to a queue by name; ``result`` gives the whole payload.

        Where the handler can be imported, ``handler.push(…)`` is typed by its model.
        """
        options = PushOptions(
            name, priority, delay, at, files, namespace, unique, unique_for, unique_update
        )
        (pushed,) = await self.send([options.push(queue, dict(payload))], whole)
        return pushed

    async def push_many(
        self,
        queue: str,
        payloads: Sequence[Mapping[str, Any]],
        *,
        name: str = "",
        priority: int | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        namespace: str | None = None,
    ) -> list[Pushed[JsonObject]]:
        """Push many items; in few messages where the client can."""
        options = PushOptions(name, priority, delay, at, (), namespace)
        return await self.send([options.push(queue, dict(one)) for one in payloads], whole)

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
        if self._checks is not None:
            for push in pushes:
                self._checks.check(push)
        sent = await self.door.send(pushes)
        return [
            Pushed(one, push.queue, self.door, read) for one, push in zip(sent, pushes, strict=True)
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
    found = None if item is None else item.producer
    if found is None:
        raise NoProducer(
            "Nobody here can push: stand inside `async with worker.connect(…):`, or pass"
            " via=PRODUCER; inside a handler the worker itself does it."
        )
    return found


def timed_out(item_id: str, queue: str, timeout: float, state: str) -> ResultTimeout:
    """Return the error of a result that did not come."""
    return ResultTimeout(
        f"item {item_id} of {queue} has no outcome after {duration_text(timeout)}"
        f" (state {state or 'unknown'})"
    )


def _coded(text: str) -> tuple[str, str]:
    """Take the code apart from a message; the worker writes it as ``[CODE] message``."""
    if text.startswith("["):
        code, bracket, rest = text[1:].partition("] ")
        if bracket and code and " " not in code:
            return code, rest
    return "", text
