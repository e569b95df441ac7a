"""The timeline of an item: each run is on it, in the write that ended the run, and whatever else
happened to it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.engine.conftest import Make, create_queue, until_finished, until_one
from tests.integration.engine.test_taking_over import Line, log
from worker import BusinessError, Item, Retry, handler
from worker.engine.delivery.delivery import Delivery
from worker.engine.delivery.writeback import WriteBack
from worker.engine.fleet.takeover import Orphan, TakeOver
from worker.item.history import FIELD, History, history_of
from worker.item.metadata import HISTORY, KEY
from worker.item.outcome import Outcome
from worker.management.items.service import Items
from worker.management.items.types import ItemGetHistoryPayload
from worker.openiap.client import Client
from worker.openiap.fields import object_of
from worker.openiap.workitem import JsonObject


def timeline(document: JsonObject) -> History:
    marks = object_of(object_of(document.get("payload")).get(KEY))
    return history_of(document["_id"], document.get(FIELD), marks.get(HISTORY))


def told(document: JsonObject) -> list[tuple[str, int]]:
    return [(entry.what, entry.attempt) for entry in timeline(document).entries]


def writeback(client: Client, name: str = "me", **more: Any) -> WriteBack:
    line: Any = Line(client)
    return WriteBack(line, worker_id=name, lease=1e6, log=log(), history=20, **more)


@handler("told")
async def third_time_lucky(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    if item.attempt == 1:
        raise ConnectionError("the shop is away: password=hunter2-hunter2\nsecond line")
    if item.attempt == 2:
        raise Retry(after="50ms", reason="later")
    return {"done": True}


async def test_each_attempt_stands_on_the_item_after_its_success(
    client: Client, start: Make
) -> None:
    await create_queue(client, "told")
    await client.push_workitem("told", {})
    await start(third_time_lucky)
    (item,) = await until_finished(client, "told")
    entries = timeline(item).entries
    assert told(item) == [("retry", 1), ("retry", 2), ("succeeded", 3)]
    first, second, third = entries
    assert (first.error_class, first.kind) == ("ConnectionError", "application")
    assert first.error.startswith("ConnectionError: the shop is away")
    assert "hunter2" not in first.error
    assert "second line" not in first.error
    assert second.again is not None
    assert third.by == first.by != ""
    for one in entries:
        assert one.start is not None
        assert one.seconds is not None
        assert timedelta(seconds=-2) < one.at - one.start < timedelta(seconds=30)


async def test_without_a_history_nothing_is_kept(client: Client, start: Make) -> None:
    await create_queue(client, "told")
    await client.push_workitem("told", {})
    await start(third_time_lucky, history=0)
    (item,) = await until_finished(client, "told")
    assert FIELD not in item
    assert timeline(item) == History()


async def test_copies_have_timelines_of_their_own_and_link_to_what_they_come_from(
    client: Client, start: Make
) -> None:
    @handler("one")
    async def one(payload: dict[str, Any], item: Item) -> dict[str, Any]:
        if payload.get("bad"):
            raise BusinessError("no number", code="NO_VAT")
        if item.attempt == 1:
            raise RuntimeError("not yet")
        return {"one": True}

    @handler("two")
    async def two(payload: dict[str, Any], item: Item) -> dict[str, Any]:
        await item.push("three", {})
        return {"two": True}

    for name, more in (("one", {"success_wiq": "two", "failed_wiq": "rest"}), ("two", {})):
        await create_queue(client, name, **more)
    await create_queue(client, "three")
    await create_queue(client, "rest")
    good = (await client.push_workitem("one", {})).id
    bad = (await client.push_workitem("one", {"bad": 1})).id
    await start(one, two)
    (copy,) = await until_finished(client, "two")
    letter = await until_one(client, {"wiq": "rest"})
    third = await until_one(client, {"wiq": "three"})
    items = Items(client)

    async def history(id: str) -> Any:
        return await items.get_history(ItemGetHistoryPayload(id=id))

    assert [what for what, _ in told(copy)][:1] in ([], ["succeeded"])
    assert timeline(letter).entries == ()
    first, last = await history(good), await history(bad)
    assert [one.what for one in first.entries][-1] == "succeeded"
    assert [(one.how, one.id) for one in first.children] == [("chain", copy["_id"])]
    assert [(one.how, one.id) for one in last.children] == [("dead letter", letter["_id"])]
    assert (last.entries[-1].what, last.entries[-1].code) == ("failed", "NO_VAT")
    of_copy = await history(copy["_id"])
    assert (of_copy.parent.how, of_copy.parent.id) == ("chain", good)
    assert [(one.how, one.id) for one in of_copy.children] == [("follow-up", third["_id"])]
    assert [one.what for one in of_copy.entries] == ["pushed", "succeeded"]
    of_third = await history(third["_id"])
    assert (of_third.parent.how, of_third.parent.id) == ("follow-up", copy["_id"])
    of_letter = await history(letter["_id"])
    assert (of_letter.parent.how, of_letter.parent.id) == ("dead letter", bad)
    if client.capabilities.conditional_updates:
        assert [one.what for one in first.entries] == ["pushed", "retry", "succeeded"]
        assert list(copy[FIELD]) == [copy["_id"]]


async def test_hand_backs_and_waits_stand_on_the_item_and_share_its_attempt(
    client: Client, start: Make
) -> None:
    began, end = asyncio.Event(), asyncio.Event()

    @handler("keyed", key=lambda payload: "one", concurrency=2)
    async def keyed(payload: dict[str, Any]) -> None:
        began.set()
        await end.wait()

    await create_queue(client, "keyed")
    first = (await client.push_workitem("keyed", {}, priority=1)).id
    second = (await client.push_workitem("keyed", {})).id
    daemon = await start(keyed, drain_timeout=0)
    async with asyncio.timeout(60):
        await began.wait()
    await until_one(client, {"_id": second, "openiap_worker_waits": {"$exists": True}})
    await daemon.stop()
    (kept,) = await client.query("workitems", {"_id": first})
    assert told(kept) == [("handed back", 1)]
    (waits,) = await client.query("workitems", {"_id": second})
    entry = timeline(waits).entries[0]
    assert (entry.what, entry.attempt) == ("waits", 1)
    assert "one" in entry.why
    assert entry.again is not None
    end.set()
    await start(keyed)
    (done,) = [d for d in await until_finished(client, "keyed", 2) if d["_id"] == first]
    if client.capabilities.conditional_updates:
        assert told(done) == [("handed back", 1), ("succeeded", 1)]
    shown = await Items(client).get_history(ItemGetHistoryPayload(id=first))
    assert [one.run for one in shown.entries if one.attempt == 1] == [1, 2]


async def test_a_take_over_says_whose_run_it_was_and_who_took_it(client: Client) -> None:
    await create_queue(client, "orphans")
    pushed = await client.push_workitem("orphans", {})
    popped = await client.pop_workitem("orphans")
    assert popped is not None
    line: Any = Line(client)
    rescuer = TakeOver(
        line, writeback(client, "rescuer"), worker_id="rescuer", max_deaths=3, log=log()
    )
    await rescuer.take(Orphan(popped, "dead", "died", died=True))
    (item,) = await client.query("workitems", {"_id": pushed.id})
    (entry,) = timeline(item).entries
    assert (entry.what, entry.by, entry.attempt) == ("taken over", "rescuer", 1)
    assert "worker dead had this item" in entry.why


@pytest.mark.parametrize("spoilt", ["x", 7, [1], {"last": 1}, None])
async def test_whatever_stands_in_its_place_costs_no_outcome(
    client: Client, start: Make, spoilt: Any
) -> None:
    await create_queue(client, "spoilt")
    pushed = await client.push_workitem("spoilt", {})
    inside = {pushed.id: spoilt}
    (document,) = await client.query("workitems", {"_id": pushed.id})
    await client.update_one("workitems", {**document, FIELD: inside if spoilt else None})

    @handler("spoilt")
    async def fails(payload: dict[str, Any]) -> None:
        raise BusinessError("no")

    await start(fails)
    (item,) = await until_finished(client, "spoilt")
    assert item["state"] == "failed"
    assert told(item) == [("failed", 1)]
    if client.capabilities.conditional_updates:  # by the conditional update itself, not around it
        assert len(history_of(item["_id"], item[FIELD]).entries) == 1


async def test_a_large_payload_is_never_sent_again_for_it(client: Client, start: Make) -> None:
    @handler("large")
    async def fails(payload: dict[str, Any]) -> None:
        raise BusinessError("no")

    await create_queue(client, "large")
    await client.push_workitem("large", {"text": "x" * 100_000})
    await start(fails)
    (item,) = await until_finished(client, "large")
    assert KEY not in item["payload"]
    assert (told(item) == [("failed", 1)]) is client.capabilities.conditional_updates
    shown = await Items(client).get_history(ItemGetHistoryPayload(id=item["_id"]))
    assert [one.what for one in shown.entries] == ["pushed", "failed"]


async def test_an_outcome_of_an_earlier_life_is_told_as_that_lifes(client: Client) -> None:
    await create_queue(client, "left")
    await client.push_workitem("left", {})
    popped = await client.pop_workitem("left")
    assert popped is not None
    outcome = Outcome("business", None, "[BAD] no", "source", ran=1.5, error_class="ValueError")
    await writeback(client).deliver(Delivery(popped, outcome, sent=True, over=("sibling",)))
    (item,) = await client.query("workitems", {"_id": popped.id})
    (entry,) = timeline(item).entries
    assert (entry.by, entry.seconds, entry.code) == ("sibling", 1.5, "BAD")
    assert abs(datetime.now(UTC) - entry.at) < timedelta(minutes=1)
