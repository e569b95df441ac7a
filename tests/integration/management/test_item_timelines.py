"""What operators do with an item stands on it, by whom; and what is read of it."""

import asyncio
from typing import Any

import pytest

from worker.item.history import FIELD
from worker.item.new_item import SCHEDULE_FIELD
from worker.management.items.errors import ItemNotFoundError
from worker.management.items.service import Items
from worker.management.items.types import (
    ItemFilter,
    ItemGetHistoryPayload,
    ItemGetPayload,
    ItemRetryPayload,
    ItemsMoveBatchPayload,
    ItemsRetryBatchPayload,
    ItemsUpdateBatchPayload,
    ItemsWatchPayload,
)
from worker.openiap.client import Client
from worker.openiap.workitem import Workitem, WorkItemQueue
from worker.testing.local_openiap import LocalOpenIAP


async def failed(openiap: LocalOpenIAP, client: Client, queue: str) -> str:
    id = await openiap.push(queue, {"n": 1})
    popped = await client.pop_workitem(queue)
    assert popped is not None
    await client.update_workitem(
        Workitem(id=id, payload=None, state="failed", errormessage="[BAD] no\nmore")
    )
    return id


async def whats(items: Items, id: str) -> list[tuple[str, str | None, str | None]]:
    found = await items.get_history(ItemGetHistoryPayload(id=id))
    return [(one.what, one.by, one.why) for one in found.entries]


async def test_what_operators_do_is_told_with_who_did_it(
    openiap: LocalOpenIAP, client: Client
) -> None:
    await openiap.client.add_workitem_queue(WorkItemQueue(name="other"))
    id = await failed(openiap, client, "told")
    items, chosen = Items(client), ItemFilter(ids=[id])
    by = client.user.name if client.user else ""
    await items.update_batch(ItemsUpdateBatchPayload(filter=chosen, priority=7))
    await items.update_batch(ItemsUpdateBatchPayload(filter=chosen, patch={"n": 2, "m": {"a": 1}}))
    await items.move_batch(ItemsMoveBatchPayload(filter=chosen, to="other"))
    await items.retry_batch(ItemsRetryBatchPayload(filter=chosen))
    told = (await whats(items, id))[1:]
    assert told == [
        ("priority", by, "2 → 7"),
        ("edited", by, "n, m"),
        ("moved", by, "from told to other"),
        ("put back", by, None),
    ]


async def test_nothing_is_told_where_no_history_is_kept(
    openiap: LocalOpenIAP, client: Client
) -> None:
    id = await failed(openiap, client, "told")
    items = Items(client, history=0)
    await items.update_batch(ItemsUpdateBatchPayload(filter=ItemFilter(ids=[id]), priority=7))
    await items.retry_one(ItemRetryPayload(id=id))
    (document,) = await client.query("workitems", {"_id": id})
    assert FIELD not in document
    assert document["state"] == "new"


async def test_one_that_is_put_back_by_hand_is_popped_at_once_and_says_who_did_it(
    openiap: LocalOpenIAP,
) -> None:
    owner = openiap.client
    await openiap.client.add_workitem_queue(WorkItemQueue(name="slow", retrydelay=600))
    id = await failed(openiap, owner, "slow")
    items = Items(owner)
    assert (await items.retry_one(ItemRetryPayload(id=id))).state == "new"
    assert (await whats(items, id))[-1][0] == "put back"
    popped = await owner.pop_workitem("slow")
    assert popped is not None
    assert (popped.id, popped.retries) == (id, 1)


@pytest.mark.parametrize("spoilt", ["x", [1], 7])
async def test_what_stands_in_the_place_of_a_timeline_hinders_nobody(
    openiap: LocalOpenIAP, client: Client, spoilt: Any
) -> None:
    id = await failed(openiap, client, "told")
    (document,) = await client.query("workitems", {"_id": id})
    await client.update_one("workitems", {**document, FIELD: spoilt})
    items = Items(client)
    done = await items.retry_batch(ItemsRetryBatchPayload(filter=ItemFilter(ids=[id])))
    assert (done.done, done.failed) == (1, 0)
    assert (await whats(items, id))[-1][0] == "put back"


async def test_the_end_that_another_program_made_is_told_as_openiap_has_it(
    openiap: LocalOpenIAP, client: Client
) -> None:
    id = await failed(openiap, client, "told")
    items = Items(client)
    found = await items.get_history(ItemGetHistoryPayload(id=id))
    assert [one.what for one in found.entries] == ["pushed", "failed"]
    last = found.entries[-1]
    assert (last.attempt, last.code, last.error) == (1, "BAD", "no")
    await items.retry_one(ItemRetryPayload(id=id))
    await client.pop_workitem("told")
    running = (await items.get_history(ItemGetHistoryPayload(id=id))).entries[-1]
    assert (running.what, running.attempt) == ("running", 2)
    with pytest.raises(ItemNotFoundError):
        await items.get_history(ItemGetHistoryPayload(id="nobody"))


async def test_a_follow_up_that_had_to_be_pushed_is_found_too(
    openiap: LocalOpenIAP, client: Client
) -> None:
    parent = await openiap.push("asks", {})
    child = await openiap.push("asked", {"openiap_worker": {"parent": parent}})
    tick = await openiap.push("ticks", {"openiap_worker": {"schedule": {"name": "n", "tick": 0}}})
    items = Items(client)
    found = await items.get_history(ItemGetHistoryPayload(id=parent))
    assert [(one.how, one.id) for one in found.children] == [("follow-up", child)]
    assert (await items.get_one(ItemGetPayload(id=parent))).children == found.children
    of_child = (await items.get_one(ItemGetPayload(id=child))).parent
    assert of_child is not None
    assert (of_child.how, of_child.id) == ("follow-up", parent)
    of_tick = (await items.get_one(ItemGetPayload(id=tick))).parent
    assert of_tick is not None
    assert (of_tick.how, of_tick.name) == ("schedule", "n")
    assert SCHEDULE_FIELD == "openiap_worker_schedule"


async def test_items_are_shown_as_they_change(openiap: LocalOpenIAP, client: Client) -> None:
    await openiap.client.add_workitem_queue(WorkItemQueue(name="live"))
    seen: list[tuple[str, str | None]] = []
    begun, done = asyncio.Event(), asyncio.Event()

    async def watch() -> None:
        async for item in Items(client).watch(ItemsWatchPayload(filter=ItemFilter(queue="live"))):
            seen.append((item.id, item.state))
            begun.set()
            if item.state == "successful":
                done.set()
                return

    watching = asyncio.create_task(watch())
    async with asyncio.timeout(60):
        while not begun.is_set():  # it is not told when it has begun to look
            first = await openiap.push("live", {})
            await asyncio.sleep(0.3)
        await openiap.push("elsewhere", {})
        popped = await openiap.client.pop_workitem("live")
        assert popped is not None
        while (popped.id, "processing") not in seen:
            await asyncio.sleep(0.05)
        await openiap.client.update_workitem(
            Workitem(id=popped.id, payload=None, state="successful")
        )
        await done.wait()
    await watching
    assert seen[-1] == (popped.id, "successful")
    assert len(seen) == len(set(seen))
    assert first
