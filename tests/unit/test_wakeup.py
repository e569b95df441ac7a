"""Wake-ups: alarms for known times, jittered polls, and messages that are hints."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from worker.usual import Usual
from worker.wakeup import RARELY, Wakeup, is_for


async def test_a_wake_before_the_wait_is_not_forgotten() -> None:
    wakeup = Wakeup(3600, chance=random.Random(1))
    wakeup.clear()
    wakeup.wake()
    await asyncio.wait_for(wakeup.wait(), 1)


async def test_it_polls_with_jitter_when_nothing_wakes_it() -> None:
    wakeup = Wakeup(0.05, chance=random.Random(1))
    started = time.monotonic()
    await asyncio.wait_for(wakeup.wait(), 5)
    assert time.monotonic() - started >= 0.03


async def test_a_queue_of_whose_items_the_server_tells_is_polled_more_seldom() -> None:
    told = True
    wakeup = Wakeup(0.1, chance=random.Random(1), told=lambda: told)
    started = time.monotonic()
    await asyncio.wait_for(wakeup.wait(), 5)
    assert time.monotonic() - started >= 0.75 * 0.1 * RARELY


async def test_the_earliest_alarm_rings_first_and_every_alarm_rings() -> None:
    wakeup = Wakeup(3600, chance=random.Random(1))
    now = datetime.now(UTC)
    for ahead in (0.3, 0.05, 0.15):
        wakeup.wake_at(now + timedelta(seconds=ahead))
    for _ in range(3):
        await asyncio.wait_for(wakeup.wait(), 5)
        wakeup.clear()
    wakeup.close()


async def test_a_moment_that_has_passed_wakes_at_once() -> None:
    wakeup = Wakeup(3600, chance=random.Random(1))
    wakeup.wake_at(datetime.now(UTC) - timedelta(hours=1))
    await asyncio.wait_for(wakeup.wait(), 1)


@pytest.mark.parametrize(
    ("data", "meant"),
    [
        ({"wiq": "q", "wiqid": "1"}, True),
        ({"wiq": "other", "wiqid": "1"}, True),
        ({"wiq": "other", "wiqid": "2"}, False),
        ({}, True),
        ("hello", True),
        (None, True),
    ],
)
def test_a_message_is_a_hint_for_the_queue_that_it_names(data: object, meant: bool) -> None:
    assert is_for(data, "q", "1") is meant


def test_what_a_handler_usually_takes_is_said_only_when_it_is_known() -> None:
    usual = Usual()
    assert usual.left(0) is None
    for _ in range(10):
        usual.saw(10.0)
    assert usual.left(2) == pytest.approx(8.0)
    assert usual.left(11) is None
