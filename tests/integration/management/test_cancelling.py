"""Items are cancelled by operators: with their rights, from Python and over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.management.api.stage import api_on
from tests.integration.management.failures import READ, queue_for
from worker import Item, handler, sync
from worker.management.errors import ConflictError, NotFoundError
from worker.management.items.batch import Batch
from worker.management.items.cancelling import ItemCancelPayload
from worker.management.items.service import Items
from worker.management.items.store import ItemStore
from worker.management.items.timeline import TimelineEntry
from worker.management.items.types import (
    ItemFilter,
    ItemGetHistoryPayload,
    ItemRetryPayload,
    ItemsCancelBatchPayload,
)
from worker.management.sync import Items as BlockingItems
from worker.openiap.client import Client
from worker.openiap.errors import Disconnected
from worker.openiap.workitem import JsonObject
from worker.testing.local_openiap import LocalOpenIAP

WHY = "the order is gone"


async def told(client: Client, id: str) -> list[TimelineEntry]:
    history = await Items(client).get_history(ItemGetHistoryPayload(id=id))
    return history.entries


async def test_one_that_waits_fails_and_it_is_told_who_did_it_and_why(
    openiap: LocalOpenIAP, client: Client, ordinary: Client
) -> None:
    id = await openiap.push("orders", {"n": 1})
    asked = ItemCancelPayload(id=id, reason=WHY)
    with pytest.raises(NotFoundError, match=f"There is no item {id}, or this user has no rights"):
        await Items(ordinary).cancel_one(asked)
    assert openiap.item(id).state == "new"
    assert (await Items(client).cancel_one(asked)).result == "cancelled"
    found = openiap.item(id).document
    assert (found["state"], found["errormessage"]) == ("failed", f"[CANCELLED] {WHY}")
    assert found["payload"] == {"n": 1}
    _, cancelled = await told(client, id)
    noted = client.capabilities.conditional_updates
    by = openiap.environment["OPENIAP_USERNAME"] if noted else None
    assert (cancelled.what, cancelled.by, cancelled.why) == ("cancelled", by, WHY)
    with pytest.raises(ConflictError, match=f"Item {id} is failed: nothing is left to cancel."):
        await Items(client).cancel_one(asked)
    await Items(client).retry_one(ItemRetryPayload(id=id))
    assert await client.pop_workitem("orders") is not None


async def test_it_is_cancelled_where_the_link_is_gone_before_the_note(
    openiap: LocalOpenIAP, client: Client, monkeypatch
) -> None:
    async def away(*_: object) -> None:
        raise Disconnected("away", operation="update_document")

    monkeypatch.setattr(ItemStore, "update_if", away)
    id = await openiap.push("orders", {})
    asked = ItemCancelPayload(id=id, reason=WHY)
    assert (await Items(client).cancel_one(asked)).result == "cancelled"
    assert [(one.what, one.why) for one in await told(client, id)] == [
        ("pushed", None),
        ("cancelled", WHY),
    ]


async def test_one_that_runs_is_ended_by_its_worker(openiap: LocalOpenIAP, client: Client) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    @handler("orders")
    async def work(payload: dict[str, Any], item: Item) -> None:
        began.set()
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    daemon = await openiap.start_worker(work, heartbeat_interval=0.2)
    try:
        id = await openiap.push("orders", {})
        async with asyncio.timeout(60):
            await began.wait()
            asked = ItemCancelPayload(id=id, reason=WHY)
            assert (await Items(client).cancel_one(asked)).result == "stopping"
            await ended.wait()
            await openiap.ended(id)
    finally:
        await daemon.stop()
    found = openiap.item(id).document
    assert found["state"] == "failed"
    assert found["errormessage"].startswith(f"[CANCELLED] {WHY}")
    noted = ["cancelled"] if client.capabilities.conditional_updates else []
    assert [one.what for one in await told(client, id)] == ["pushed", *noted, "failed"]


async def test_many_are_cancelled_as_their_dry_run_said(
    openiap: LocalOpenIAP, client: Client
) -> None:
    items = Items(client)
    first, *waiting = [await openiap.push("orders", {"n": n}) for n in range(4)]
    assert (await openiap.client.pop_workitem("orders")) is not None
    other = await openiap.push("others", {})
    asked = ItemsCancelBatchPayload(filter=ItemFilter(queue="orders"), reason=WHY)
    preview = await items.preview_batch(asked)
    assert (preview.count, preview.running, preview.conditional) == (4, 1, False)
    # One begins to run, one is pushed: that one alone was not there.
    assert (await openiap.client.pop_workitem("orders")) is not None
    late = await openiap.push("orders", {})
    again = asked.model_copy(update={"before": preview.before})
    done = await items.cancel_batch(again)
    assert (done.done, done.stopping, done.changed, done.failed) == (4, 2, 0, 0)
    found = [openiap.item(id).document for id in (first, *waiting)]
    assert [one["state"] for one in found] == ["processing", "processing", "failed", "failed"]
    assert {one["errormessage"] for one in found} == {f"[CANCELLED] {WHY}"}
    assert [one["errorsource"] for one in found] == ["cancelled: attempt 1"] * 4
    assert (openiap.item(late).state, openiap.item(other).state) == ("new", "new")
    if client.capabilities.conditional_updates:
        assert "cancelled" in [one.what for one in await told(client, waiting[-1])]
    assert (await items.cancel_batch(again)).stopping == 2  # those that run; nothing else


async def test_one_that_begins_to_run_is_left_alone_where_waiting_ones_are_meant(
    openiap: LocalOpenIAP, client: Client, monkeypatch
) -> None:
    ids = [await openiap.push("orders", {}) for _ in range(2)]
    pages = Batch.pages

    async def popped_after_the_page(batch: Batch) -> AsyncIterator[list[JsonObject]]:
        async for page in pages(batch):
            assert (await openiap.client.pop_workitem("orders")) is not None
            yield page

    monkeypatch.setattr(Batch, "pages", popped_after_the_page)
    asked = ItemsCancelBatchPayload(filter=ItemFilter(ids=ids, states=["new"]))
    done = await Items(client).cancel_batch(asked)
    assert (done.done, done.stopping, done.changed, done.failed) == (1, 0, 1, 0)
    assert [openiap.item(id).state for id in ids] == ["processing", "failed"]
    wrong = ItemsCancelBatchPayload(filter=ItemFilter(states=["failed"]))
    with pytest.raises(ConflictError, match="Cancel touches no items that are failed"):
        await Items(client).cancel_batch(wrong)


async def test_an_id_of_any_length_is_cancelled_with_the_others(
    openiap: LocalOpenIAP, client: Client
) -> None:
    id = await openiap.push("orders", {})
    (found,) = await openiap.client.query("workitems", {"_id": id})
    long = "w" * 600
    await openiap.client.insert_one("workitems", {**found, "_id": long})
    done = await Items(client).cancel_batch(
        ItemsCancelBatchPayload(filter=ItemFilter(queue="orders"), reason=WHY)
    )
    assert (done.done, done.failed) == (2, 0)
    assert openiap.item(long).state == "failed"


async def test_what_a_user_may_only_read_is_one_of_the_failures(
    openiap: LocalOpenIAP, ordinary: Client
) -> None:
    await queue_for(openiap, "read", READ)
    await openiap.push("read", {})
    asked = ItemsCancelBatchPayload(filter=ItemFilter(queue="read"))
    done = await Items(ordinary).cancel_batch(asked)
    assert (done.done, done.failed) == (0, 1)
    assert done.failures[0].reason.endswith("ordinary is missing invoke rights.")


async def test_one_that_others_cancelled_says_so_itself(
    openiap: LocalOpenIAP, client: Client
) -> None:
    id = await openiap.push("orders", {})

    def cancel() -> None:
        with sync.connect(openiap.settings()) as connected:
            connected.pushed(id).cancel(WHY)

    await asyncio.to_thread(cancel)
    assert [(one.what, one.why) for one in await told(client, id)] == [
        ("pushed", None),
        ("cancelled", WHY),
    ]


async def test_one_is_cancelled_by_blocking_code_and_over_http(openiap: LocalOpenIAP) -> None:
    first, second = [await openiap.push("orders", {}) for _ in range(2)]

    def cancel() -> None:
        with sync.connect(openiap.settings()) as connected:
            BlockingItems(connected).cancel_one(ItemCancelPayload(id=first))

    await asyncio.to_thread(cancel)
    assert openiap.item(first).state == "failed"
    async with api_on(openiap) as stage, stage.signed_in(stage.boss) as http:
        answer = await http.post(f"/items/{second}/cancel", json={"reason": WHY})
        assert (answer.status_code, answer.json()) == (200, {"result": "cancelled"})
        again = await http.post(f"/items/{second}/cancel")
        assert again.status_code == 409
        assert "nothing is left to cancel" in again.text
