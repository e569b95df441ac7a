"""The last hour of a queue: counted cheaply, small on the wire, and mergeable."""

import base64
import random
import zlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from worker.telemetry.minutes import (
    HOUR,
    IN_ALL,
    LAST_BUCKET,
    LEAST,
    PER_QUEUE,
    Minute,
    Minutes,
    bound_of,
    bucket_of,
    hours_of,
    packed,
    quantile,
    together,
    unpacked,
)

BUCKETS = st.dictionaries(st.integers(0, LAST_BUCKET), st.integers(1, 10**6), max_size=12).map(
    Counter
)
COUNT = st.integers(0, 10**9)
MINUTE = st.none() | st.builds(Minute, COUNT, COUNT, COUNT, COUNT, BUCKETS, BUCKETS)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def busy(
    minutes: Minutes, clock: Clock, queue: str, mean: float, *, each: int = 300
) -> list[float]:
    chance, runs = random.Random(queue), []
    for _ in range(HOUR):
        for _ in range(300):
            runs.append(chance.lognormvariate(0, 0.7) * mean)
            minutes.count(queue, "successful", chance.lognormvariate(0, 1) * mean, runs[-1])
        clock.now += 60
    return runs


@given(st.floats(0, 10**7))
def test_a_time_lies_in_its_bucket(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert 0 <= bucket <= LAST_BUCKET
    assert seconds <= bound_of(bucket) * 1.000001 or bucket == LAST_BUCKET
    assert bucket == 0 or seconds > bound_of(bucket - 1) * 0.999999


@given(st.lists(MINUTE, max_size=HOUR))
def test_an_hour_is_read_as_it_was_written(hour: list[Minute | None]) -> None:
    text = packed(hour, 10**6)
    read = unpacked(text) if len(text) <= PER_QUEUE else hour
    while hour and hour[-1] is None:
        hour.pop()
    assert read is not None
    assert read[: len(hour)] == hour
    assert not any(read[len(hour) :])


@given(st.lists(MINUTE, max_size=HOUR), st.integers(LEAST, PER_QUEUE))
def test_an_hour_is_never_longer_than_it_may_be_and_loses_no_recent_count(
    hour: list[Minute | None], most: int
) -> None:
    text = packed(hour, most)
    assert len(text) <= most
    read = unpacked(text)
    assert read is not None
    for known, told in zip(hour, read, strict=False):
        assert (known is None) == (told is None)
        if known is not None and told is not None:
            assert (known.ended, known.released) == (told.ended, told.released)
            assert sum(known.run.values()) == sum(told.run.values())


def test_three_busy_queues_fit_into_eight_kilobytes_and_keep_their_percentiles() -> None:
    clock = Clock()
    minutes = Minutes(clock)
    runs = {name: sorted(busy(minutes, clock, name, mean)) for name, mean in [("a", 0.05)]}
    clock.now = 0.0
    for name, mean in [("b", 2.0), ("c", 30.0)]:
        clock.now = 0.0
        runs[name] = sorted(busy(minutes, clock, name, mean))
    clock.now -= 30
    told = minutes.told()
    assert len(str(told)) < 8_000
    into, hours = hours_of(told)
    assert into == 30
    for name, all_runs in runs.items():
        whole = together(hours[name])
        assert whole.ended == len(all_runs)
        for part in (0.5, 0.95):
            found = quantile(whole.run, part)
            assert found is not None
            assert 0.6 < found / all_runs[int(part * len(all_runs))] < 1.7


def test_very_many_queues_stay_within_their_bound() -> None:
    clock = Clock()
    minutes = Minutes(clock)
    for _ in range(HOUR):
        for queue in range(60):
            for n in range(10):
                minutes.count(f"q{queue}", "successful", n * 0.1, n)
        clock.now += 60
    texts = minutes.told()["queues"]
    assert len(texts) == 60
    assert sum(map(len, texts.values())) <= IN_ALL


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    clock = Clock()
    minutes = Minutes(clock)
    minutes.count("q", "successful", 1.0, 1.0)
    clock.now = 59 * 60
    _, hours = hours_of(minutes.told())
    assert hours["q"][59] == Minute(1, 0, 0, 0, Counter({20: 1}), Counter({20: 1}))
    clock.now = 60 * 60
    assert minutes.told() == {}


def test_the_hours_of_a_fleet_are_added_up() -> None:
    one, two = Minute(1, run=Counter({4: 1})), Minute(2, 1, 1, 1, run=Counter({4: 2, 6: 1}))
    summed = together([one, None, two])
    assert (summed.ended, summed.released, summed.run) == (5, 1, Counter({4: 3, 6: 1}))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = base64.b64encode(zlib.compress(b"\x00\x01" * 10**6, 9)).decode()
    assert unpacked(bomb) is None
    assert unpacked(bomb[:PER_QUEUE]) is None
