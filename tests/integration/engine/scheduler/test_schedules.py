"""What becomes of ticks: once each, whoever was away, whatever was paused or deleted."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from worker import handler, schedule
from worker.app.options import Handler
from worker.app.schedule_options import Missed
from worker.engine.scheduler.records import Records
from worker.management.items.service import Items
from worker.management.items.types import ItemGetHistoryPayload
from worker.openiap.fields import moment_of
from worker.openiap.values import iso
from worker.testing import LocalOpenIAP

KEY = ("jobs", "work")
HOURS = 10


def hourly(missed: Missed = "last", expression: str = "", payload: Any = None) -> Handler[..., Any]:
    """Return a handler whose schedule ticks half an hour from now, and then every hour."""
    half = (datetime.now(UTC) + timedelta(minutes=30)).minute

    @schedule(expression or f"{half} * * * *", missed=missed, payload=payload)
    @handler("jobs")
    async def work(payload: dict[str, Any]) -> None: ...

    return work


async def away(openiap: LocalOpenIAP, work: Handler[..., Any]) -> None:
    """Let a worker bring its schedule and do a tick; then none runs for some hours."""
    worker = await openiap.start_worker(work)
    await openiap.advance("1h")
    assert len(openiap.items()) == 1
    await worker.stop()
    await openiap.advance(f"{HOURS}h")


@pytest.mark.parametrize("missed", get_args(Missed))
async def test_what_no_worker_did_is_made_good_by_policy(
    local_openiap: LocalOpenIAP, missed: Missed
) -> None:
    work = hourly(missed)
    await away(local_openiap, work)
    worker = await local_openiap.start_worker(work)
    await worker.tick()
    made_good = {"skip": 0, "last": 1, "all": HOURS}[missed]
    assert len(local_openiap.items()) == 1 + made_good
    await local_openiap.advance("1h")
    assert len(local_openiap.items()) == 2 + made_good


async def test_the_item_of_a_tick_says_whose_it_is(local_openiap: LocalOpenIAP) -> None:
    await local_openiap.start_worker(hourly())
    await local_openiap.advance("1h")
    (item,) = local_openiap.items()
    found = await Items(local_openiap.client).get_history(ItemGetHistoryPayload(id=item.id))
    assert found.parent is not None
    assert (found.parent.how, found.parent.name) == ("schedule", "work")
    tick = moment_of(found.parent.tick)
    assert tick is not None
    assert (tick.second, tick.microsecond) == (0, 0)


def server_now(local_openiap: LocalOpenIAP) -> datetime:
    return datetime.fromtimestamp(local_openiap.clock(), UTC)


@pytest.mark.parametrize("missed", get_args(Missed))
async def test_a_paused_schedule_rests_and_goes_on(
    local_openiap: LocalOpenIAP, missed: Missed
) -> None:
    records = Records(local_openiap.client)
    await local_openiap.start_worker(hourly(missed))
    await local_openiap.advance("1h")
    assert await records.pause(KEY, server_now(local_openiap))
    await local_openiap.advance("3h")
    assert len(local_openiap.items()) == 1
    assert await records.resume(KEY, server_now(local_openiap))
    await local_openiap.advance("1m")
    made_good = {"skip": 0, "last": 1, "all": 3}[missed]
    assert len(local_openiap.items()) == 1 + made_good
    await local_openiap.advance("1h")
    assert len(local_openiap.items()) == 2 + made_good


async def test_an_item_that_was_deleted_does_not_come_again(local_openiap: LocalOpenIAP) -> None:
    work = hourly("all")
    first = await local_openiap.start_worker(work)
    await local_openiap.advance("2h")
    for item in await local_openiap.settled(timeout="1m"):
        await local_openiap.client.delete_workitem(item.id)
    await first.tick()
    other = await local_openiap.start_worker(work)
    await other.tick()
    assert local_openiap.items() == []


async def test_a_record_that_lags_behind_makes_no_second_item(local_openiap: LocalOpenIAP) -> None:
    work = hourly("all")
    worker = await local_openiap.start_worker(work)
    await local_openiap.advance("3h")
    await worker.stop()
    (document,) = await local_openiap.client.query("openiap_worker_state", {"_type": "schedule"})
    await local_openiap.client.update_one("openiap_worker_state", {**document, "last": None})
    other = await local_openiap.start_worker(work)
    await other.tick()
    assert len(local_openiap.items()) == 3
    (after,) = await local_openiap.client.query("openiap_worker_state", {"_type": "schedule"})
    assert after["last"] == document["last"]


async def test_a_schedule_that_is_declared_otherwise_counts_from_then_on(
    local_openiap: LocalOpenIAP,
) -> None:
    await away(local_openiap, hourly("all"))
    # Each 20 minutes, and the first one in 10 minutes: real time goes on, too.
    minute = datetime.now(UTC).minute
    thrice = ",".join(str((minute + ahead) % 60) for ahead in (10, 30, 50))
    other = await local_openiap.start_worker(hourly("all", expression=f"{thrice} * * * *"))
    await other.tick()
    assert len(local_openiap.items()) == 1
    await local_openiap.advance("1h")
    assert len(local_openiap.items()) == 4


async def test_a_record_that_was_deleted_is_written_again_by_who_knows_it(
    local_openiap: LocalOpenIAP,
) -> None:
    await local_openiap.start_worker(hourly("all"))
    await local_openiap.advance("1h")
    await local_openiap.client.delete_many("openiap_worker_state", {"_type": "schedule"})
    await local_openiap.advance("1h")
    assert len(local_openiap.items()) == 2
    (record,) = await Records(local_openiap.client).all()
    assert record.last is not None


async def test_a_payload_that_cannot_be_made_is_tried_again(local_openiap: LocalOpenIAP) -> None:
    failures = 2

    def payload() -> dict[str, int]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise ConnectionError("the source is away")
        return {"made": 1}

    worker = await local_openiap.start_worker(hourly(payload=payload))
    await local_openiap.advance("1h")
    for _ in range(3):
        await worker.tick()
    (item,) = local_openiap.items()
    assert item.payload["made"] == 1


async def test_two_environments_tick_apart(local_openiap: LocalOpenIAP) -> None:
    work = hourly()
    await local_openiap.start_worker(work, namespace="prod")
    await local_openiap.start_worker(work, namespace="test")
    await local_openiap.advance("1h")
    assert len(local_openiap.items()) == 2
    assert [r.key for r in await Records(local_openiap.client, "prod").all()] == [KEY]
    assert await Records(local_openiap.client).all() == []


async def test_ticks_come_by_themselves(local_openiap: LocalOpenIAP) -> None:
    """Without anybody who moves the time: two workers, each second."""

    @schedule("* * * * * *", payload=lambda tick: {"at": iso(tick)})
    @handler("seconds")
    async def second(payload: dict[str, Any]) -> None: ...

    for _ in range(2):
        await local_openiap.start_worker(second)
    async with asyncio.timeout(60):
        while len(local_openiap.items(second)) < 4:
            await asyncio.sleep(0.05)
    ticks = sorted(
        datetime.fromisoformat(item.payload["at"]) for item in local_openiap.items(second)
    )
    assert ticks == [ticks[0] + timedelta(seconds=n) for n in range(len(ticks))]
