"""Rates: no window has more starts than it may, in a whole fleet."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.keys.conftest import STATE, fleet
from tests.integration.worker.conftest import create_queue, until_finished
from worker.handler import handler
from worker.keys.permits import Permits, WindowClock
from worker.rates import Rate, rate_of
from worker.testing import LocalOpenIAP
from worker.waits import WAITS


def customer(payload: dict[str, Any]) -> str:
    return str(payload["customer"])


def windows(starts: list[datetime], rate: Rate) -> Counter[int]:
    return Counter(rate.window(start) for start in starts)


async def test_no_window_is_over_its_rate_whoever_works(client, start) -> None:
    rate = rate_of("5/2s")
    starts: list[datetime] = []

    @handler("mails", rate="5/2s", concurrency=4)
    async def mail(payload: dict[str, Any]) -> None:
        starts.append(datetime.now(UTC))  # the server's clock is this machine's

    await create_queue(client, "mails")
    for n in range(17):
        await client.push_workitem("mails", {"n": n})
    await fleet(start, mail, 2)
    done = await until_finished(client, "mails", 17, timeout=40)
    assert {(d["state"], d["retries"]) for d in done} == {("successful", 0)}
    counted = windows(starts, rate)
    assert max(counted.values()) <= 5, counted
    assert len(counted) <= 8  # and it gets on: 17 items need 4 windows


async def test_each_key_has_a_rate_of_its_own(client, start) -> None:
    rate = rate_of("2/2s")
    starts: dict[str, list[datetime]] = {"a": [], "b": []}

    @handler("mails", key=customer, per_key=None, rate_per_key="2/2s", concurrency=6)
    async def mail(payload: dict[str, Any]) -> None:
        starts[payload["customer"]].append(datetime.now(UTC))

    await create_queue(client, "mails")
    for n in range(10):
        await client.push_workitem("mails", {"customer": "ab"[n % 2], "n": n})
    await fleet(start, mail, 2)
    await until_finished(client, "mails", 10, timeout=40)
    for moments in starts.values():
        assert max(windows(moments, rate).values()) <= 2


async def test_a_key_and_its_rate_go_together_and_keep_the_order(client, start) -> None:
    rate = rate_of("2/2s")
    began: list[tuple[datetime, int]] = []

    @handler("mails", key=customer, rate_per_key="2/2s", concurrency=4)
    async def mail(payload: dict[str, Any]) -> None:
        began.append((datetime.now(UTC), payload["n"]))

    await create_queue(client, "mails")
    for n in range(5):
        await client.push_workitem("mails", {"customer": "a", "n": n})
    await start(mail)
    await until_finished(client, "mails", 5, timeout=40)
    assert [n for _, n in began] == [0, 1, 2, 3, 4]
    assert max(windows([at for at, _ in began], rate).values()) <= 2


async def test_a_waiting_item_says_why_and_the_queue_is_left_alone(client, start) -> None:
    @handler("mails", rate="2/day")
    async def mail(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "mails")
    for n in range(40):
        await client.push_workitem("mails", {"n": n})
    daemon = await start(mail)
    await until_finished(client, "mails", 2)

    async with asyncio.timeout(20):
        while not await client.count("workitems", {f"{WAITS}.why": "waits for 2/day"}):
            await asyncio.sleep(0.02)
    popped = daemon.counts()["mails"].popped
    # Those in flight when it closed are parked, the others are not even popped.
    assert popped <= 2 + 8
    assert await client.count("workitems", {"state": "new"}) == 38


async def test_a_worker_that_ends_with_its_queue_does_not_wait_for_tomorrow(client, start) -> None:
    @handler("mails", rate="2/day")
    async def mail(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "mails")
    for n in range(40):
        await client.push_workitem("mails", {"n": n})
    daemon = await start(mail, once=True)
    async with asyncio.timeout(20):
        await asyncio.gather(*(c.drained.wait() for c in daemon._stations.consumers.values()))
    assert await client.count("workitems", {"state": "successful"}) == 2


async def test_a_worker_that_ends_with_its_queue_waits_for_the_next_moment(client, start) -> None:
    @handler("mails", rate="3/2s", concurrency=9)
    async def mail(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "mails")
    for n in range(9):
        await client.push_workitem("mails", {"n": n})
    daemon = await start(mail, once=True)
    async with asyncio.timeout(60):
        await asyncio.gather(*(c.drained.wait() for c in daemon._stations.consumers.values()))
    assert await client.count("workitems", {"state": "successful"}) == 9


async def test_big_limits_cost_few_messages(client) -> None:
    rate = Rate(1000, 86_400)
    one, two = (Permits(client, rate, namespace="", told=lambda: None) for _ in range(2))
    taken = 0
    while await one.take("q") is None:
        taken += 1
        taken += await two.take("q") is None
    assert taken == 1000
    assert await client.count(STATE, {"_type": "permit"}) == 50


async def test_a_clock_that_is_wrong_is_put_right_by_the_servers_first_answer(client) -> None:
    rate = Rate(3, 3600)
    for wrong in (timedelta(hours=-30), timedelta(hours=30)):
        permits = Permits(
            client,
            rate,
            namespace=str(wrong),
            told=lambda: None,
            local=lambda wrong=wrong: datetime.now(UTC) + wrong,
        )
        taken = [await permits.take("q") for _ in range(4)]
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
    permits = Permits(client, rate, namespace="", told=lambda: None)
    assert await permits.take("q") is None
    left = {d["_id"] for d in await client.query(STATE, {"until": 1000})}
    assert left == {"other"}


async def test_a_clock_that_others_heard_moved_ahead_is_believed() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    told: list[tuple[datetime, float] | None] = [None]
    clock = WindowClock(lambda: told[0])
    clock.heard(began, time.monotonic())
    assert clock.latest() - began < timedelta(seconds=5)
    told[0] = (began + timedelta(hours=1), time.monotonic())
    assert clock.latest() - began >= timedelta(hours=1)
    # What a permit's own answer says counts from then on, even if another says otherwise.
    clock.heard(began, time.monotonic())
    assert clock.latest() - began < timedelta(seconds=5)


async def test_virtual_time_goes_through_windows_and_lines(client_name, tmp_path) -> None:
    @handler("mails", key=customer, rate="2/min")
    async def mail(payload: dict[str, Any]) -> None: ...

    async with LocalOpenIAP(tmp_path, client=client_name) as openiap:
        await openiap.start_worker(mail)
        for n in range(5):
            await openiap.push(mail, {"customer": "a", "n": n})
        items = await openiap.settled(timeout=60)
    assert [item.state for item in items] == ["successful"] * 5
