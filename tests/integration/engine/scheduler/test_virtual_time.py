"""Schedules in a test of the user's: ``advance`` makes them tick."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from worker import handler, schedule
from worker.testing import LocalOpenIAP


@schedule("0 * * * *", payload=lambda tick: {"tick": tick.isoformat()}, tz="Asia/Tokyo")
@handler("hourly")
async def hourly(payload: dict[str, Any]) -> dict[str, bool]:
    return {"done": True}


def half_past(openiap: LocalOpenIAP) -> None:
    """Begin as far from a tick as can be: real time goes on, too."""
    openiap.clock.advance((1800 - openiap.clock()) % 3600)


async def test_each_tick_on_the_way_happens_once(local_openiap: LocalOpenIAP) -> None:
    half_past(local_openiap)
    await local_openiap.start_worker(hourly)
    await local_openiap.start_worker(hourly)
    await local_openiap.advance("1h")
    begin = len(local_openiap.items(hourly))
    assert begin == 1
    await local_openiap.advance("1d")
    items = await local_openiap.settled(timeout="1m")
    assert len(items) == begin + 24
    ticks = [datetime.fromisoformat(item.payload["tick"]) for item in items]
    assert [tick.utcoffset() for tick in ticks] == [timedelta(hours=9)] * len(ticks)
    assert {later - tick for tick, later in pairwise(ticks)} == {timedelta(hours=1)}
    assert {item.state for item in items} == {"successful"}
    now = datetime.fromtimestamp(local_openiap.clock(), UTC)
    assert timedelta(0) <= now - ticks[-1] < timedelta(hours=1)


async def test_a_stopped_worker_does_not_tick(local_openiap: LocalOpenIAP) -> None:
    half_past(local_openiap)
    worker = await local_openiap.start_worker(hourly)
    await worker.stop()
    await local_openiap.advance("3h")
    assert local_openiap.items(hourly) == []
