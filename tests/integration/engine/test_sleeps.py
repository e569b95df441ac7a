"""Sleeps: an item that sleeps holds nothing, loses no attempt, and goes on where it was."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.engine.conftest import (
    CLIENTS,
    create_queue,
    until_finished,
    until_idle,
    until_one,
)
from worker import Item, handler
from worker.item.metadata import KEY
from worker.item.push import pushes_to
from worker.management import Items
from worker.management.items.types import ItemGetPayload
from worker.openiap.workitem import NEW
from worker.producer.sender import ClientSender
from worker.testing import LocalOpenIAP


async def test_a_sleeping_item_waits_without_an_attempt_and_lists_say_until_when(
    client, start
) -> None:
    runs: list[str] = []

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        runs.append("run")
        await item.step("charge", lambda: runs.append("charge"))
        await item.sleep("3d")
        runs.append("never")

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {"a": 1})
    before = datetime.now(UTC)
    daemon = await start(work)
    asleep = await until_one(
        client, {"_id": pushed.id, "state": NEW, "openiap_worker_waits": {"$exists": True}}
    )
    assert (asleep["retries"], asleep["payload"]["a"]) == (0, 1)
    until = datetime.fromisoformat(asleep["nextrun"])
    assert timedelta(0) <= until - before - timedelta(days=3) < timedelta(minutes=1)
    found = await Items(client).get_one(ItemGetPayload(id=pushed.id))
    assert found.waits == f"sleeps until {until:%Y-%m-%d %H:%M:%S} UTC"
    assert runs == ["run", "charge"]
    await until_idle(daemon)
    counts = daemon.counts()["q"]
    assert (counts.in_flight, counts.parked) == (0, 1)


async def test_a_sleeping_item_goes_on_when_it_is_due(client, start) -> None:
    runs: list[str] = []

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        runs.append("run")
        await item.step("before", lambda: runs.append("before"))
        await item.sleep("1500ms")
        await item.step("after", lambda: runs.append("after"))
        if item.attempt == 1:
            raise RuntimeError("once more")
        return {"attempt": item.attempt}

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert (done["state"], done["payload"]["attempt"], done["retries"]) == ("successful", 2, 1)
    assert runs == ["run", "before", "run", "after", "run"]


async def test_a_sleeping_item_lets_go_of_its_key(client, start) -> None:
    order: list[tuple[str, int]] = []

    @handler("q", concurrency=2, key=lambda payload: payload["customer"])
    async def work(payload: dict, item: Item) -> None:
        order.append(("began", payload["n"]))
        if payload["n"] == 1:
            await item.sleep("1h")
        order.append(("ended", payload["n"]))

    await create_queue(client, "q")
    await client.push_workitem("q", {"customer": "c", "n": 1})
    await client.push_workitem("q", {"customer": "c", "n": 2}, priority=3)
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["payload"]["n"] == 2
    assert order == [("began", 1), ("began", 2), ("ended", 2)]


async def test_who_swallows_a_sleep_sleeps_all_the_same(client, start) -> None:
    runs: list[str] = []

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        try:
            await item.sleep("1h")
        except Exception:
            runs.append("an error")
        except BaseException:
            runs.append("swallowed")
        with suppress(BaseException):
            await item.step("refund", lambda: runs.append("refund"))
        return {"done": True}

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work)
    query = {"_id": pushed.id, "state": NEW, "openiap_worker_waits": {"$exists": True}}
    await until_one(client, query)
    assert runs == ["swallowed"]


async def test_a_sleep_beside_a_step_waits_for_the_step(client, start) -> None:
    runs: list[str] = []

    async def slow() -> str:
        runs.append("began")
        await asyncio.sleep(0.2)
        runs.append("ended")
        return "slow"

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(item.step("slow", slow))
            group.create_task(item.sleep("1h"))
            group.create_task(item.sleep("2h"))

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work)
    query = {"_id": pushed.id, "state": NEW, "openiap_worker_waits": {"$exists": True}}
    asleep = await until_one(client, query)
    assert runs == ["began", "ended"]
    steps = asleep["payload"][KEY]["steps"]
    assert steps["done"]["slow"]["json"] == '"slow"'
    assert sorted(steps["waits"]) == ["1h #1", "2h #1"]
    left = datetime.fromisoformat(asleep["nextrun"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left < timedelta(hours=1)


async def test_a_sleep_beside_a_step_leaves_the_steps_inside_of_it_whole(client, start) -> None:
    runs: list[str] = []

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        async def outer() -> str:
            runs.append("outer")
            while item.asleep is None:
                await asyncio.sleep(0.01)
            return await item.step("inner", lambda: "in") + "side"

        async with asyncio.TaskGroup() as group:
            group.create_task(item.step("outer", outer))
            group.create_task(item.sleep("1h"))

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work)
    query = {"_id": pushed.id, "state": NEW, "openiap_worker_waits": {"$exists": True}}
    done = (await until_one(client, query))["payload"][KEY]["steps"]["done"]
    assert runs == ["outer"]
    assert {name: one["json"] for name, one in done.items()} == {
        "inner": '"in"',
        "outer": '"inside"',
    }


async def test_an_item_that_was_begun_in_time_does_not_expire_in_its_sleep(client, start) -> None:
    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        await item.sleep("6s")
        return {"done": True}

    await create_queue(client, "q")
    await start(work)
    (push,) = pushes_to("q", [{}], {"expires": "4s"})
    await ClientSender(client).send([push])
    (done,) = await until_finished(client, "q")
    assert (done["state"], done.get("errormessage") or "") == ("successful", "")


@pytest.mark.parametrize("name", CLIENTS)
async def test_days_of_sleep_pass_in_virtual_time(name: str, tmp_path: Path) -> None:
    told: list[str] = []

    @handler("orders")
    async def order(payload: dict, item: Item) -> dict:
        charged = await item.step("charge", lambda: told.append("charged") or "V-1")
        await item.sleep("7d")
        await item.step("remind", lambda: told.append("reminded"))
        await item.sleep("7d")
        await item.step("refund", lambda: told.append("refunded"))
        return {"refunded": charged}

    async with LocalOpenIAP(tmp_path, client=name) as openiap:
        await openiap.start_worker(order)
        id = await openiap.push(order, {})
        pushed = openiap.clock()
        done = await openiap.ended(id)
        assert told == ["charged", "reminded", "refunded"]
        assert (done.state, done.attempts) == ("successful", 1)
        assert abs(openiap.clock() - pushed - 14 * 86_400) < 60
