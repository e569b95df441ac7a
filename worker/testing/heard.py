"""A listener called in a test: what it returned or raised, and what it pushed."""

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.app.listener import Listener, told_of
from worker.item.json_form import NotJson, json_form
from worker.openiap.client import Client
from worker.openiap.types import QueueEvent, WatchEvent
from worker.producer.producer import Producer, current_producer
from worker.producer.topics import Message, first_fitting
from worker.state.current import CurrentState, current_state, waiting_for
from worker.state.state import State
from worker.testing.doubles import RecordingSender
from worker.testing.dry_run import PushSeen, seen


@dataclass(frozen=True, slots=True)
class Heard:
    """What a listener did.

    Attributes:
        returned: what it returned, or None; it answers a message that asks for an answer.
        error: what it raised, with its traceback, or None. Data that does not fit is a ValueError,
            and the function is not called.
        pushes: the items that it pushed.
    """

    returned: Any
    error: Exception | None
    pushes: tuple[PushSeen, ...]


def event_for(
    listener: Listener, data: object, topic: str, metadata: Mapping[str, Any], operation: str
) -> QueueEvent | WatchEvent | Message:
    """Return the event that a listener would be told.

    Raises:
        TypeError: data without a JSON form, or a change that is no document.
        ValueError: a topic that fits none of its patterns.
    """
    try:
        carried = json_form(data)
    except NotJson as error:
        raise TypeError(f"the data has no JSON form: {error}") from None
    if listener.kind == "change":
        if not isinstance(carried, dict):
            raise TypeError(f"{carried!r} is no document; allowed: a dict or a model")
        return WatchEvent("test-watch", operation, carried)
    if listener.kind == "topics":
        plain = [one for one in listener.topics if "*" not in one and "#" not in one]
        chosen = topic or (plain[0] if plain else "")
        if first_fitting(listener.topics, chosen) is None:
            raise ValueError(
                f"topic = {chosen!r}; allowed: one that fits {', '.join(listener.topics)}"
            )
        return Message(chosen, carried, dict(metadata), "test-message")
    return QueueEvent(listener.queue, "", "", listener.routingkey, listener.exchange, carried)


async def heard(
    listener: Listener,
    event: QueueEvent | WatchEvent | Message,
    resources: Mapping[Any, Any],
    client: Client,
) -> Heard:
    """Call a listener once.

    Raises:
        HandlerError: a parameter that cannot be filled.
    """
    told = told_of(listener, frozenset(resources))
    sender = RecordingSender(None)
    producer = Producer(sender, client=client)
    others = {**resources, Client: client, Producer: producer}
    wait = waiting_for(asyncio.get_running_loop())

    async def call() -> Any:
        current_producer.set(producer)
        current_state.set(CurrentState(resources[State], wait))
        arguments = told.arguments(event, others)
        if inspect.iscoroutinefunction(listener.function):
            return await listener.function(**arguments)
        return await asyncio.to_thread(listener.function, **arguments)

    returned, error = None, None
    try:
        returned = await asyncio.create_task(call())
    except Exception as raised:  # the user's: the test looks at it
        error = raised
    return Heard(returned, error, tuple(seen(push) for push in sender.pushes))
