"""Placing: an item under a chosen id is put into its queue once, however often it is tried."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from tests.integration.state.conftest import MakeClient
from worker.item import new_item as new_item_room
from worker.item.new_item import NewItem, chosen_id
from worker.localserver import LocalServer
from worker.openiap.client import Client
from worker.openiap.errors import QueueNotFound
from worker.producer.insert import Inserted, KnownQueues, insert

QUEUE = {"_type": "workitemqueue", "maxretries": 3, "retrydelay": 0, "initialdelay": 0}


async def new_item(client: Client, queue: str, payload: dict[str, object]) -> NewItem:
    found = await KnownQueues(client).of(queue)
    id = chosen_id("seed", datetime(2026, 5, 17, tzinfo=UTC))
    return NewItem(id, queue, payload, wiqid=found.wiqid, acl=found.acl)


async def test_an_item_is_placed_once_under_its_id_and_popped(make: MakeClient) -> None:
    one, other = await make(), await make("native")
    await one.insert_one("mq", {**QUEUE, "name": "q"})
    item = await new_item(one, "q", {"n": 1})
    placed = await asyncio.gather(*(insert(c, item, id_field="seed") for c in (one, other, one)))
    assert {p.id for p in placed} == {item.id}
    assert [p.fresh for p in placed].count(True) == 1
    popped = await other.pop_workitem("q")
    assert popped is not None
    assert (popped.id, popped.payload, popped.priority) == (item.id, {"n": 1}, 2)
    assert await insert(one, item, id_field="seed") == Inserted(item.id, fresh=False)
    assert await other.pop_workitem("q") is None


async def test_without_the_rights_it_is_pushed_with_its_id_in_the_metadata(
    client: Client, server: LocalServer
) -> None:
    await client.insert_one("mq", {**QUEUE, "name": "q"})
    item = await new_item(client, "q", {"n": 1, "openiap_worker": {"namespace": "acme"}})
    server.faults.refuse_collections.add("workitems")
    first = await insert(client, item, id_field="seed")
    assert first.fresh
    assert await insert(client, item, id_field="seed") == Inserted(first.id, fresh=False)
    popped = await client.pop_workitem("q")
    assert popped is not None
    assert popped.payload == {"n": 1, "openiap_worker": {"namespace": "acme", "seed": item.id}}


async def test_a_queue_that_is_not_there_is_said(client: Client) -> None:
    with pytest.raises(QueueNotFound, match="queue nowhere does not exist"):
        await KnownQueues(client).of("nowhere")


@pytest.mark.parametrize("ahead", [timedelta(hours=25), timedelta(hours=-25)], ids=str)
async def test_an_item_is_due_at_once_whatever_the_time_is_on_this_machine(
    client: Client, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    class Elsewhere(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + ahead

    await client.insert_one("mq", {**QUEUE, "name": "q"})
    monkeypatch.setattr(new_item_room, "datetime", Elsewhere)
    item = await new_item(client, "q", {"n": 1})
    assert (await insert(client, item, id_field="seed")).fresh
    monkeypatch.undo()
    popped = await client.pop_workitem("q")
    assert popped is not None
    assert popped.id == item.id
