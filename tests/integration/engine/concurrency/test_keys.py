"""Keys: one item of a key at a time, in order, and nothing waits for ever."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tests.integration.engine.concurrency.conftest import STATE, Overlaps, fleet, places
from tests.integration.engine.conftest import create_queue, until_finished, until_idle
from worker.app.decorator import handler
from worker.engine.concurrency import key_lock as key_lock_room
from worker.engine.concurrency.holders import KIND, Holder, content_of
from worker.engine.concurrency.key import line_name
from worker.engine.concurrency.key_lock import KeyLock
from worker.engine.concurrency.waiting_line import WaitingLines
from worker.engine.concurrency.waker import Waker
from worker.engine.daemon import Daemon
from worker.errors import BusinessError
from worker.item.outcome import WAITS
from worker.openiap.client import Client
from worker.openiap.pool import Pool
from worker.openiap.workitem import Workitem
from worker.state.cells import Cells


def customer(payload: dict[str, Any]) -> str:
    return str(payload["customer"])


async def until(happened, deadline: float = 60) -> None:
    async with asyncio.timeout(deadline):
        while not await happened():
            await asyncio.sleep(0.02)


async def until_parked(daemons: Sequence[Daemon], count: int) -> None:
    """Return once so many items were put back to wait: a place is taken before that."""

    async def all_wait() -> bool:
        return sum(daemon.counts()["orders"].parked for daemon in daemons) >= count

    await until(all_wait)


async def test_one_item_of_a_key_at_a_time(client, start) -> None:
    seen = Overlaps()

    @handler("orders", key=customer, concurrency=8)
    async def order(payload: dict[str, Any]) -> None:
        await seen.run(payload)

    await create_queue(client, "orders")
    daemons = await fleet(start, order, 2)
    for n in range(30):
        await client.push_workitem("orders", {"customer": "abc"[n % 3], "n": n})
    await until_finished(client, "orders", 30)
    for daemon in daemons:
        await until_idle(daemon)
    assert dict(seen.most) == {"a": 1, "b": 1, "c": 1}
    assert {key: sorted(ran) for key, ran in seen.order.items()} == {
        key: list(range(at, 30, 3)) for at, key in enumerate("abc")
    }
    assert await places(client) == []


async def test_several_workers_keep_the_order_of_the_line(client, start) -> None:
    """Those that pop side by side come to the line in any order; there each has its place."""
    seen = Overlaps()
    all_stand_in_line = asyncio.Event()

    @handler("orders", key=customer, concurrency=8)
    async def order(payload: dict[str, Any]) -> None:
        await seen.run(payload)
        if payload["n"] == 0:
            await all_stand_in_line.wait()

    await create_queue(client, "orders")
    daemons = await fleet(start, order, 2)
    await client.push_workitem("orders", {"customer": "a", "n": 0})

    async def first_runs() -> bool:
        return seen.order["a"] == [0]

    await until(first_runs)
    for n in range(1, 11):
        await client.push_workitem("orders", {"customer": "a", "n": n})
    await until_parked(daemons, 10)
    all_stand_in_line.set()
    await until_finished(client, "orders", 11)
    assert seen.order["a"] == list(range(11))


async def test_one_worker_keeps_the_order_exactly(client, start) -> None:
    seen = Overlaps()

    @handler("orders", key=customer, concurrency=4)
    async def order(payload: dict[str, Any]) -> None:
        await seen.run(payload, 0.001)

    await create_queue(client, "orders")
    for n in range(20):
        await client.push_workitem("orders", {"customer": "ab"[n % 2], "n": n})
    await start(order)
    await until_finished(client, "orders", 20)
    assert seen.order == {"a": list(range(0, 20, 2)), "b": list(range(1, 20, 2))}


async def test_as_many_of_a_key_as_it_allows(client, start) -> None:
    seen = Overlaps()
    others_wait = asyncio.Event()

    @handler("orders", key=customer, per_key=3, concurrency=8)
    async def order(payload: dict[str, Any]) -> None:
        await seen.run(payload, 0.1, until=others_wait)

    await create_queue(client, "orders")
    daemons = await fleet(start, order, 2)
    for n in range(12):
        await client.push_workitem("orders", {"customer": "a", "n": n})
    await until_parked(daemons, 9)
    others_wait.set()
    await until_finished(client, "orders", 12)
    assert seen.most["a"] == 3


@pytest.mark.parametrize("hot", [80, pytest.param(300, marks=pytest.mark.dear)])
async def test_a_hot_key_holds_nobody_up_and_occupies_one_slot(
    client, start, server, hot: int
) -> None:
    finish = asyncio.Event()
    ran: list[str] = []

    @handler("orders", key=customer, concurrency=3)
    async def order(payload: dict[str, Any]) -> None:
        ran.append(payload["customer"])
        if payload["customer"] == "hot":
            await finish.wait()

    await create_queue(client, "orders")
    for n in range(hot):
        await client.push_workitem("orders", {"customer": "hot", "n": n})
    for n in range(20):
        await client.push_workitem("orders", {"customer": f"cold-{n}", "n": n})
    daemon = await start(order)

    async def cold_ones_ran() -> bool:
        return len(ran) >= 21

    await until(cold_ones_ran)
    await until_parked([daemon], hot - 1)  # the last of them may still be on their way there
    assert ran.count("hot") == 1

    async def only_the_hot_one_is_held() -> bool:  # write-backs of the others may be on their way
        return daemon.counts()["orders"].in_flight == 1

    await until(only_the_hot_one_is_held)
    assert daemon.counts()["orders"].parked == hot - 1
    waiting = await client.query("workitems", {"state": "new"}, {WAITS: 1, "retries": 1}, top=1)
    assert waiting[0][WAITS]["why"] == "waits for its turn: key hot"
    assert waiting[0]["retries"] == 0
    # All of them are in their line by now: the others cost no more than without them.

    async def late_ones_ran() -> bool:
        return len(ran) >= 41

    def messages_so_far() -> int:
        """Without pops: how many come to an empty queue depends on the time alone."""
        return sum(server.stats.values()) - server.stats["popworkitem"]

    before = messages_so_far()
    for n in range(20):
        await client.push_workitem("orders", {"customer": f"late-{n}", "n": n})
    await until(late_ones_ran)
    messages = messages_so_far() - before
    assert messages < 20 * 12 + 60, messages
    finish.set()

    async def hot_ones_ran() -> bool:
        return ran.count("hot") == hot

    await until(hot_ones_ran, 90)


async def test_a_retry_leaves_the_key_to_the_others_and_keeps_its_attempts(client, start) -> None:
    ran: list[tuple[int, int]] = []

    @handler("orders", key=customer)
    async def order(payload: dict[str, Any], item: Any = None) -> None:
        ran.append((payload["n"], sum(1 for n, _ in ran if n == payload["n"])))
        if payload["n"] == 0 and len([n for n, _ in ran if n == 0]) < 3:
            raise OSError("not yet")

    await create_queue(client, "orders")
    for n in range(4):
        await client.push_workitem("orders", {"customer": "a", "n": n})
    daemon = await start(order)
    done = await until_finished(client, "orders", 4)
    await until_idle(daemon)
    assert {d["state"] for d in done} == {"successful"}
    assert {d["payload"]["n"]: d["retries"] for d in done} == {0: 2, 1: 0, 2: 0, 3: 0}
    assert await places(client) == []


async def test_a_payload_without_a_usable_key_is_a_business_error(client, start) -> None:
    def strict(payload: dict[str, Any]) -> str:
        if payload["customer"] == "secret":
            raise BusinessError("no such customer")
        return str(payload["customer"])

    @handler("orders", key=strict)
    async def order(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "orders")
    for payload in ({}, {"customer": "secret"}, {"customer": ""}, {"customer": "k" * 5000}):
        await client.push_workitem("orders", payload)
    await start(order)
    done = await until_finished(client, "orders", 4)
    name = order.name
    assert [(d["state"], d["errortype"], d["retries"]) for d in done] == [
        ("failed", "business", 0)
    ] * 4
    assert {d["errormessage"] for d in done} == {
        f"The key of {name} raised KeyError: 'customer'",
        f"The key of {name} raised BusinessError: no such customer",
        f"The key of {name} is empty; allowed: 1 to 1000 bytes of text",
        f"The key of {name} has 5000 bytes; allowed: 1 to 1000 bytes of text",
    }


async def test_what_a_dead_worker_left_is_taken_over(client, start) -> None:
    """It died after its outcome was written back, and nobody in line was woken."""
    seen = Overlaps()

    @handler("orders", key=customer)
    async def order(payload: dict[str, Any]) -> None:
        await seen.run(payload)

    await create_queue(client, "orders")
    dead = await client.push_workitem("orders", {"customer": "a", "n": 0})
    cell = await Cells(client).create(
        KIND, line_name("orders", "a"), content_of("a", [Holder(dead.id, 0)])
    )
    assert cell is not None
    await client.delete_workitem(dead.id)
    for n in range(1, 4):
        await client.push_workitem("orders", {"customer": "a", "n": n})
    await start(order)
    await until_finished(client, "orders", 3)
    assert seen.order["a"] == [1, 2, 3]


async def test_an_item_that_is_deleted_while_it_waits_is_passed_over(client, start) -> None:
    seen = Overlaps()
    finish = asyncio.Event()

    @handler("orders", key=customer, concurrency=2)
    async def order(payload: dict[str, Any]) -> None:
        await seen.run(payload)
        if payload["n"] == 0:
            await finish.wait()

    await create_queue(client, "orders")
    items = [await client.push_workitem("orders", {"customer": "a", "n": n}) for n in range(4)]
    daemon = await start(order)
    await until_parked([daemon], 3)
    assert len(await places(client)) == 3
    await client.delete_workitem(items[1].id)
    moved = (await client.query("workitems", {"_id": items[2].id}, top=1))[0]
    other = await create_queue(client, "elsewhere")
    await client.update_one("workitems", {**moved, "wiq": "elsewhere", "wiqid": other})
    finish.set()
    await until_finished(client, "orders", 2)
    assert seen.order["a"] == [0, 3]


async def test_the_keeper_wakes_a_line_that_was_forgotten(client, start) -> None:
    """Whoever should have woken it died, and nothing else comes to this queue."""
    seen = Overlaps()
    finish = asyncio.Event()

    @handler("orders", key=customer, concurrency=2)
    async def order(payload: dict[str, Any]) -> None:
        await seen.run(payload)
        if payload["n"] == 0:
            await finish.wait()

    await create_queue(client, "orders")
    for n in range(2):
        await client.push_workitem("orders", {"customer": "a", "n": n})
    (first,) = await fleet(start, order, 1)

    await until_parked([first], 1)
    await asyncio.sleep(0.2)  # who is put back looks at the line once more
    # The first one ends without a look at the line, as if its worker had died there.
    cells = Cells(client)
    held = await cells.read(KIND, line_name("orders", "a"))
    assert held is not None
    gone = content_of("a", [Holder("0" * 24, 0)])
    assert await cells.replace(held, gone) is not None
    finish.set()
    await until_finished(client, "orders", 2)
    assert seen.order["a"] == [0, 1]
    await until_idle(first)


async def test_a_worker_that_ends_with_its_queue_works_all_that_waits(client, start) -> None:
    seen = Overlaps()

    @handler("orders", key=customer, concurrency=4)
    async def order(payload: dict[str, Any]) -> None:
        await seen.run(payload)

    await create_queue(client, "orders")
    for n in range(20):
        await client.push_workitem("orders", {"customer": "ab"[n % 2], "n": n})
    daemon = await start(order, once=True)
    async with asyncio.timeout(60):
        await asyncio.gather(*(c.end.seen.wait() for c in daemon._workers.consumers.values()))
    assert await client.count("workitems", {"state": "successful"}) == 20


async def test_a_worker_that_stops_hands_its_key_back_with_its_item(client, start) -> None:
    ran: list[tuple[str, int]] = []

    @handler("orders", key=customer, concurrency=2)
    async def order(payload: dict[str, Any]) -> None:
        ran.append(((ran and "second") or "first", payload["n"]))
        if len(ran) == 1:
            await asyncio.Event().wait()

    await create_queue(client, "orders")
    for n in range(3):
        await client.push_workitem("orders", {"customer": "a", "n": n})
    (first,) = await fleet(start, order, 1, drain_timeout=0.1)

    await until_parked([first], 2)
    await first.stop()
    await fleet(start, order, 1)
    done = await until_finished(client, "orders", 3)
    assert [d["retries"] for d in done] == [0, 0, 0]
    assert [n for _, n in ran] == [0, 0, 1, 2]


async def test_without_the_rights_waiting_costs_attempts_and_loses_nothing(
    client, start, server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.concurrency.gate.UNPARKED", timedelta(seconds=2))
    seen = Overlaps()
    another_waited = asyncio.Event()

    @handler("orders", key=customer, concurrency=3)
    async def order(payload: dict[str, Any]) -> None:
        await seen.run(payload, until=another_waited)

    await create_queue(client, "orders", maxretries=2)
    for n in range(3):
        await client.push_workitem("orders", {"customer": "a", "n": n})
    server.faults.change({"refuse_collections": ["workitems"]})
    await start(order)

    async def one_waited() -> bool:
        return await client.count("workitems", {"wiq": "orders", "retries": {"$gt": 0}}) > 0

    await until(one_waited)
    another_waited.set()
    done = await until_finished(client, "orders", 3)
    assert {d["state"] for d in done} == {"successful"}
    assert seen.most["a"] == 1
    assert max(d["retries"] for d in done) > 0


async def test_a_worker_whose_key_was_taken_over_stops_its_handler(client, start, server) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    @handler("orders", key=customer)
    async def order(payload: dict[str, Any]) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await create_queue(client, "orders")
    item = await client.push_workitem("orders", {"customer": "a", "n": 0})
    await start(order)
    await asyncio.wait_for(began.wait(), 60)
    # Others took its item for an orphan, and gave its key on.
    taken = (await client.query("workitems", {"_id": item.id}, top=1))[0]
    await client.update_one("workitems", {**taken, "state": "successful", "retries": 1})
    cells = Cells(client)
    held = await cells.read(KIND, line_name("orders", "a"))
    assert held is not None
    assert await cells.replace(held, content_of("a", [Holder("f" * 24, 0)])) is not None
    await server.drop_connections()
    async with asyncio.timeout(60):
        await ended.wait()


async def test_whoever_may_work_the_queue_may_see_its_keys(client, start) -> None:
    finish = asyncio.Event()

    @handler("orders", key=customer, rate="1000/s", concurrency=2)
    async def order(payload: dict[str, Any]) -> None:
        await finish.wait()

    rights = [{"_id": "5a17f157c4815318c8536c21", "name": "users", "rights": 65535}]
    await create_queue(client, "orders", _acl=rights)
    for n in range(2):
        await client.push_workitem("orders", {"customer": "a", "n": n})
    await start(order)

    found: list[dict[str, Any]] = []

    async def one_runs_and_one_waits() -> bool:
        found[:] = await client.query(STATE, {"kind": {"$in": ["key", "line", "rate"]}}, top=100)
        return {d["kind"] for d in found} == {"key", "line", "rate"}

    await until(one_runs_and_one_waits)
    assert all(rights[0] in d["_acl"] for d in found)
    finish.set()


class OneLink:
    """A pool of one client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def wait_ready(self) -> None:
        """It is."""

    async def call(self, operation: Any, **_: Any) -> Any:
        return await operation(self._client)


def key_lock(client: Client) -> KeyLock:
    return KeyLock(
        1,
        cells=Cells(client),
        lines=WaitingLines(client, queue="orders", namespace=""),
        waker=Waker(cast(Pool, OneLink(client)), queue="orders"),
        wake=lambda: None,
        now=lambda: datetime.now(UTC),
    )


async def test_who_comes_behind_others_finds_that_it_holds_the_key_by_now(client) -> None:
    """What this worker freed a moment ago is no word on who holds the key now."""
    await create_queue(client, "orders")
    here, elsewhere = key_lock(client), key_lock(client)
    before, me = Workitem(id="a" * 24, wiq="orders"), Workitem(id="b" * 24, wiq="orders")
    hold = await here.acquire("orders/a", "a", before)
    assert hold is not None
    here.stopped(hold)
    await here.release(hold)
    assert await elsewhere.acquire("orders/a", "a", me) is not None
    assert await here.acquire("orders/a", "a", me, behind=True) is not None


async def test_an_item_that_holds_its_key_and_waits_again_is_woken(
    client, start, monkeypatch
) -> None:
    """Its key was given to it in an earlier run, whose place is gone."""
    monkeypatch.setattr(key_lock_room, "UNWOKEN", 0.2)
    seen, finish = Overlaps(), asyncio.Event()

    @handler("orders", key=customer, concurrency=2)
    async def order(payload: dict[str, Any]) -> None:
        await seen.run(payload)
        if payload["n"] == 0:
            await finish.wait()

    await create_queue(client, "orders")
    pushed = [await client.push_workitem("orders", {"customer": "a", "n": n}) for n in range(2)]
    (first,) = await fleet(start, order, 1)
    await until_parked([first], 1)
    await asyncio.sleep(0.2)  # who is put back looks at the line once more
    cells = Cells(client)
    held = await cells.read(KIND, line_name("orders", "a"))
    assert held is not None
    earlier = Holder(pushed[1].id, 0, woken=True, place="/line/orders/a#0000000002/gone/0/1")
    assert await cells.replace(held, content_of("a", [earlier])) is not None
    finish.set()
    await until_finished(client, "orders", 2)
    assert seen.order["a"] == [0, 1]
    await until_idle(first)
