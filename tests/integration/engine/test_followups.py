"""Follow-up items: only after success, and at most once, whatever dies in between."""

import asyncio
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.integration.engine import process_deeds
from tests.integration.engine.conftest import (
    DEADLINE,
    create_queue,
    official_is_dear,
    until_finished,
    until_idle,
    until_one,
)
from worker import BusinessError, Item, handler
from worker.engine.daemon import Daemon
from worker.engine.delivery.follow_ups import FollowUps
from worker.engine.outbox.outbox import Outbox
from worker.item.metadata import taken_out
from worker.openiap.errors import QueueNotFound


class Shipment(BaseModel):
    order: str
    weight: float


@handler("shipments")
async def ship(shipment: Shipment) -> dict:
    return {"label": shipment.order}


async def test_follow_ups_are_pushed_when_the_item_has_succeeded_and_only_then(
    client, start
) -> None:
    @handler("orders")
    async def order(payload: dict, item: Item) -> dict:
        id = await item.push(ship, Shipment(order=payload["order"], weight=2), priority=1)
        await item.push("shipments", {"order": "late", "weight": 1}, delay="1h", name="late")
        assert await item.sender.client.count("workitems", {"wiq": "shipments"}) == 0
        if payload.get("bad"):
            raise BusinessError("no")
        return {"shipment": id}

    await create_queue(client, "orders")
    await create_queue(client, "shipments")
    await client.push_workitem("orders", {"order": "bad", "bad": True})
    daemon = await start(order, ship)
    await until_finished(client, "orders", 1)
    await until_idle(daemon)
    assert await client.count("workitems", {"wiq": "shipments"}) == 0
    await client.push_workitem("orders", {"order": "A-1"})
    done = await until_finished(client, "orders", 2)
    (shipped,) = await until_finished(client, "shipments", 1)
    ids = [d["payload"]["shipment"] for d in done if d["state"] == "successful"]
    assert ids == [shipped["_id"]]
    assert (shipped["state"], shipped["priority"]) == ("successful", 1)
    assert shipped["payload"]["label"] == "A-1"
    late = await until_one(client, {"name": "late"})
    assert late["state"] == "new"


async def test_a_link_that_breaks_while_a_handler_pushes_costs_its_item_nothing(
    client, server, start
) -> None:
    pushed = asyncio.Event()

    @handler("orders")
    async def order(payload: dict, item: Item) -> None:
        server.faults.lose_replies["query"] = 1
        await item.push(ship, Shipment(order="A-1", weight=2))
        pushed.set()

    await create_queue(client, "orders", maxretries=1)
    await create_queue(client, "shipments")
    await client.push_workitem("orders", {})
    await start(order, ship, call_timeout=0.5)
    # The answer that is lost is one to the worker, not to this test's own questions.
    await asyncio.wait_for(pushed.wait(), DEADLINE)
    (done,) = await until_finished(client, "orders")
    assert (done["state"], done["retries"]) == ("successful", 0)
    (shipped,) = await until_finished(client, "shipments")
    assert shipped["payload"]["label"] == "A-1"


async def test_a_follow_up_to_an_unknown_queue_fails_in_the_handler(client, start) -> None:
    caught: list[str] = []

    @handler("orders")
    async def order(payload: dict, item: Item) -> None:
        with pytest.raises(QueueNotFound) as at:
            await item.push("nowhere", {})
        caught.append(at.value.text)

    await create_queue(client, "orders")
    await client.push_workitem("orders", {})
    await start(order)
    await until_finished(client, "orders")
    assert caught == ["queue nowhere does not exist, or this user has no rights on it"]


async def test_a_crash_after_the_outcome_pushes_once(
    client, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies after the server had the outcome: before, and after, it pushed."""
    real = FollowUps.deliver
    dying = asyncio.Event()

    async def pushed_and_died(self: FollowUps, pushes: object, **how: object) -> None:
        await real(self, pushes, **how)  # type: ignore[arg-type]
        dying.set()
        await asyncio.Event().wait()

    async def died(self: FollowUps, pushes: object, **how: object) -> None:
        dying.set()
        await asyncio.Event().wait()

    @handler("orders")
    async def order(payload: dict, item: Item) -> None:
        await item.push("shipments", {"order": "A-1", "weight": 1})

    await create_queue(client, "orders")
    await create_queue(client, "shipments")
    quick = settings.model_copy(update={"drain_timeout": 0, "cancel_timeout": 0.1})
    for number, (death, there) in enumerate([(pushed_and_died, 1), (died, 0)], 1):
        dying.clear()
        monkeypatch.setattr(FollowUps, "deliver", death)
        await client.push_workitem("orders", {})
        worker = Daemon(quick, [order])
        await worker.start()
        async with asyncio.timeout(60):
            await dying.wait()
        assert await client.count("workitems", {"wiq": "shipments"}) == number - 1 + there
        await worker.stop()  # its last messages do not come through: the row stays
        monkeypatch.setattr(FollowUps, "deliver", real)
        again = Daemon(quick, [order])
        await again.start()
        assert await client.count("workitems", {"wiq": "shipments"}) == number
        await again.stop()
    assert Outbox.adoptable(Path(settings.state_dir)) == []


async def test_without_rights_to_write_documents_a_follow_up_is_pushed_the_ordinary_way(
    client, start, server
) -> None:
    @handler("orders")
    async def order(payload: dict, item: Item) -> None:
        await item.push(ship, Shipment(order="A-1", weight=2))

    await create_queue(client, "orders")
    await create_queue(client, "shipments")
    server.faults.refuse_collections = ("workitems",)
    await client.push_workitem("orders", {})
    await start(order, ship)
    (shipped,) = await until_finished(client, "shipments", 1)
    assert shipped["state"] == "successful"
    assert shipped["payload"]["label"] == "A-1"


@official_is_dear
async def test_process_handlers_checkpoint_and_push_over_their_pipe(
    client, settings, start
) -> None:
    for queue in ("slices", "next", "asks", "sums"):
        await create_queue(client, queue)
    pushed = await client.push_workitem("slices", {})
    await client.push_workitem("asks", {})
    await start(process_deeds.sliced, process_deeds.asks, process_deeds.sums)
    (done,) = await until_finished(client, "slices", 1)
    assert (done["_id"], taken_out(done["payload"])[0]) == (pushed.id, {"began_at": 3})
    # One after the other, and all after the outcome: the last one's arrival is waited for.
    follow = await until_one(client, {"wiq": "next"})
    assert follow["payload"] == {"from": 3}
    again = await until_one(client, {"wiq": "slices", "state": "new"})
    assert taken_out(again["payload"])[0] == {"again": True}
    (asked,) = await until_finished(client, "asks", 1)
    assert asked["payload"] == {"sum": 3}


async def test_an_attachment_that_vanished_is_named(client, start, monkeypatch) -> None:
    from worker.engine.outbox.spool import Spool

    real = Spool.keep

    def vanishing(self: Spool, *args: object) -> Path:
        kept = real(self, *args)  # type: ignore[arg-type]
        kept.unlink()
        return kept

    monkeypatch.setattr(Spool, "keep", vanishing)

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        await item.attach(b"text", "a.txt")

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert (done["state"], done["errormessage"]) == (
        "failed",
        "The item's files: the attachment a.txt vanished before it was stored",
    )


@pytest.mark.parametrize("way", ["chain", "follow-up", "push"])
async def test_a_worker_that_ends_with_its_queues_works_what_one_brings_into_the_other(
    client, settings, server, way: str
) -> None:
    """The second queue is empty at first, and seen so long before the first one is."""
    worked: list[str] = []

    @handler("second")
    async def then(payload: dict, item: Item) -> None:
        worked.append("second")

    @handler("first")
    async def begin(payload: dict, item: Item) -> None:
        worked.append("first")
        await asyncio.sleep(0.3)
        if way == "follow-up":
            await item.push(then, {"n": 1})
        elif way == "push":
            await client.push_workitem("second", {"n": 1})

    chain = {"success_wiq": "second"} if way == "chain" else {}
    # No message and no event tells of the second queue's item, and its poll is far away.
    await create_queue(client, "second", amqpqueue="")
    await create_queue(client, "first", amqpqueue="", **chain)
    await client.push_workitem("first", {})
    server.faults.refuse = {"watch": 1}
    once = settings.model_copy(update={"once": True, "poll_interval": 600.0})
    async with asyncio.timeout(60):
        assert await Daemon(once, [begin, then]).run(signals=False) == 0
    assert worked == ["first", "second"]
    assert await client.count("workitems", {"state": "successful"}) == 2
