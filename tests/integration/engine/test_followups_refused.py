"""Follow-up items that the server refuses: waited out, and in the end evidence, never silence."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from tests.integration.engine.conftest import (
    DEADLINE,
    create_queue,
    until_finished,
    until_idle,
    until_one,
)
from worker import Item, handler
from worker.engine.daemon import Daemon
from worker.engine.delivery import follow_ups
from worker.engine.fleet import recovery
from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.rows import Evidence
from worker.item.new_item import FollowUp
from worker.item.outcome import Outcome
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.openiap.workitem import Workitem
from worker.producer.insert import Inserted, insert
from worker.producer.unique_push import UniquePushes
from worker.telemetry.log import Log
from worker.testing.doubles import ClientPool

REFUSED = {"insertone": 1_000_000, "pushworkitem": 1_000_000}
QUICK = {"drain_timeout": 0, "cancel_timeout": 0.1}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_ups, "WAIT_MAX", 0.3)


@pytest.fixture
async def admin(settings) -> AsyncIterator[Client]:
    """The client that can delete queues."""
    door = make_client(settings.model_copy(update={"client": "native"}))
    await door.connect()
    yield door
    await door.disconnect()


@handler("orders")
async def order(payload: dict, item: Item) -> dict:
    await item.push("shipments", {"order": payload.get("n", 0)})
    return {"done": True}


@handler("orders")
async def order_of_two(payload: dict, item: Item) -> None:
    await item.push("gone", {"n": 1})
    await item.push("shipments", {"n": 2})


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not happened():
            await asyncio.sleep(0.01)


async def evidence_of(settings, worker_id: str) -> list[Evidence]:
    """Return what a worker that has ended kept."""
    outbox = await Outbox.open(settings.state_dir, worker_id, sync="normal", keep_evidence_days=7)
    try:
        assert await outbox.pending() == []
        return await outbox.evidence()
    finally:
        await outbox.close()


async def test_a_follow_up_survives_a_server_that_refuses_for_a_while(
    client, start, server
) -> None:
    await create_queue(client, "orders")
    await create_queue(client, "shipments")
    await client.push_workitem("orders", {})
    server.faults.refuse = {"insertone": 3, "pushworkitem": 3}
    await start(order, presence=False)
    shipped = await until_one(client, {"wiq": "shipments"})
    assert shipped["payload"] == {"order": 0}


async def test_one_that_was_pushed_while_documents_were_refused_is_not_inserted_as_well(
    client, start, server
) -> None:
    """The insertion is refused for a moment; should it be pushed, the answer to that is lost."""
    await create_queue(client, "orders")
    await create_queue(client, "shipments")
    await client.push_workitem("orders", {})
    server.faults.refuse = {"insertone": 1}
    server.faults.lose_replies = {"pushworkitem": 1}
    daemon = await start(order, presence=False, call_timeout=1)
    await until_one(client, {"wiq": "shipments"})
    await until_idle(daemon)
    assert await client.count("workitems", {"wiq": "shipments"}) == 1


async def test_a_refused_follow_up_is_pushed_in_the_next_life_whatever_became_of_its_item(
    client, settings, server
) -> None:
    await create_queue(client, "orders")
    await create_queue(client, "shipments")
    await client.push_workitem("orders", {})
    server.faults.refuse = dict(REFUSED)
    calm = settings.model_copy(update={**QUICK, "presence": False, "worker_id": "me"})
    first = Daemon(calm, [order])
    await first.start()
    (done,) = await until_finished(client, "orders")
    await until(lambda: server.faults.refuse["insertone"] < REFUSED["insertone"])
    await first.stop()
    await client.delete_one("workitems", done["_id"])  # it is over for everybody else

    server.faults.refuse = {"insertone": 3, "pushworkitem": 3}  # and at the start as well
    again = Daemon(calm, [order])
    await again.start()
    shipped = await until_one(client, {"wiq": "shipments"})
    assert shipped["payload"] == {"order": 0}
    await again.stop()
    assert await evidence_of(settings, "me") == []


async def test_what_can_never_be_pushed_is_evidence_and_holds_up_nothing(
    client, admin, start, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_ups, "PATIENCE_FOR_RIGHTS", 1.0)
    await create_queue(client, "orders")
    await create_queue(client, "shipments")
    await create_queue(client, "gone")
    pushed = await client.push_workitem("orders", {})
    real = follow_ups.FollowUps.deliver

    async def without_queue(self: follow_ups.FollowUps, *args: object, **how: object) -> object:
        await admin.delete_workitem_queue("gone", purge=True)
        return await real(self, *args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(follow_ups.FollowUps, "deliver", without_queue)
    daemon = await start(order_of_two, worker_id="me")
    shipped = await until_one(client, {"wiq": "shipments"})
    assert shipped["payload"] == {"n": 2}
    await until_idle(daemon)
    assert daemon.counts()["orders"].unpushed == 1
    assert daemon.counts()["orders"].successful == 1
    (parent,) = await client.query("workitems", {"_id": pushed.id})
    assert parent["state"] == "successful"
    assert "for gone was refused:" in parent["errormessage"]
    assert parent["payload"] == {}
    await daemon.stop()

    (kept,) = await evidence_of(settings, "me")
    assert kept.item_id == pushed.id
    assert kept.outcome is not None
    assert [push.queue for push in kept.outcome.pushes] == ["gone"]
    assert kept.outcome.pushes[0].payload == {"n": 1}
    assert f"follow-up item {kept.outcome.pushes[0].id} for gone" in kept.reason
    assert f"follow-up item {kept.outcome.pushes[0].id} for gone" in parent["errormessage"]


async def test_a_finished_item_that_was_put_back_is_not_told_of_its_follow_ups(client) -> None:
    await create_queue(client, "orders")
    await client.push_workitem("orders", {})
    item = await client.pop_workitem("orders")
    push = follow_ups.Unpushed(FollowUp(id="b" * 24, queue="gone", payload={}), "no such queue")
    followups = follow_ups.FollowUps(
        ClientPool(client), unique=UniquePushes(client), log=Log("error")
    )
    await followups.tell(item, [push])
    (document,) = await client.query("workitems", {"_id": item.id})
    assert (document["state"], document.get("errormessage") or "") == ("processing", "")
    item.state = "successful"
    await client.update_workitem(item)
    await followups.tell(item, [push])
    (document,) = await client.query("workitems", {"_id": item.id})
    assert document["state"] == "successful"
    assert "follow-up item" in document["errormessage"]


@pytest.mark.dear
@pytest.mark.parametrize(
    "client_name", ["native", pytest.param("official", marks=pytest.mark.dear)], indirect=True
)
async def test_one_life_left_more_refused_follow_ups_than_are_sent_at_once_and_none_waits_for_them(
    client, settings, start, server
) -> None:
    """Their queue is gone; the outcome behind them and the item in flight are settled."""
    await create_queue(client, "orders")
    outbox = await Outbox.open(settings.state_dir, "me", sync="normal", keep_evidence_days=1)
    for n in range(recovery.AT_ONCE + 4):
        push = FollowUp(id=f"{n:024x}", queue="gone", payload={"n": n})
        outcome = Outcome("successful", {}, pushes=(push,))
        nobody = Workitem(id=f"{n:023x}a", wiq="orders", payload=None)
        await outbox.popped(nobody, datetime.now(UTC))
        await outbox.finished(nobody.id, 0, outcome)
        outbox.accepted(nobody.id, 0, outcome)
    for _ in range(2):
        await client.push_workitem("orders", {})
    behind, flying = await client.pop_workitem("orders"), await client.pop_workitem("orders")
    await outbox.popped(behind, datetime.now(UTC))
    await outbox.finished(behind.id, 0, Outcome("successful", {"ok": 1}))
    await outbox.popped(flying, datetime.now(UTC))
    await outbox.close()

    await asyncio.wait_for(start(order, worker_id="me"), DEADLINE)
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await client.query("workitems", {"wiq": "orders"})
            by_id = {document["_id"]: document for document in found}
            again = by_id[flying.id]["state"] != "processing"
            if by_id[behind.id]["state"] == "successful" and again:
                break
            await asyncio.sleep(0.02)


async def test_one_whose_item_was_pushed_and_worked_meanwhile_is_not_pushed_again(
    client, start
) -> None:
    """The answer to a push may be lost for longer than its item takes."""

    @handler("shipments")
    async def ship(payload: dict) -> dict:
        return {"shipped": True}

    await create_queue(client, "shipments")
    push = FollowUp(id="6b0b0866c7bd62e8110b8faa", queue="shipments", payload={"order": 7})
    assert (await insert(client, push, id_field=follow_ups.ID_FIELD)).fresh
    await start(ship)
    (shipped,) = await until_finished(client, "shipments")
    assert (shipped["state"], shipped["payload"]["shipped"]) == ("successful", True)
    again = await insert(client, push, id_field=follow_ups.ID_FIELD)
    assert again == Inserted(shipped["_id"], fresh=False)
