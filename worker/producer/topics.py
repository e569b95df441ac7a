"""Topics: messages to whoever listens in that moment, told apart by dotted names as AMQP has them.

1. All topics of a namespace are one exchange of OpenIAP's; a topic is its routing key, a pattern
   (``*`` is one word, ``#`` any number of them) the key of a queue that is bound to it.
2. Patterns of one subscription that fit the same message have a queue each. The first of them hands
   it over, the others keep quiet: a message comes once.
3. OpenIAP keeps nothing of it: who does not listen misses it, and a publisher is not told how many
   listened.
"""

import inspect
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import text_of
from worker.openiap.json_path import json_given
from worker.openiap.types import QueueEvent

EXCHANGE: Final = "openiap_worker_topics"
LONGEST: Final = 255
"""Bytes of a routing key in AMQP."""
NOBODY: Final = "unknown exchange"
"""What the server says where nobody has listened yet."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message on a topic.

    Attributes:
        topic: what it was published under.
        data, metadata: as JSON has them.
        id: names it, for log lines.
    """

    topic: str
    data: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


class Topics:
    """The topics of one namespace over one client."""

    def __init__(self, client: Client, namespace: str = "") -> None:
        self._client = client
        self._exchange = exchange_of(namespace)

    async def publish(
        self, topic: str, message: Any, metadata: Mapping[str, Any] | None = None
    ) -> str:
        """Send a message to all that listen now; returns its id. Nobody listening is no error.

        Raises:
            TypeError, ValueError: a topic or a message that is not allowed.
            OpenIAPError: it was not sent, or no answer came.
        """
        checked_topic(topic)
        if metadata is not None and not isinstance(metadata, Mapping):
            raise TypeError(f"publish: metadata = {metadata!r}; allowed: a dict, or None")
        id = secrets.token_hex(12)
        content = {"topic": topic, "data": message, "metadata": dict(metadata or {}), "id": id}
        try:
            await self._client.queue_message(
                json_given(content, "publish"),
                exchangename=self._exchange,
                routingkey=topic,
                striptoken=True,
            )
        except OpenIAPError as error:
            if NOBODY not in error.text.lower():
                raise
        return id

    async def subscribe(
        self, patterns: Sequence[str], callback: Callable[[Message], Any]
    ) -> "TopicSubscription":
        """Call ``callback`` with each message whose topic fits one of the patterns.

        It is registered again after each sign-in; messages sent meanwhile are lost.

        Args:
            patterns: one or more, as ``orders.*.paid`` or ``orders.#``.
            callback: plain or async.

        Raises:
            TypeError, ValueError: a pattern that is not allowed, or none; or no function.
            OpenIAPError: it cannot be registered.
        """
        wanted = checked_patterns(patterns)
        if not callable(callback):
            raise TypeError(f"subscribe: {callback!r}; allowed: a function that takes the message")
        subscription = TopicSubscription(self._client, wanted)
        try:
            for place, pattern in enumerate(wanted):
                subscription.queues.append(
                    await self._client.register_exchange(
                        self._exchange,
                        _told(wanted, place, callback),
                        algorithm="topic",
                        routingkey=pattern,
                    )
                )
        except BaseException:
            await subscription.unsubscribe()
            raise
        return subscription


class TopicSubscription:
    """What a callback listens to.

    Attributes:
        patterns: what was subscribed to.
    """

    def __init__(self, client: Client, patterns: tuple[str, ...]) -> None:
        self.patterns: Final = patterns
        self.queues: Final[list[str]] = []
        self._client = client

    async def unsubscribe(self) -> None:
        """End it; idempotent."""
        while self.queues:
            with suppress(OpenIAPError):  # it went with its link
                await self._client.unregister_queue(self.queues.pop())


def _told(
    patterns: tuple[str, ...], place: int, callback: Callable[[Message], Any]
) -> Callable[[QueueEvent], Any]:
    async def told(event: QueueEvent) -> None:
        message = message_of(event)
        if message is None or first_fitting(patterns, message.topic) != place:
            return
        result = callback(message)
        if inspect.isawaitable(result):
            await result

    return told


def message_of(event: QueueEvent) -> Message | None:
    """Read a message; None for one that somebody else sent to the exchange in another form."""
    content = event.data
    if not isinstance(content, Mapping):
        return None
    topic, metadata = text_of(content.get("topic")), content.get("metadata")
    if not topic or not isinstance(metadata, Mapping):
        return None
    return Message(topic, content.get("data"), dict(metadata), text_of(content.get("id")))


def first_fitting(patterns: Sequence[str], topic: str) -> int | None:
    """Return the place of the first pattern that fits a topic."""
    for place, pattern in enumerate(patterns):
        if fits(pattern, topic):
            return place
    return None


def fits(pattern: str, topic: str) -> bool:
    """Whether a topic fits a pattern: ``*`` is one word, ``#`` any number of them, none as well."""
    words = topic.split(".")
    reached = {0}
    """How many words may be used up by what was read of the pattern."""
    for part in pattern.split("."):
        if part == "#":
            reached = set(range(min(reached), len(words) + 1)) if reached else reached
        else:
            reached = {n + 1 for n in reached if n < len(words) and part in ("*", words[n])}
    return len(words) in reached


@lru_cache(maxsize=512)
def _wrong(name: str) -> str:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "half a character; allowed: whole ones"
    if not name or size > LONGEST:
        return f"{size:,} bytes; allowed: words parted by dots, of 1 to {LONGEST} bytes together"
    if any(not word for word in name.split(".")):
        return "an empty word; allowed: words parted by single dots"
    return ""


def checked_topic(topic: str) -> str:
    """Return a topic.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(topic, str):
        raise TypeError(f"topic: {topic!r} is no text; allowed: words parted by dots")
    wrong = _wrong(topic)
    if wrong:
        raise ValueError(f"topic: {topic[:40]!r} has {wrong}")
    if re.search(r"[*#]", topic):
        raise ValueError(f"topic: {topic[:40]!r} has * or #; allowed: in patterns alone")
    return topic


def checked_patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return patterns, each once.

    Raises:
        TypeError, ValueError: there is none, or one is none.
    """
    if isinstance(patterns, str) or not isinstance(patterns, Sequence):
        raise TypeError(f"topics: {patterns!r}; allowed: a list of patterns")
    if not patterns:
        raise ValueError("topics: none; allowed: one pattern or more")
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"topics: {pattern!r} is no text; allowed: a list of patterns")
        wrong = _wrong(pattern)
        if wrong:
            raise ValueError(f"topics: {pattern[:40]!r} has {wrong}")
        if any(len(word) > 1 and re.search(r"[*#]", word) for word in pattern.split(".")):
            raise ValueError(f"topics: {pattern[:40]!r}: * and # are whole words")
    return tuple(dict.fromkeys(patterns))


def exchange_of(namespace: str) -> str:
    """Return the name of the exchange of a namespace's topics."""
    return f"{EXCHANGE}.{namespace}" if namespace else EXCHANGE
