"""Counts: rates, totals, latency; with a clock that the test moves."""

import time

import pytest

from worker.telemetry.counts import BOUNDS, Counts


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(clock: Clock) -> Counts:
    return Counts(clock=clock)


def test_outcomes_are_counted_by_what_became_of_them(counts: Counts) -> None:
    counts.add_queue("q", "handlers.q:work")
    for kind in ("successful", "business", "application", "failed", "released"):
        counts.popped("q")
        counts.finished("q", kind, "applied", 1.0)
        counts.left("q")
    for result in ("fenced", "gone", "refused"):
        counts.finished("q", "successful", result, 1.0)
    counts.popped("q")
    counts.rescued("q")
    counts.lost_pop("q")
    seen = counts.snapshot()["q"]
    assert seen.handler == "handlers.q:work"
    assert (seen.popped, seen.in_flight, seen.finished) == (6, 1, 8)
    assert (seen.successful, seen.failed, seen.retried, seen.released) == (1, 2, 1, 1)
    assert (seen.fenced, seen.gone, seen.refused) == (1, 1, 1)
    assert (seen.rescued, seen.lost_pops) == (1, 1)


def test_the_rate_looks_at_the_last_minute_alone(counts: Counts, clock: Clock) -> None:
    counts.add_queue("q")
    for _ in range(120):
        counts.finished("q", "successful", "applied", 0.1)
        clock.now += 1
    assert counts.snapshot()["q"].items_per_second == pytest.approx(1.0, abs=0.02)
    clock.now += 30
    assert counts.snapshot()["q"].items_per_second == pytest.approx(0.5, abs=0.02)
    clock.now += 31
    assert counts.snapshot()["q"].items_per_second == 0
    clock.now += 10_000  # the ring was not touched for long: nothing old shows up again
    counts.finished("q", "successful", "applied", 0.1)
    assert counts.snapshot()["q"].items_per_second == pytest.approx(1 / 60)


def test_a_young_workers_rate_is_over_its_own_age(counts: Counts, clock: Clock) -> None:
    counts.add_queue("q")
    clock.now += 10
    for _ in range(50):
        counts.finished("q", "successful", "applied", 0.1)
    assert counts.snapshot()["q"].items_per_second == pytest.approx(5.0)


def test_idle_seconds_begin_with_the_last_item(counts: Counts, clock: Clock) -> None:
    counts.add_queue("q")
    clock.now += 5
    assert counts.snapshot()["q"].idle_seconds == 5
    counts.popped("q")
    clock.now += 2
    assert counts.snapshot()["q"].idle_seconds == 2
    counts.finished("q", "successful", "applied", 2)
    assert counts.snapshot()["q"].idle_seconds == 0


def test_latency_falls_into_buckets_with_their_upper_bound(counts: Counts) -> None:
    for seconds in (0.0, 0.005, 0.006, 3600, 3600.1):
        counts.finished("q", "successful", "applied", seconds)
    latency = counts.snapshot()["q"].latency
    assert len(latency) == len(BOUNDS) + 1
    assert (latency[0], latency[1], latency[-2], latency[-1]) == (2, 1, 1, 1)


def test_quantiles_are_within_their_bucket(counts: Counts) -> None:
    assert counts.together().quantile(0.5) == 0
    for number in range(100):
        counts.finished("q", "successful", "applied", 0.2 if number < 90 else 8)
    seen = counts.snapshot()["q"]
    assert 0.1 <= seen.quantile(0.5) <= 0.25
    assert 5 <= seen.quantile(0.99) <= 10


def test_the_worker_is_the_sum_of_its_queues(counts: Counts, clock: Clock) -> None:
    assert counts.together().in_flight == 0
    counts.popped("a")
    clock.now += 3
    counts.popped("b")
    counts.finished("b", "successful", "applied", 1)
    total = counts.together()
    assert (total.popped, total.in_flight, total.successful) == (2, 2, 1)
    assert sum(total.latency) == 1
    assert total.idle_seconds == 0
    counts.source("outbox_size", lambda: 4)
    assert counts.worker() == {"outbox_size": 4.0}


def test_counting_an_item_costs_a_few_microseconds() -> None:
    counts, costs = Counts(), []
    for _ in range(20):  # the best of some: what others take of the machine only adds
        began = time.thread_time()
        for _ in range(1000):
            counts.popped("q")
            counts.finished("q", "successful", "applied", 0.1)
            counts.left("q")
        costs.append((time.thread_time() - began) / 1000)
    assert min(costs) < 30e-6
