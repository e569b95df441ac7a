"""Signals: an item waits for somebody outside, holds nothing meanwhile, and is woken by one."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from tests.integration.engine.conftest import (
    create_queue,
    until_finished,
    until_idle,
    until_one,
)
from worker import BusinessError, Item, SignalRefused, SignalTimeout, handler
from worker.engine.execution.remote import error_from_message, error_to_message
from worker.item.outcome import WAITS
from worker.item.signals import COLLECTION, timeouts_behind
from worker.management import Items
from worker.management.items.types import ItemGetPayload, ItemRetryPayload
from worker.openiap.errors import ItemNotFound
from worker.openiap.workitem import NEW
from worker.producer.producer import Producer
from worker.producer.sender import ClientSender

one_client = pytest.mark.parametrize("client_name", ["native"])
"""What no client has a part in."""


class Approval(BaseModel):
    by: str
    cents: int = 0


@dataclass
class Scan:
    place: str


def producer_of(client: Any) -> Producer:
    return Producer(ClientSender(client), client=client)


async def until_waiting(client: Any, id: str, name: str) -> dict[str, Any]:
    return await until_one(client, {"_id": id, "state": NEW, f"{WAITS}.signals": name})


@pytest.fixture
def waiting():
    """Return a handler that waits for an approval, and what it has seen."""
    seen: list[Any] = []

    @handler("q", concurrency=4)
    async def work(payload: dict, item: Item) -> dict:
        seen.append("run")
        approval = await item.wait_for("approval", timeout="7d", type=Approval)
        await item.step("book", lambda: seen.append(approval))
        return {"by": approval.by}

    return work, seen


async def test_an_item_waits_without_an_attempt_and_a_signal_wakes_it(
    client, start, waiting
) -> None:
    work, seen = waiting
    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {"a": 1})
    before = datetime.now(UTC)
    daemon = await start(work)
    waits = await until_waiting(client, pushed.id, "approval")
    assert (waits["retries"], waits["payload"]["a"]) == (0, 1)
    until = datetime.fromisoformat(waits["nextrun"])
    assert timedelta(0) <= until - before - timedelta(days=7) < timedelta(minutes=1)
    shown = (await Items(client).get_one(ItemGetPayload(id=pushed.id))).waits
    assert shown is not None
    assert shown.startswith("waits for approval since 20")
    await until_idle(daemon)
    counts = daemon.counts()["q"]
    assert (counts.in_flight, counts.parked) == (0, 1)
    await producer_of(client).signal(pushed.id, "approval", Approval(by="Ada", cents=5))
    (done,) = await until_finished(client, "q")
    assert (done["state"], done["payload"]["by"], done["retries"]) == ("successful", "Ada", 0)
    assert seen == ["run", "run", Approval(by="Ada", cents=5)]


async def test_a_signal_that_comes_first_is_kept(client, start, waiting) -> None:
    work, seen = waiting
    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await producer_of(client).pushed(pushed.id).signal("approval", {"by": "Ada"})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert (done["state"], seen) == ("successful", ["run", Approval(by="Ada")])


async def test_who_writes_the_document_signals_as_well(client, start, waiting) -> None:
    work, _ = waiting
    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work)
    await until_waiting(client, pushed.id, "approval")
    form = {"item": pushed.id, "name": "approval", "value": {"by": "a form"}}
    await client.insert_one(COLLECTION, form)
    (done,) = await until_finished(client, "q")
    assert done["payload"]["by"] == "a form"


async def test_a_signal_that_does_not_fit_is_passed_over_and_says_why(
    client, start, waiting
) -> None:
    work, _ = waiting
    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work)
    await until_waiting(client, pushed.id, "approval")
    producer = producer_of(client)
    wrong = await producer.signal(pushed.id, "approval", {"cents": "many"})
    passed_over = {"_id": pushed.id, "state": NEW, f"{WAITS}.past": wrong}
    await until_one(client, passed_over)
    (document,) = await client.query(COLLECTION, {"_id": wrong})
    assert document["refused"].startswith(f"Signal approval ({wrong}, by ")
    assert "is passed over: by: Field required" in document["refused"]
    await producer.signal(pushed.id, "approval", {"by": "Ada"})
    (done,) = await until_finished(client, "q")
    assert (done["state"], done["payload"]["by"], done["retries"]) == ("successful", "Ada", 0)


@one_client
async def test_each_wait_of_a_name_takes_the_next_signal(client, start) -> None:
    taken: list[str] = []

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        for _ in range(3):
            taken.append(await item.wait_for("line", type=str))

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    producer = producer_of(client)
    for text in ("first", "second"):
        await producer.signal(pushed.id, "line", text, key=text)
        await producer.signal(pushed.id, "line", f"{text} again", key=text)
    await start(work)
    await until_waiting(client, pushed.id, "line")
    await producer.signal(pushed.id, "line", "third")
    await until_finished(client, "q")
    assert taken == ["first", "second", "first", "second", "third"]


@one_client
async def test_waits_side_by_side_are_woken_by_each_of_their_signals(client, start) -> None:
    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        async with asyncio.TaskGroup() as group:
            scan = group.create_task(item.wait_for("scan", timeout="1h", type=Scan))
            paid = group.create_task(item.wait_for("paid", timeout="2h", type=int))
        return {"scan": scan.result().place, "paid": paid.result()}

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work)
    waits = await until_waiting(client, pushed.id, "scan")
    assert sorted(waits[WAITS]["signals"]) == ["paid", "scan"]
    producer = producer_of(client)
    await producer.signal(pushed.id, "paid", 7)
    await until_one(client, {"_id": pushed.id, "state": NEW, f"{WAITS}.signals": ["scan"]})
    await producer.signal(pushed.id, "scan", Scan("dock"))
    (done,) = await until_finished(client, "q")
    assert (done["payload"]["scan"], done["payload"]["paid"]) == ("dock", 7)


@one_client
async def test_a_timeout_is_stored_like_a_step(client, start) -> None:
    runs: list[str] = []

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        try:
            await item.wait_for("scan", timeout="1500ms")
        except SignalTimeout as late:
            runs.append(f"{late.signal}: {late}")
            await item.sleep("1500ms")
            return {"late": True}
        return {"late": False}

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work)
    asleep = {"_id": pushed.id, "state": NEW, f"{WAITS}.why": {"$regex": "^sleeps"}}
    await until_one(client, asleep)
    await producer_of(client).signal(pushed.id, "scan", "too late")
    (done,) = await until_finished(client, "q")
    assert done["payload"]["late"] is True
    assert runs == [f"scan: No signal 'scan' for item {pushed.id} within 1.5s"] * 2


@one_client
async def test_a_timeout_that_is_let_out_fails_the_item_for_good(client, start) -> None:
    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        await item.wait_for("scan", timeout="10ms")

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert (done["state"], done["retries"]) == ("failed", 0)
    assert "No signal 'scan' for item" in done["errormessage"]


@pytest.mark.parametrize("how", ["alone", "in a group", "as a cause", "of the last attempt"])
async def test_an_item_that_failed_for_a_timeout_waits_anew_when_it_is_put_back_by_hand(
    client, start, how: str
) -> None:
    runs: list[str] = []
    limits = ["10ms"]

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        await item.step("charge", lambda: runs.append("charge"))
        try:
            await item.wait_for("early", timeout=limits[-1])
        except SignalTimeout:
            runs.append("late")
        try:
            return {"scan": await item.wait_for("scan", timeout=limits[-1])}
        except SignalTimeout as late:
            if how == "alone":
                raise
            if how == "in a group":
                raise ExceptionGroup("two", [late, ValueError("other")]) from None
            if how == "as a cause":
                raise BusinessError("nobody came") from late
            raise LookupError("nobody came") from late

    await create_queue(client, "dead")
    await create_queue(client, "q", failed_wiq="dead", maxretries=1)
    pushed = await client.push_workitem("q", {})
    await start(work)
    failed = {"_id": pushed.id, "state": "failed"}
    await until_one(client, failed)
    (copy,) = await client.query("workitems", {"wiq": "dead"})
    assert "since" not in json.dumps(copy["payload"]), "its waits stay with it"
    await Items(client).retry_one(ItemRetryPayload(id=pushed.id))
    await until_one(client, {**failed, "retries": 1})
    limits.append("1h")
    await Items(client).retry_one(ItemRetryPayload(id=pushed.id))
    await until_waiting(client, pushed.id, "scan")
    await producer_of(client).signal(pushed.id, "scan", "dock")
    done = await until_one(client, {"_id": pushed.id, "state": "successful"})
    assert done["payload"]["scan"] == "dock"
    assert (runs.count("charge"), set(runs[1:])) == (1, {"late"}), "what was caught stays"


def test_a_timeout_of_a_process_knows_its_wait() -> None:
    error = SignalTimeout("No signal")
    error.wait = "scan #1"
    there = error_from_message(error_to_message(ExceptionGroup("two", [error])))
    assert timeouts_behind(there) == ["scan #1"]


@one_client
@pytest.mark.parametrize("execution", ["def", "process"])
async def test_def_and_process_handlers_wait_for_signals(client, start, execution: str) -> None:
    work = waits_in_process if execution == "process" else waits_in_thread
    await create_queue(client, work.options.queue)
    await create_queue(client, "others")
    other = await client.push_workitem("others", {})
    pushed = await client.push_workitem(work.options.queue, {"other": other.id})
    await start(work)
    await until_waiting(client, pushed.id, "scan")
    producer = producer_of(client)
    await producer.signal(pushed.id, "scan", {"place": 1})
    await producer.signal(pushed.id, "scan", Scan("dock"))
    (done,) = await until_finished(client, work.options.queue)
    assert (done["payload"]["place"], done["payload"]["late"]) == ("dock", "paid")
    (told,) = await client.query(COLLECTION, {"item": other.id})
    assert json.loads(told["json"]) == {"place": "dock"}


@handler("thread")
def waits_in_thread(payload: dict, item: Item) -> dict:
    return _waits(item)


@handler("process", process=True)
def waits_in_process(payload: dict, item: Item) -> dict:
    return _waits(item)


def _waits(item: Item) -> dict:
    scan = item.wait(item.wait_for("scan", type=Scan))
    item.wait(waits_in_thread.pushed(item.payload["other"]).signal("told", scan, key="once"))
    try:
        item.wait(item.wait_for("paid", timeout="100ms"))
    except SignalTimeout as late:
        return {"place": scan.place, "late": late.signal}
    return {}


@one_client
async def test_a_signal_that_nobody_would_hear_is_refused(client, start) -> None:
    @handler("q")
    async def work(payload: dict) -> None:
        pass

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work)
    await until_finished(client, "q")
    producer = producer_of(client)
    with pytest.raises(SignalRefused, match=f"Item {pushed.id} is successful: nobody would hear"):
        await producer.signal(pushed.id, "approval")
    with pytest.raises(TypeError, match=r"key=5\): allowed: a key, as a text"):
        await producer.signal(pushed.id, "approval", key=5)  # type: ignore[arg-type]
    with pytest.raises(ItemNotFound, match="there is no item 123"):
        await producer.signal("123", "approval")
    with pytest.raises(SignalRefused, match="is no name of a signal; allowed: text of 1 to 150"):
        await producer.signal(pushed.id, " ")
    with pytest.raises(SignalRefused, match="has 600 KB; allowed: 512 KB"):
        await producer.signal(pushed.id, "approval", "x" * 614_400)
    assert await client.count(COLLECTION, {"item": {"$exists": True}}) == 0
