"""Message queues and exchanges: who listens where, and who gets what.

They live as long as the link of their client, as on OpenIAP: a client registers anew after each
sign-in. Names are found whatever their case.
"""

import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from google.protobuf.message import Message

from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.ids import new_id
from worker.localserver.storage.user import User
from worker.openiap.wire import openiap_pb2 as pb

ALGORITHMS: Final = ("direct", "fanout", "topic", "header")


class Subscriber(Protocol):
    """A client that can be sent something."""

    user: User | None

    def send(self, command: str, message: Message | None, rid: str = "") -> None:
        """Send a message behind the next commit."""


@dataclass
class Exchange:
    """Copies a message to every bound queue whose routing key fits."""

    name: str
    algorithm: str
    bindings: list[tuple[str, str]] = field(default_factory=list)

    def queues(self, routingkey: str) -> list[str]:
        """Return the queues that a message of this routing key goes to."""
        return [queue for key, queue in self.bindings if self._fits(key, routingkey)]

    def _fits(self, key: str, routingkey: str) -> bool:
        if self.algorithm == "direct":
            return key == routingkey
        if self.algorithm == "topic":
            return topic_fits(key, routingkey)
        return True


def topic_fits(pattern: str, routingkey: str) -> bool:
    """Say whether a topic pattern fits: ``*`` is one word, ``#`` any number of words."""
    words = pattern.split(".")
    expression = ""
    for index, word in enumerate(words):
        if word == "#":
            expression += r"(?:[^.]+(?:\.|$))*" if index == 0 else r"(?:\.[^.]+)*"
            continue
        if index and not (index == 1 and words[0] == "#"):
            expression += r"\."
        expression += r"[^.]+" if word == "*" else re.escape(word)
    return re.fullmatch(expression, routingkey) is not None


class MessageQueues:
    """Knows which client listens to which queue."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._names: dict[str, str] = {}
        self._exchanges: dict[str, Exchange] = {}

    def register(self, name: str, subscriber: Subscriber) -> str:
        """Let a client listen to a queue, and return the queue's name ("" makes one up)."""
        name = name or f"openiap.{new_id()}"
        subscribers = self._subscribers.setdefault(name.lower(), [])
        if subscriber not in subscribers:
            subscribers.append(subscriber)
        self._names.setdefault(name.lower(), name)
        return name

    def unregister(self, name: str, subscriber: Subscriber) -> None:
        """Stop a client from listening to a queue; unknown ones are no error."""
        subscribers = self._subscribers.get(name.lower(), [])
        if subscriber in subscribers:
            subscribers.remove(subscriber)
        if not subscribers:
            self._forget(name.lower())

    def forget(self, subscriber: Subscriber) -> None:
        """Forget a client whose link is gone."""
        for key, subscribers in list(self._subscribers.items()):
            if subscriber in subscribers:
                subscribers.remove(subscriber)
            if not subscribers:
                self._forget(key)

    def subscribers(self, name: str) -> list[Subscriber]:
        """Return everybody who listens to a queue."""
        return list(self._subscribers.get(name.lower(), ()))

    def name_of(self, name: str) -> str:
        """Return a queue's name as it was registered: clients find their callback by it."""
        return self._names.get(name.lower(), name)

    def register_exchange(self, request: pb.RegisterExchangeRequest, subscriber: Subscriber) -> str:
        """Make an exchange, or bind to it, and return the bound queue ("" if none is wanted).

        Raises:
            RefusedError: no name, an unknown algorithm, or another one than it was made with.
        """
        if not request.exchangename:
            raise RefusedError("exchangename is mandatory")
        algorithm = request.algorithm or "fanout"
        if algorithm not in ALGORITHMS:
            raise RefusedError("algorithm is mandatory, as either direct, fanout, topic or header")
        key = request.exchangename.lower()
        exchange = self._exchanges.setdefault(key, Exchange(request.exchangename, algorithm))
        if exchange.algorithm != algorithm:
            raise RefusedError(
                f"Exchange {exchange.name} is of type {exchange.algorithm}, not {algorithm}"
            )
        if not request.addqueue:
            return ""
        queue = self.register("", subscriber)
        exchange.bindings.append((request.routingkey, queue.lower()))
        return queue

    def publish(self, request: pb.QueueMessageRequest) -> None:
        """Hand a message to one subscriber of its queue, or to each queue of its exchange.

        Where nobody listens it is lost, and as on OpenIAP no error says so.

        Raises:
            RefusedError: there is no such exchange.
        """
        if request.exchangename:
            exchange = self._exchanges.get(request.exchangename.lower())
            if exchange is None:
                raise RefusedError(f"Unknown exchange {request.exchangename} or access denied")
            for queue in exchange.queues(request.routingkey):
                self._to_one(queue, request)
            return
        self._to_one(request.queuename.lower(), request)

    def _to_one(self, key: str, request: pb.QueueMessageRequest) -> None:
        subscribers = self._subscribers.get(key)
        if not subscribers:
            return
        # Listeners of one queue take turns, as RabbitMQ's consumers do.
        subscriber = subscribers.pop(0)
        subscribers.append(subscriber)
        subscriber.send(
            "queueevent",
            pb.QueueEvent(
                queuename=self.name_of(key),
                correlationId=request.correlationId,
                replyto=request.replyto,
                routingkey=request.routingkey,
                exchangename=request.exchangename,
                data=request.data,
            ),
        )

    def _forget(self, key: str) -> None:
        self._subscribers.pop(key, None)
        self._names.pop(key, None)
        for name, exchange in list(self._exchanges.items()):
            left = [bound for bound in exchange.bindings if bound[1] != key]
            if exchange.bindings and not left:
                del self._exchanges[name]
            exchange.bindings = left
