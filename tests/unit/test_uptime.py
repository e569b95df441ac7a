"""What says "nobody else can have it by now" goes on while the machine sleeps."""

import re
import time
from pathlib import Path
from typing import cast

import pytest

from worker.engine.delivery.delivery import Delivery
from worker.engine.delivery.writeback import WriteBack
from worker.item.outcome import Outcome
from worker.openiap.pool import Pool
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log
from worker.uptime import SleepCounting, uptime

WORKER = Path(__file__).resolve().parents[2] / "worker"
JUDGING = ("engine/fleet", "engine/delivery", "engine/concurrency", "state")
"""Rooms in which durations are compared with what others were seen to do."""


class Machine:
    """Both clocks of a machine."""

    def __init__(self) -> None:
        self.running, self.wall = 100.0, 1_000_000.0

    def counting(self) -> SleepCounting:
        return SleepCounting(lambda: self.running, lambda: self.wall)

    def run(self, seconds: float) -> None:
        self.running += seconds
        self.wall += seconds


def test_time_asleep_counts_where_the_monotonic_clock_stands_still() -> None:
    machine = Machine()
    clock = machine.counting()
    began = clock()
    machine.run(5)
    assert clock() - began == pytest.approx(5)
    machine.wall += 3600  # asleep
    machine.run(5)
    assert clock() - began == pytest.approx(3610)
    machine.run(5)
    assert clock() - began == pytest.approx(3615)


def test_a_wall_clock_that_is_set_back_never_takes_time_away() -> None:
    machine = Machine()
    clock = machine.counting()
    began = clock()
    machine.wall -= 3600
    machine.run(5)
    assert clock() - began == pytest.approx(5)
    machine.wall += 0.5  # drift
    assert clock() - began == pytest.approx(5)


def test_leases_and_silence_are_measured_by_no_clock_that_stands_still() -> None:
    found = [
        str(path.relative_to(WORKER))
        for room in JUDGING
        for path in (WORKER / room).rglob("*.py")
        if re.search(r"\btime\.monotonic\b", path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_an_outcome_is_looked_at_first_after_a_sleep_that_outlasted_the_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Link:
        epoch = 1

    writing = WriteBack(
        cast(Pool, Link()), worker_id="a", lease=60, log=Log("error", write=lambda *_: None)
    )
    popped = uptime() - 61  # slept nearly all the time, so that the other clock hardly moved
    stands = time.monotonic() - 61
    monkeypatch.setattr(time, "monotonic", lambda: stands)
    asleep = Delivery(Workitem(id="1"), Outcome("successful"), popped, 1)
    awake = Delivery(Workitem(id="1"), Outcome("successful"), uptime(), 1)
    assert writing._needs_check(asleep)
    assert not writing._needs_check(awake)
