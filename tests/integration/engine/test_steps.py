"""Steps: a result that is stored is never made again, and comes back as what it was."""

import asyncio
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import BaseModel

from tests.integration.engine import process_steps
from tests.integration.engine.conftest import create_queue, until_finished, until_one
from worker import Backoff, BusinessError, Item, handler
from worker.errors import TimeLimitExceeded
from worker.item.long_work import THREADS
from worker.item.metadata import KEY, taken_out
from worker.item.outcome import WAITS
from worker.item.steps import FIELD
from worker.management import Items
from worker.management.items.types import ItemRetryPayload
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.openiap.values import json_text
from worker.producer.producer import Producer
from worker.producer.sender import ClientSender


class Voucher(BaseModel):
    number: str
    amount: Decimal
    at: datetime


@dataclass
class Parcel:
    weight: float


async def document(client: Client, id: str) -> dict:
    (found,) = await client.query("workitems", {"_id": id})
    return found


def result(done: dict) -> dict:
    """Return a finished item's payload; of its steps nothing is left."""
    payload, kept = taken_out(done["payload"])
    assert kept.steps is None
    return payload


async def test_a_stored_step_is_not_run_again_and_its_type_is_restored(client, start) -> None:
    runs: list[str] = []
    got: list[object] = []
    moment = datetime(2026, 11, 20, 10, 0, 0, 123456, UTC)

    async def charge(amount: Decimal) -> Voucher:
        runs.append("charge")
        return Voucher(number="V-1", amount=amount, at=moment)

    def weigh() -> Parcel:
        runs.append("weigh")
        return Parcel(1.0)

    async def look(page: int) -> str:
        runs.append(f"look {page}")
        return f"late at 2026-11-20T10:00:00.000Z, page {page} __REGEXP x"

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        got.append(await item.step("charge", charge, Decimal("10.50")))
        got.append(await item.step("weigh", weigh))
        got.append(await item.step("a.b $c %2E", look, 1))
        got.append(await item.step("_x", look, 2))
        if item.attempt < 3:
            raise RuntimeError("not yet")
        return {"ok": True}

    await create_queue(client, "q")
    await client.push_workitem("q", {"a": 1})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert runs == ["charge", "weigh", "look 1", "look 2"]
    one = [
        Voucher(number="V-1", amount=Decimal("10.50"), at=moment),
        Parcel(1.0),
        "late at 2026-11-20T10:00:00.000Z, page 1 __REGEXP x",
        "late at 2026-11-20T10:00:00.000Z, page 2 __REGEXP x",
    ]
    assert got == one * 3
    assert (done["state"], done["retries"]) == ("successful", 2)
    assert result(done) == {"a": 1, "ok": True}


async def test_a_result_is_on_the_item_before_the_next_line_runs(client, start) -> None:
    at_work, go = asyncio.Event(), asyncio.Event()

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        await item.checkpoint({"page": 1}, now=True)
        await item.step("charge", lambda: "V-1")
        at_work.set()
        await go.wait()
        await item.progress(0.5)
        await item.step("again", lambda: at_work.clear())

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {"a": 1})
    await start(work)
    async with asyncio.timeout(60):
        await at_work.wait()
    stored = (await document(client, pushed.id))["payload"]
    assert stored["a"] == 1
    assert stored[KEY]["checkpoint"] == {"page": 1}
    assert stored[KEY]["steps"]["of"] == pushed.id
    assert stored[KEY]["steps"]["done"]["charge"]["json"] == '"V-1"'
    go.set()
    (done,) = await until_finished(client, "q")
    assert result(done) == {"a": 1}


async def test_steps_side_by_side_are_all_stored(client, start) -> None:
    runs: list[int] = []

    async def fetch(page: int) -> int:
        runs.append(page)
        return page * page

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(item.step(f"page {n}", fetch, n)) for n in range(20)] + [
                group.create_task(item.step("page 3", fetch, 3))
            ]
        if item.attempt == 1:
            raise RuntimeError("once more")
        return {"sum": sum(task.result() for task in tasks)}

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert sorted(runs) == list(range(20))
    assert done["payload"]["sum"] == sum(n * n for n in range(20)) + 9


async def test_def_handlers_have_steps_by_waiting(client, start) -> None:
    runs: list[str] = []

    def charge(n: int) -> Voucher:
        runs.append("charge")
        return Voucher(number=str(n), amount=Decimal(1), at=datetime(2026, 1, 1, tzinfo=UTC))

    @handler("q")
    def work(payload: dict, item: Item) -> dict:
        voucher = item.wait(item.step("charge", charge, 7))
        if item.attempt == 1:
            raise RuntimeError("once more")
        return {"number": voucher.number}

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert (runs, result(done)) == (["charge"], {"number": "7"})


@pytest.mark.dear  # processes are started
async def test_process_handlers_have_steps_and_sleep(client, start, tmp_path) -> None:
    await create_queue(client, process_steps.ASYNC)
    await create_queue(client, process_steps.PLAIN)
    for queue in (process_steps.ASYNC, process_steps.PLAIN):
        await client.push_workitem(queue, {"folder": str(tmp_path), "queue": queue})
    await start(process_steps.async_work, process_steps.plain_work)
    for queue in (process_steps.ASYNC, process_steps.PLAIN):
        (done,) = await until_finished(client, queue)
        assert done["state"] == "successful", done["errormessage"]
        assert done["payload"]["numbers"] == [1, 4]
        assert done["retries"] == 1
        runs = (tmp_path / queue).read_text().split()
        assert (runs.count("step"), runs.count("run")) == (2, 3)


async def test_a_step_is_tried_again_by_its_own_rule_and_within_its_own_time(client, start) -> None:
    tries: list[str] = []

    async def flaky() -> int:
        tries.append("flaky")
        if len(tries) < 3:
            raise ConnectionError("away")
        return len(tries)

    async def slow() -> None:
        tries.append("slow")
        await asyncio.Event().wait()

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        assert await item.step("flaky", flaky, retry=Backoff("10ms", attempts=5)) == 3
        await item.step("slow", slow, timeout="50ms", retry=Backoff("1ms", attempts=2))

    await create_queue(client, "q", maxretries=1)
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert tries == ["flaky"] * 3 + ["slow"] * 2
    assert "Step 'slow' took longer than 50ms" in done["errormessage"]
    # What was done is kept for who tries the item again by hand.
    assert done["payload"][KEY]["steps"]["done"]["flaky"]["json"] == "3"


async def test_a_failed_item_that_is_tried_again_by_hand_goes_on_where_it_was(
    client, start
) -> None:
    runs: list[str] = []

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        charged = await item.step("charge", lambda: runs.append("charge") or "V-1")
        runs.append("run")
        if runs.count("run") == 1:
            raise BusinessError("no address")
        return {"charged": charged}

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work)
    await until_finished(client, "q")
    await Items(client).retry_one(ItemRetryPayload(id=pushed.id))
    await until_one(client, {"_id": pushed.id, "state": "successful"})
    assert runs == ["charge", "run", "run"]


async def test_a_business_error_in_a_step_ends_the_item(client, start) -> None:
    tries: list[int] = []

    async def refuse() -> None:
        tries.append(1)
        raise BusinessError("no funds", code="NO_FUNDS")

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(item.step("charge", refuse, retry=Backoff("1ms", attempts=9)))

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert (tries, done["state"], done["errortype"]) == ([1], "failed", "business")
    assert "no funds" in done["errormessage"]


async def test_a_name_used_for_two_calls_ends_the_item_with_both(client, start) -> None:
    async def charge(amount: int) -> int:
        return amount

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        for amount in (1, 1, 2):
            await item.step("charge", charge, amount)

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert (done["state"], done["retries"]) == ("failed", 0)
    assert "charge(1), and" in done["errormessage"]
    assert "charge(2)" in done["errormessage"]


async def test_threads_that_were_abandoned_take_none_from_steps_and_worker(client, start) -> None:
    go = threading.Event()

    async def stuck(item: Item, number: int) -> None:
        with pytest.raises(TimeLimitExceeded):
            await item.step(f"stuck {number}", go.wait, timeout="20ms")

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        await asyncio.gather(*(stuck(item, number) for number in range(40)))
        async with asyncio.timeout(60):
            await asyncio.to_thread(time.monotonic)
            return {"r": await item.step("quick", lambda: 3)}

    await create_queue(client, "q", maxretries=1)
    await client.push_workitem("q", {})
    try:
        await start(work)
        (done,) = await until_finished(client, "q")
        left = [one for one in threading.enumerate() if one.name.startswith("step-")]
    finally:
        go.set()
    assert (done["state"], result(done)) == ("successful", {"r": 3})
    assert len(left) == 40
    assert all(one.daemon for one in left)


async def test_of_def_steps_side_by_side_so_many_run_as_there_are_threads(client, start) -> None:
    inside: list[int] = []
    full, go = threading.Event(), threading.Event()

    def blocks(number: int) -> int:
        inside.append(number)
        if len(inside) == THREADS:
            full.set()
        assert go.wait(60)
        return number

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(item.step(f"block {n}", blocks, n)) for n in range(3 * THREADS)
            ]
            assert await asyncio.to_thread(full.wait, 60)
            # One that needs no thread goes past them, and is stored meanwhile.
            await item.step("look", asyncio.sleep, 0)
            found = len(inside)
            go.set()
        return {"at once": found, "sum": sum(task.result() for task in tasks)}

    await create_queue(client, "q", maxretries=1)
    await client.push_workitem("q", {})
    try:
        await start(work)
        (done,) = await until_finished(client, "q")
    finally:
        go.set()
    assert result(done) == {"at once": THREADS, "sum": sum(range(3 * THREADS))}


async def test_def_steps_inside_of_def_steps_never_wait_for_each_others_threads(
    client, start
) -> None:
    @handler("q")
    def work(payload: dict, item: Item) -> dict:
        both = threading.Barrier(THREADS)

        def outer(number: int) -> int:
            both.wait(60)  # all threads are taken
            return item.wait(item.step(f"inner {number}", lambda: number))

        async def all_of_them() -> list[int]:
            steps = (item.step(f"outer {n}", outer, n) for n in range(2 * THREADS))
            return await asyncio.gather(*steps)

        return {"sum": sum(item.wait(all_of_them()))}

    await create_queue(client, "q", maxretries=1)
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert result(done) == {"sum": sum(range(2 * THREADS))}, done


async def test_what_a_step_did_survives_a_link_that_drops_before_it_is_stored(
    client, settings, start, server
) -> None:
    runs: list[int] = []

    async def charge() -> str:
        runs.append(1)
        await server.drop_connections()
        return "V-1"

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        voucher = await item.step("charge", charge)
        if item.attempt == 1:
            raise RuntimeError("once more")
        return {"voucher": voucher}

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    async with asyncio.timeout(60):
        while not runs:
            await asyncio.sleep(0.02)
    again = make_client(settings)
    await again.connect()
    (done,) = await until_finished(again, "q")
    await again.disconnect()
    assert (len(runs), result(done)) == (1, {"voucher": "V-1"})


async def test_steps_do_not_go_along_to_the_next_queue_nor_into_dead_letters(client, start) -> None:
    runs: list[str] = []

    def mark(queue: str) -> str:
        runs.append(queue)
        return queue

    @handler("first")
    async def first(payload: dict, item: Item) -> None:
        await item.step("mark", mark, "first")

    @handler("bad")
    async def bad(payload: dict, item: Item) -> None:
        await item.step("mark", mark, "bad")
        raise BusinessError("wrong")

    @handler("second")
    async def second(payload: dict, item: Item) -> dict:
        return {"by": await item.step("mark", mark, "second")}

    await create_queue(client, "second")
    await create_queue(client, "first", success_wiq="second")
    await create_queue(client, "bad", failed_wiq="second")
    await client.push_workitem("first", {})
    await client.push_workitem("bad", {})
    await start(first, bad, second)
    done = await until_finished(client, "second", 2)
    assert sorted(runs) == ["bad", "first", "second", "second"]
    assert [one["payload"]["by"] for one in done] == ["second"] * 2


async def test_steps_stay_with_an_item_that_fails_before_its_handler_is_called(
    client, start
) -> None:
    runs: list[int] = []

    @handler("paid")
    async def paid(n: int, item: Item) -> dict:
        voucher = await item.step("charge", lambda: runs.append(n) or "V-1")
        await item.wait_for("scan")
        return {"voucher": voucher}

    await create_queue(client, "dead")
    await create_queue(client, "paid", failed_wiq="dead")
    pushed = await client.push_workitem("paid", {"n": 1})
    await start(paid)

    async def due(document: dict, n: object) -> None:
        payload, then = {**document["payload"], "n": n}, "2020-01-01T00:00:00.000Z"
        found = {**document, "payload": payload, "state": "new", "nextrun": then}
        await client.update_one("workitems", found)

    await due(await until_one(client, {"_id": pushed.id, f"{WAITS}.signals": "scan"}), "x")
    failed = await until_one(client, {"_id": pushed.id, "state": "failed"})
    assert "is invalid" in failed["errormessage"]
    copy = await until_one(client, {"wiq": "dead"})
    assert "V-1" not in json_text(copy["payload"])
    await due(failed, 1)
    await Producer(ClientSender(client)).signal(pushed.id, "scan")
    done = await until_one(client, {"_id": pushed.id, "state": "successful"})
    assert (done["payload"]["voucher"], runs) == ("V-1", [1])


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("client_name", ["official"], indirect=True)
async def test_an_item_ends_as_its_handler_says_where_its_steps_cannot_be_moved(
    client, start, server, times: int
) -> None:
    @handler("bad")
    async def bad(payload: dict, item: Item) -> None:
        await item.step("charge", lambda: "V-1")
        server.faults.refuse = {"updateone": times}
        raise BusinessError("wrong")

    await create_queue(client, "dead")
    await create_queue(client, "bad", failed_wiq="dead")
    await client.push_workitem("bad", {})
    await start(bad)
    (done,) = await until_finished(client, "bad")
    assert (done["state"], done["errormessage"]) == ("failed", "wrong")
    (copy,) = await client.query("workitems", {"wiq": "dead"})
    assert ("V-1" in json_text(copy["payload"])) is (times > 1)


async def test_steps_of_an_item_with_a_dead_letter_stay_with_it(client, start) -> None:
    runs: list[str] = []

    @handler("bad")
    async def bad(payload: dict, item: Item) -> dict:
        first = await item.step("first", lambda: runs.append("first") or "1")
        if runs.count("run") == 1:
            await item.step("second", lambda: runs.append("second"))
        runs.append("run")
        if runs.count("run") < 3:
            raise BusinessError("wrong")
        return {"first": first}

    await create_queue(client, "dead")
    await create_queue(client, "bad", failed_wiq="dead")
    pushed = await client.push_workitem("bad", {"a": 1})
    await start(bad)
    for tries in (1, 2):
        async with asyncio.timeout(60):
            while len(found := await client.query("workitems", {"wiq": "dead"})) < tries:
                await asyncio.sleep(0.02)
        assert all("json" not in json_text(one["payload"]) for one in found)
        await until_one(client, {"_id": pushed.id, "state": "failed"})
        await Items(client).retry_one(ItemRetryPayload(id=pushed.id))
    done = await until_one(client, {"_id": pushed.id, "state": "successful"})
    assert result(done) == {"a": 1, "first": "1"}
    assert FIELD not in done
    assert runs == ["first", "run", "second", "run", "run"]
