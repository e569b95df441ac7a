"""What a child does with what it hears, in the order in which it may hear it."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from worker import Item, handler
from worker.app.registry import Registered
from worker.app.signature import signature_of
from worker.engine.execution.child import Child
from worker.engine.execution.pipe import Channel, Message
from worker.engine.execution.remote_item import item_to_message
from worker.openiap.workitem import Workitem


@handler("q")
def patient(item: Item) -> dict[str, bool]:
    return {"stopped": item.stopping}


@handler("q")
async def patient_async() -> dict[str, bool]:
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        await asyncio.sleep(0)  # cancelled once, and not again
        return {"stopped": True}
    return {"stopped": False}


class Busy(Channel):
    """A pipe of a child whose main thread comes to its work only when all has been heard."""

    def __init__(self, *messages: Message) -> None:
        self._messages: Iterator[Message] = iter(messages)
        self._heard = threading.Event()
        self.sent: list[Message] = []
        self.ended = lambda: None

    def read(self) -> Message | None:
        message = next(self._messages, None)
        if message is None:
            self._heard.set()
            threading.Event().wait()  # the end of the pipe would end this process
        return message

    def send(self, message: Message) -> None:
        if message["type"] == "ready":
            assert self._heard.wait(60)
            return
        self.sent.append(message)
        self.ended()


@pytest.mark.parametrize("work", [patient, patient_async])
def test_a_request_to_stop_that_comes_before_the_run_has_begun_counts(work: Any) -> None:
    item = Item(
        Workitem(id="1", payload={}),
        files=None,  # type: ignore[arg-type]
        log=None,  # type: ignore[arg-type]
        started=datetime.now(UTC),
    )
    runs: list[Message] = [
        {"type": "stop", "run": 6},  # of a run that is over
        {"type": "run", "run": 7, "item": item_to_message(item)},
        {"type": "stop", "run": 7},
    ]
    channel = Busy(*runs)
    with asyncio.Runner() as runner:
        registered = Registered(work, signature_of(work.function, name=work.name))
        child = Child(channel, registered, None, runner)
        channel.ended = lambda: child._inbox.put(None)
        child.serve()
    (end,) = channel.sent
    assert (end["type"], end["value"]) == ("result", {"stopped": True})
