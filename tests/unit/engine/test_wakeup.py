"""Wake-ups: alarms for known times, and jittered polls."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from tests.unit.virtualloop import in_virtual_time
from worker.engine import wakeup as room
from worker.engine.wakeup import RARELY, Wakeup


async def test_a_wake_before_the_wait_is_not_forgotten() -> None:
    wakeup = Wakeup(3600, chance=random.Random(1))
    wakeup.clear()
    wakeup.wake()
    await asyncio.wait_for(wakeup.wait(), 60)


async def test_it_polls_with_jitter_when_nothing_wakes_it() -> None:
    wakeup = Wakeup(0.05, chance=random.Random(1))
    started = time.monotonic()
    await asyncio.wait_for(wakeup.wait(), 60)
    assert time.monotonic() - started >= 0.03


async def test_a_queue_of_whose_items_the_server_tells_is_polled_more_seldom() -> None:
    wakeup = Wakeup(0.1, chance=random.Random(1), notified=lambda: True)
    started = time.monotonic()
    await asyncio.wait_for(wakeup.wait(), 60)
    assert time.monotonic() - started >= 0.75 * 0.1 * RARELY


def test_the_earliest_alarm_rings_first_and_every_alarm_rings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = datetime(2026, 5, 4, 12, tzinfo=UTC)

    async def rung() -> list[float]:
        time_of = asyncio.get_running_loop().time
        monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=time_of))
        wakeup = Wakeup(36_000, chance=random.Random(1))
        for ahead in (300, 50, 150):
            wakeup.wake_at(begin + timedelta(seconds=ahead))
        found = []
        for _ in range(3):
            await wakeup.wait()
            wakeup.clear()
            found.append(time_of())
        wakeup.close()
        return found

    class Still:
        """Alarms are set at one moment."""

        @staticmethod
        def now(zone: object) -> datetime:
            return begin

    monkeypatch.setattr(room, "datetime", Still)
    alarms = [50, 150, 300]
    assert in_virtual_time(rung()) == pytest.approx([at + room.ALARM_SLACK for at in alarms])


async def test_a_moment_that_has_passed_wakes_at_once() -> None:
    wakeup = Wakeup(3600, chance=random.Random(1))
    wakeup.wake_at(datetime.now(UTC) - timedelta(hours=1))
    await asyncio.wait_for(wakeup.wait(), 60)


async def test_an_item_that_another_took_wakes_nobody() -> None:
    wakeup = Wakeup(3600, chance=random.Random(1))
    wakeup.wake_for("taken", 0.02)
    wakeup.wake_for("left", 0.05)
    wakeup.taken("taken")
    started = time.monotonic()
    await asyncio.wait_for(wakeup.wait(), 60)
    assert time.monotonic() - started >= 0.04
    wakeup.clear()
    assert not wakeup._items
    assert not wakeup._alarms


async def test_whose_turn_it_is_wakes_at_once() -> None:
    wakeup = Wakeup(3600, chance=random.Random(1))
    wakeup.wake_for("mine", 0.0)
    await asyncio.wait_for(wakeup.wait(), 60)


async def test_a_fleet_shares_the_polls_below_the_watch() -> None:
    wakeup = Wakeup(0.02, chance=random.Random(1), notified=lambda: True, fleet=lambda: 5)
    started = time.monotonic()
    await asyncio.wait_for(wakeup.wait(), 60)
    assert time.monotonic() - started >= 0.75 * 0.02 * RARELY * 5
