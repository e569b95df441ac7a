"""Contract of the client: message queues, exchanges, watches, and calls to others."""

import asyncio
import contextlib
from typing import Any

import pytest

from tests.integration.openiap.conftest import Door
from worker.openiap.errors import OpenIAPError, RequestTimeout
from worker.openiap.types import QueueEvent, WatchEvent

SECONDS = 60


async def test_a_message_reaches_the_registered_queue(door: Door) -> None:
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()
    name = await door.client.register_queue("letters", got.put)
    assert name == "letters"
    await door.client.queue_message({"n": 1, "text": "Zoë"}, "letters", correlation_id="c1")
    async with asyncio.timeout(SECONDS):
        event = await got.get()
    assert event.data["n"] == 1
    assert event.data["text"] == "Zoë"
    assert (event.queuename, event.correlation_id) == ("letters", "c1")


async def test_an_empty_name_makes_one_up(door: Door) -> None:
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()
    name = await door.client.register_queue("", got.put_nowait)
    assert name
    await door.client.queue_message({"n": 2}, name)
    async with asyncio.timeout(SECONDS):
        assert (await got.get()).data["n"] == 2


async def test_wake_ups_come_for_due_items(door: Door) -> None:
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()
    await door.queue("q", amqpqueue="wake")
    await door.client.register_queue("wake", got.put_nowait)
    await door.client.push_workitem("q", {})
    async with asyncio.timeout(SECONDS):
        event = await got.get()
    assert event.data["wiq"] == "q"


async def test_a_result_is_sent_back_and_rpc_gives_it(door: Door) -> None:
    async def double(event: QueueEvent) -> Any:
        await asyncio.sleep(0.01)
        return {"twice": event.data["n"] * 2}

    other = await door.another()
    await other.register_queue("service", double)
    answers = await asyncio.gather(
        *[door.client.rpc({"n": n}, "service", timeout=SECONDS) for n in range(8)]
    )
    assert [answer["twice"] for answer in answers] == [n * 2 for n in range(8)]


async def test_rpc_that_nobody_answers_ends_in_time(door: Door) -> None:
    await door.client.register_queue("deaf", lambda event: None)
    with pytest.raises(RequestTimeout):
        await door.client.rpc({"n": 1}, "deaf", timeout=0.5)


async def test_a_callback_that_raises_does_no_harm(door: Door) -> None:
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()

    def sometimes(event: QueueEvent) -> None:
        if event.data["n"] == 1:
            raise RuntimeError("a callback that raises")
        got.put_nowait(event)

    await door.client.register_queue("letters", sometimes)
    await door.client.queue_message({"n": 1}, "letters")
    await door.client.queue_message({"n": 2}, "letters")
    async with asyncio.timeout(SECONDS):
        assert (await got.get()).data["n"] == 2


async def test_after_unregistering_nothing_comes(door: Door) -> None:
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()
    await door.client.register_queue("letters", got.put_nowait)
    await door.client.unregister_queue("letters")
    # A server may refuse a queue without receivers; what counts is that nothing came.
    with contextlib.suppress(OpenIAPError):
        await door.client.queue_message({"n": 1}, "letters")
    await door.client.count("things")
    assert got.empty()


async def test_an_exchange_reaches_every_queue_on_it(door: Door) -> None:
    got: asyncio.Queue[str] = asyncio.Queue()
    other = await door.another()
    await door.client.register_exchange("news", lambda event: got.put_nowait("one"))
    await other.register_exchange("news", lambda event: got.put_nowait("two"))
    await door.client.queue_message({"n": 1}, exchange_name="news")
    async with asyncio.timeout(SECONDS):
        assert {await got.get(), await got.get()} == {"one", "two"}


async def test_a_watch_tells_of_changes_until_it_ends(door: Door) -> None:
    got: asyncio.Queue[WatchEvent] = asyncio.Queue()
    watchid = await door.client.watch("things", callback=got.put_nowait)
    assert watchid
    await door.client.insert_one("things", {"n": 1})
    async with asyncio.timeout(SECONDS):
        event = await got.get()
    assert event.operation == "insert"
    assert event.document["n"] == 1
    await door.client.unwatch(watchid)
    await door.client.insert_one("things", {"n": 2})
    await door.client.count("things")
    assert got.empty()


async def test_a_new_item_is_seen_by_a_watch(door: Door) -> None:
    got: asyncio.Queue[WatchEvent] = asyncio.Queue()
    await door.queue("q")
    await door.client.watch("workitems", callback=got.put)
    await door.client.push_workitem("q", {"n": 1})
    async with asyncio.timeout(SECONDS):
        assert (await got.get()).document["wiq"] == "q"
