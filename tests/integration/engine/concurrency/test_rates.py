"""Rates: no window has more starts than it may, in a whole fleet."""

import asyncio
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.engine.concurrency.conftest import STATE, fleet
from tests.integration.engine.conftest import create_queue, until_finished, until_idle
from worker.app.decorator import handler
from worker.app.rate import Rate
from worker.engine.concurrency import gate
from worker.engine.concurrency.key import line_name
from worker.engine.concurrency.rate_limit import RateLimit, WindowClock
from worker.item.outcome import WAITS
from worker.testing import LocalOpenIAP, local_workers
from worker.uptime import uptime


def customer(payload: dict[str, Any]) -> str:
    return str(payload["customer"])


RARE = "2/31day"
"""A window that ends hardly ever while a test runs."""


@pytest.fixture
def granted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter[int]]:
    """Count starts by scope and window, each in the moment in which it is let through.

    A process that is stopped between that and its handler's first line starts late, which no worker
    can help: so the handler's own look at the clock says nothing of the rate.
    """
    looked: list[datetime] = []
    found: dict[str, Counter[int]] = defaultdict(Counter)
    latest, take = WindowClock.latest, RateLimit.take

    def noted(clock: WindowClock) -> datetime:
        looked[:] = [latest(clock)]
        return looked[0]

    async def taken(limit: RateLimit, scope: str) -> datetime | None:
        opens = await take(limit, scope)
        if opens is None:  # nobody else had the loop since its look
            found[scope][limit.rate.window(looked[0])] += 1
        return opens

    monkeypatch.setattr(WindowClock, "latest", noted)
    monkeypatch.setattr(RateLimit, "take", taken)
    return found


@pytest.mark.dear
async def test_no_window_is_over_its_rate_whoever_works(client, start, granted) -> None:
    started = 0

    @handler("mails", rate="5/2s", concurrency=4)
    async def mail(payload: dict[str, Any]) -> None:
        nonlocal started
        started += 1
        assert started <= sum(counts.total() for counts in granted.values())

    await create_queue(client, "mails")
    for n in range(17):
        await client.push_workitem("mails", {"n": n})
    await fleet(start, mail, 2)
    done = await until_finished(client, "mails", 17)
    assert {(d["state"], d["retries"]) for d in done} == {("successful", 0)}
    (counted,) = granted.values()
    assert (started, counted.total()) == (17, 17)
    assert max(counted.values()) <= 5, counted
    assert len(counted) <= 12  # and it gets on: 17 items need 4 windows


async def test_each_key_has_a_rate_of_its_own(client, start, granted) -> None:
    @handler("mails", key=customer, per_key=None, rate_per_key="2/s", concurrency=6)
    async def mail(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "mails")
    for n in range(10):
        await client.push_workitem("mails", {"customer": "ab"[n % 2], "n": n})
    await fleet(start, mail, 2)
    await until_finished(client, "mails", 10)
    assert set(granted) == {line_name("mails", key) for key in "ab"}
    for counted in granted.values():
        assert counted.total() == 5
        assert max(counted.values()) <= 2, counted


async def test_a_key_and_its_rate_go_together_and_keep_the_order(client, start, granted) -> None:
    began: list[int] = []

    @handler("mails", key=customer, rate_per_key="2/s", concurrency=4)
    async def mail(payload: dict[str, Any]) -> None:
        began.append(payload["n"])

    await create_queue(client, "mails")
    for n in range(5):
        await client.push_workitem("mails", {"customer": "a", "n": n})
    await start(mail)
    await until_finished(client, "mails", 5)
    assert began == [0, 1, 2, 3, 4]
    (counted,) = granted.values()
    assert counted.total() == 5
    assert max(counted.values()) <= 2, counted


async def test_a_waiting_item_says_why_and_the_queue_is_left_alone(client, start) -> None:
    @handler("mails", rate=RARE)
    async def mail(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "mails")
    for n in range(40):
        await client.push_workitem("mails", {"n": n})
    daemon = await start(mail)
    await until_finished(client, "mails", 2)

    async with asyncio.timeout(60):
        while not await client.count("workitems", {f"{WAITS}.why": f"waits for {RARE}"}):
            await asyncio.sleep(0.02)
    await until_idle(daemon)
    popped = daemon.counts()["mails"].popped
    # Those in flight when it closed are parked, the others are not even popped.
    assert popped <= 2 + 8
    assert await client.count("workitems", {"state": "new"}) == 38


async def test_a_worker_whose_rate_is_used_up_stays_ready(
    client, start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.consumer.LONGEST_PAUSE", 0.1)
    monkeypatch.setattr("worker.telemetry.telemetry.STALLED_AFTER", 1.0)

    @handler("mails", rate=RARE)
    async def mail(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "mails")
    for n in range(3):
        await client.push_workitem("mails", {"n": n})
    daemon = await start(mail, poll_interval=0.1)
    await until_finished(client, "mails", 2)
    await until_idle(daemon)
    await asyncio.sleep(1.5)  # longer than a worker with a free slot may be without a pop
    assert daemon.telemetry.reasons() == {}


async def test_a_worker_that_ends_with_its_queue_does_not_wait_for_tomorrow(
    client, start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.consumer.LONGEST_PAUSE", 0.2)

    @handler("mails", rate=RARE)
    async def mail(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "mails")
    for n in range(40):
        await client.push_workitem("mails", {"n": n})
    daemon = await start(mail, once=True)
    async with asyncio.timeout(100):
        await asyncio.gather(*(c.end.seen.wait() for c in daemon._workers.consumers.values()))
    assert await client.count("workitems", {"state": "successful"}) == 2


@pytest.mark.dear
async def test_a_worker_that_ends_with_its_queue_waits_for_the_next_moment(client, start) -> None:
    @handler("mails", rate="3/s", concurrency=9)
    async def mail(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "mails")
    for n in range(9):
        await client.push_workitem("mails", {"n": n})
    daemon = await start(mail, once=True)
    async with asyncio.timeout(100):
        await asyncio.gather(*(c.end.seen.wait() for c in daemon._workers.consumers.values()))
    assert await client.count("workitems", {"state": "successful"}) == 9


async def test_big_limits_cost_few_messages(client) -> None:
    rate = Rate(1000, 31 * 86_400)  # a window that ends hardly ever while this runs
    one, two = (RateLimit(client, rate, namespace="", shared=lambda: None) for _ in range(2))
    taken = 0
    while await one.take("q") is None:
        taken += 1
        taken += await two.take("q") is None
    assert taken == 1000
    assert await client.count(STATE, {"_type": "permit"}) == 50


async def test_a_clock_that_is_wrong_is_put_right_by_the_servers_first_answer(client) -> None:
    rate = Rate(3, 86_400)
    for wrong in (timedelta(hours=-30), timedelta(hours=30)):
        limit = RateLimit(
            client,
            rate,
            namespace=str(wrong),
            shared=lambda: None,
            local=lambda wrong=wrong: datetime.now(UTC) + wrong,
        )
        taken = [await limit.take("q") for _ in range(4)]
        assert taken[:3] == [None] * 3
        opens = taken[3]
        assert opens is not None
        assert opens == rate.begins(rate.window(datetime.now(UTC)) + 1)


async def test_old_permits_are_deleted(client) -> None:
    rate = Rate(1, 1)
    old = {"_id": "old", "_type": "permit", "namespace": "", "until": 1000}
    await client.insert_one(STATE, old)
    other = {**old, "_id": "other", "namespace": "test"}
    await client.insert_one(STATE, other)
    limit = RateLimit(client, rate, namespace="", shared=lambda: None)
    assert await limit.take("q") is None
    left = {d["_id"] for d in await client.query(STATE, {"until": 1000})}
    assert left == {"other"}


async def test_a_clock_that_others_heard_moved_ahead_is_believed() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    told: list[tuple[datetime, float] | None] = [None]
    clock = WindowClock(lambda: told[0])
    clock.note(began, uptime())
    assert clock.latest() - began < timedelta(minutes=30)
    told[0] = (began + timedelta(hours=1), uptime())
    assert clock.latest() - began >= timedelta(hours=1)
    # What a permit's own answer says counts from then on, even if another says otherwise.
    clock.note(began, uptime())
    assert clock.latest() - began < timedelta(minutes=30)


# Where an item is due and only the rate is in its way, nothing makes time jump: up to a window is
# waited for.
@pytest.mark.parametrize("rate", ["2/3s", pytest.param("2/min", marks=pytest.mark.dear)])
async def test_virtual_time_goes_through_windows_and_lines(
    client_name, tmp_path, monkeypatch: pytest.MonkeyPatch, rate: str
) -> None:
    # No reply is lost on purpose here: a machine that stands still must not look like that.
    monkeypatch.setitem(local_workers.QUICK, "call_timeout", 60)
    monkeypatch.setattr("worker.engine.consumer.LONGEST_PAUSE", 0.2)

    @handler("mails", key=customer, rate=rate)
    async def mail(payload: dict[str, Any]) -> None: ...

    async with LocalOpenIAP(tmp_path, client=client_name) as openiap:
        await openiap.start_worker(mail)
        for n in range(5):
            await openiap.push(mail, {"customer": "a", "n": n})
        items = await openiap.settled(timeout=100)
    assert [item.state for item in items] == ["successful"] * 5


@pytest.mark.parametrize("limit", [{"key": lambda payload: "a"}, {"rate": "100/s"}])
async def test_a_server_that_refuses_to_say_whether_an_item_may_run_costs_no_attempt(
    client, start, server, monkeypatch, limit: dict[str, Any]
) -> None:
    monkeypatch.setattr(gate, "REFUSED_PAUSE", timedelta(seconds=0.2))

    @handler("orders", **limit)
    async def order(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "orders", maxretries=1)
    daemon = await start(order, presence=False)
    server.faults.refuse = {"insertone": 2, "updateone": 2, "updatedocument": 2}
    await client.push_workitem("orders", {})
    (done,) = await until_finished(client, "orders")
    await until_idle(daemon)
    assert (done["state"], done["retries"]) == ("successful", 0)
    assert daemon.counts()["orders"].parked >= 1
