"""``local_openiap`` is a real server whose time and troubles the test decides."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from worker import Backoff, BusinessError, Client, Item, handler
from worker.app.lifespan import lifespan
from worker.app.signature import Resource
from worker.testing import LocalOpenIAP


class Invoice(BaseModel):
    number: str
    amount: Decimal


@handler("invoices")
async def book(invoice: Invoice, item: Item) -> dict[str, str]:
    if invoice.amount <= 0:
        raise BusinessError("amount must be positive", code="BAD_AMOUNT")
    for file in item.files.values():
        await item.attach((await file.read_bytes()).upper(), f"{file.name}.out")
    return {"voucher": f"V-{invoice.number}"}


async def test_an_item_is_pushed_worked_and_looked_at(local_openiap: LocalOpenIAP) -> None:
    await local_openiap.start_worker(book)
    id = await local_openiap.push(
        book, Invoice(number="1", amount=Decimal(2)), files={"a.txt": b"abc"}, name="one"
    )
    bad = await local_openiap.push(book, {"number": "2", "amount": -1})
    done, failed = await local_openiap.ended(id), await local_openiap.ended(bad)
    assert (done.state, done.name, done.attempts) == ("successful", "one", 1)
    assert done.payload == {"number": "1", "amount": "2", "voucher": "V-1"}
    assert set(done.files) == {"a.txt", "a.txt.out"}
    assert local_openiap.file(id, "a.txt.out") == b"ABC"
    assert (failed.state, failed.errortype) == ("failed", "business")
    assert failed.errormessage == "[BAD_AMOUNT] amount must be positive"
    assert [item.id for item in local_openiap.items("invoices")] == [id, bad]


async def test_an_item_without_a_name_is_named_by_its_handler(local_openiap: LocalOpenIAP) -> None:
    @handler("named", name=lambda invoice: f"Invoice {invoice.number}")
    async def named(invoice: Invoice) -> None: ...

    good = {"number": "1", "amount": 2}
    await local_openiap.push(named, good)
    await local_openiap.push(named, good, name="mine")
    await local_openiap.push(named, {"number": "2", "amount": "odd"})
    names = [item.name for item in local_openiap.items("named")]
    assert names == ["Invoice 1", "mine", "New work item"]


async def test_a_retry_in_an_hour_happens_now(local_openiap: LocalOpenIAP) -> None:
    seen: list[int] = []

    @handler("slow")
    async def slow(item: Item) -> None:
        seen.append(item.attempt)
        if item.attempt < 3:
            raise ConnectionError("not yet")

    local_openiap.queue("slow", retrydelay="1h", maxretries=5)
    await local_openiap.start_worker(slow)
    ahead = local_openiap.clock.ahead
    item = await local_openiap.ended(await local_openiap.push("slow"))
    assert (item.state, item.attempts, seen) == ("successful", 3, [1, 2, 3])
    assert local_openiap.clock.ahead - ahead == pytest.approx(7200, abs=120)


async def test_time_goes_only_as_far_as_it_is_told(local_openiap: LocalOpenIAP) -> None:
    ran = asyncio.Event()

    @handler("later")
    async def later() -> None:
        ran.set()

    await local_openiap.start_worker(later)
    id = await local_openiap.push("later", delay="2h")
    await local_openiap.advance("60m")
    waiting = local_openiap.item(id)
    assert waiting.state == "new"
    assert waiting.nextrun is not None
    assert waiting.nextrun - datetime.now(UTC) == pytest.approx(
        timedelta(minutes=60), abs=timedelta(minutes=5)
    )
    with pytest.raises(TimeoutError, match=r"did not end within 300ms: state new, 0 attempts"):
        await local_openiap.ended(id, timeout="300ms", jump=False)
    assert not ran.is_set()
    await local_openiap.advance("60m")
    await local_openiap.ended(id, jump=False)
    assert ran.is_set()


async def test_a_handlers_own_backoff_is_virtual_too(local_openiap: LocalOpenIAP) -> None:
    @handler("backoff", retry=Backoff("1h", factor=2, max="1d", jitter=False))
    async def again(item: Item) -> None:
        if item.attempt < 4:
            raise OSError("busy")

    local_openiap.queue("backoff", maxretries=9)
    await local_openiap.start_worker(again)
    item = await local_openiap.ended(await local_openiap.push("backoff"))
    assert item.attempts == 4
    assert local_openiap.clock.ahead == pytest.approx(7 * 3600, abs=120)


@pytest.mark.dear
@pytest.mark.parametrize(
    "openiap_client", ["native", pytest.param("official", marks=pytest.mark.dear)]
)
async def test_a_worker_stays_alive_however_far_time_goes(local_openiap: LocalOpenIAP) -> None:
    release, started = asyncio.Event(), asyncio.Semaphore(0)

    @handler("long", concurrency=1)
    async def long(item: Item) -> dict[str, int]:
        started.release()
        await release.wait()
        return {"attempt": item.attempt}

    # The one with the lowest name looks after the queue: it takes items over from the dead. It
    # finds time moved within half a second, and the other one says only later that it lives.
    await local_openiap.start_worker(long, worker_id="aa")
    ids = [await local_openiap.push("long")]
    await started.acquire()
    await local_openiap.start_worker(long, worker_id="zz", heartbeat_interval=2.5)
    ids.append(await local_openiap.push("long"))
    await started.acquire()
    # The youngest of all is nobody's: the look that takes it over judged the others before. At the
    # second leap the one that looks has been there for long enough to judge at once.
    for priority in (2, 1):
        lost = await local_openiap.push("long", priority=priority)
        assert await local_openiap.client.pop_workitem("long") is not None
        await local_openiap.advance("20m")  # far beyond dead_after and unclaimed_after
        async with asyncio.timeout(60):
            while local_openiap.item(lost).state == "processing":
                await asyncio.sleep(0.02)
        ids.append(lost)
    release.set()
    attempts = [(await local_openiap.ended(id)).payload["attempt"] for id in ids]
    assert attempts == [1, 1, 2, 2]


async def test_lost_replies_lose_no_item(local_openiap: LocalOpenIAP) -> None:
    await local_openiap.start_worker(book)
    local_openiap.lose_replies("updatedocument")
    id = await local_openiap.push(book, {"number": "1", "amount": 1})
    assert (await local_openiap.ended(id)).state == "successful"
    with pytest.raises(ValueError, match="the protocol has no command 'popworkitems'"):
        local_openiap.lose_replies("popworkitems")


async def test_an_item_whose_pop_was_lost_comes_back(local_openiap: LocalOpenIAP) -> None:
    # Nobody claims the item, so it is taken over when it is older than unclaimed_after (10 s).
    id = await local_openiap.push(book, {"number": "1", "amount": 1})
    local_openiap.lose_replies("popworkitem")
    await local_openiap.start_worker(book, dead_after=1)  # others would have so long to say it
    async with asyncio.timeout(60):
        while local_openiap.item(id).state != "processing":
            await asyncio.sleep(0.02)
    await local_openiap.advance("11s")
    item = await local_openiap.ended(id)
    assert item.state == "successful"
    assert item.attempts in (1, 2)  # 1 where the late answer still reached the worker


async def test_a_duplicate_is_worked_twice(local_openiap: LocalOpenIAP) -> None:
    seen: list[int] = []

    @handler("twice")
    async def twice(item: Item) -> dict[str, int]:
        seen.append(item.attempt)
        return {"runs": len(seen)}

    await local_openiap.start_worker(twice)
    id = await local_openiap.push("twice")
    await local_openiap.ended(id)
    local_openiap.deliver_again(id)
    item = await local_openiap.ended(id)
    assert (seen, item.payload) == ([1, 1], {"runs": 2})
    with pytest.raises(KeyError, match="the server has no item nobody"):
        local_openiap.deliver_again("nobody")


@pytest.mark.parametrize(
    "openiap_client", ["native", pytest.param("official", marks=pytest.mark.dear)]
)
async def test_cut_links_and_restarts_lose_nothing(local_openiap: LocalOpenIAP) -> None:
    @handler("steps")
    async def step(payload: dict[str, int]) -> dict[str, bool]:
        await asyncio.sleep(0.05)
        return {"done": True}

    worker = await local_openiap.start_worker(step)
    ids = [await local_openiap.push("steps", {"n": n}) for n in range(20)]
    await local_openiap.cut_links()
    await local_openiap.restart(down="200ms")
    ids += [await local_openiap.push("steps", {"n": n}) for n in range(5)]
    items = await local_openiap.settled()
    assert {item.id for item in items} == set(ids)
    assert {item.state for item in items} == {"successful"}
    assert worker.counts()["steps"].popped >= 25


async def test_a_rate_limit_is_switched_on_and_off(local_openiap: LocalOpenIAP) -> None:
    local_openiap.queue("q")
    local_openiap.rate_limit(5)
    assert (await local_openiap.settled()) == []
    began = time.monotonic()
    for _ in range(12):  # the test's own client waits for the window, as a worker's does
        await local_openiap.push("q")
    assert time.monotonic() - began > 1
    assert local_openiap.server.stats["ratelimited"] > 0
    local_openiap.rate_limit(0)
    assert len(local_openiap.items()) == 12


async def test_what_does_not_end_is_told_with_its_state(local_openiap: LocalOpenIAP) -> None:
    id = await local_openiap.push("nobodys")
    with pytest.raises(
        TimeoutError,
        match=rf"item {id} in nobodys did not end within 200ms: state new, 0 attempts begun, due;"
        " no worker of this test works nobodys",
    ):
        await local_openiap.ended(id, timeout="200ms")
    with pytest.raises(KeyError, match="the server has no item x"):
        await local_openiap.ended("x")
    with pytest.raises(KeyError, match=rf"item {id} has no file 'a'; it has: none"):
        local_openiap.file(id, "a")
    with pytest.raises(ValueError, match="only goes ahead"):
        local_openiap.clock.advance(-1)
    with pytest.raises(FileNotFoundError, match=r"push: file a\.txt: there is no file /nowhere"):
        await local_openiap.push("nobodys", files={"a.txt": "/nowhere"})


async def test_a_chain_of_queues(local_openiap: LocalOpenIAP) -> None:
    @handler("second")
    async def second(payload: dict[str, int]) -> dict[str, int]:
        return {"n": payload["n"] + 1}

    @handler("first")
    async def first(payload: dict[str, int]) -> dict[str, int]:
        return {"n": payload["n"] + 1}

    local_openiap.queue(second)
    local_openiap.queue(first, success=second)
    await local_openiap.start_worker(first, second)
    await local_openiap.push(first, {"n": 1})
    items = await local_openiap.settled()
    assert [(item.queue, item.payload["n"]) for item in items] == [("first", 2), ("second", 3)]


async def test_the_client_of_the_test_is_a_handlers_too(local_openiap: LocalOpenIAP) -> None:
    @handler("vouchers")
    async def store(item: Item, client: Client) -> None:
        await client.insert_one("vouchers", {"item": item.id})

    await local_openiap.start_worker(store)
    id = await local_openiap.push(store)
    await local_openiap.ended(id)
    assert [v["item"] for v in await local_openiap.client.query("vouchers")] == [id]
    assert local_openiap.environment["OPENIAP_URL"] == local_openiap.url


class Database:
    def __init__(self, name: str) -> None:
        self.name = name


@lifespan
async def database() -> AsyncIterator[Database]:
    yield Database("real")


def session(database: Database) -> str:
    return f"session of {database.name}"


async def test_a_worker_gets_lifespans_or_what_stands_in_for_them(
    local_openiap: LocalOpenIAP,
) -> None:
    @handler("rows")
    async def store(
        database: Database, session: Annotated[str, Resource(session)]
    ) -> dict[str, str]:
        return {"database": database.name, "session": session}

    worker = await local_openiap.start_worker(store, database)
    real = await local_openiap.ended(await local_openiap.push(store))
    assert real.payload == {"database": "real", "session": "session of real"}
    await worker.stop()
    fakes = {Database: Database("fake"), session: "none"}
    await local_openiap.start_worker(store, database, resources=fakes)
    fake = await local_openiap.ended(await local_openiap.push(store))
    assert fake.payload == {"database": "fake", "session": "none"}


async def test_pushes_are_typed_and_their_results_awaited(local_openiap: LocalOpenIAP) -> None:
    @handler("doubles")
    async def double(invoice: Invoice, item: Item) -> dict[str, str]:
        await item.push("copies", {"number": invoice.number})
        return {"twice": str(invoice.amount * 2)}

    local_openiap.queue("copies")
    await local_openiap.start_worker(double)
    invoice = Invoice(number="1", amount=Decimal(2))
    pushed = await double.push(invoice, via=local_openiap.producer)
    assert (await pushed.result(timeout="60s"))["twice"] == "4"
    async with asyncio.timeout(60):
        while not local_openiap.items("copies"):
            await asyncio.sleep(0.02)
    assert [item.payload for item in local_openiap.items("copies")] == [{"number": "1"}]


async def test_pops_of_several_workers_disturb_each_other_on_demand(tmp_path: Path) -> None:
    @handler("crowd", concurrency=4)
    async def work(payload: dict[str, Any]) -> None: ...

    async with LocalOpenIAP(tmp_path, pop_contention=True) as openiap:
        for _ in range(3):
            await openiap.start_worker(work)
        for n in range(12):
            await openiap.push(work, {"n": n})
        items = await openiap.settled()
        assert [item.state for item in items] == ["successful"] * 12
        async with asyncio.timeout(60):  # a round that is under way is not lost yet
            while True:
                stats = openiap.server.stats
                if stats["poprounds"] - stats.get("lostrounds", 0) == 12:
                    break
                await asyncio.sleep(0.01)


async def test_settled_waits_for_what_follows(local_openiap: LocalOpenIAP) -> None:
    """An item ends on the server before its handler's follow-ups are pushed."""

    @handler("children")
    async def child(payload: dict[str, int]) -> None:
        pass

    @handler("parents")
    async def parent(payload: dict[str, int], item: Item) -> None:
        for number in range(payload["n"]):
            await item.push(child, {"n": number})

    await local_openiap.start_worker(parent, child)
    for number in range(1, 11):
        await local_openiap.push(parent, {"n": number})
        items = await local_openiap.settled()
        assert len(items) == sum(n + 1 for n in range(1, number + 1))
        assert all(item.ended for item in items)


async def test_settled_waits_for_what_comes_after_a_group(local_openiap: LocalOpenIAP) -> None:
    """Of two workers none knows that it has ended the last member."""

    @handler("members", concurrency=1)
    async def member(payload: dict[str, int]) -> int:
        await asyncio.sleep(0.01)
        return payload["n"]

    @handler("sums")
    async def total(payload: dict[str, Any]) -> dict[str, int]:
        return {"sum": sum(payload["results"])}

    for _ in range(2):
        await local_openiap.start_worker(member, total)
    await local_openiap.producer.push_group([(member, {"n": n}) for n in range(8)], then=total)
    items = await local_openiap.settled()
    assert [item.payload["sum"] for item in items if item.queue == "sums"] == [28]
