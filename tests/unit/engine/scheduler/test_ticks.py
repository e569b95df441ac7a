"""Which ticks are due: late ones always, missed ones by policy."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.app.cron import Cron
from worker.app.schedule_options import Missed
from worker.engine.scheduler.ticks import MOST, Cursor, due, missed_by, tick_id

NOON = datetime(2026, 5, 4, 12, 0, 30, tzinfo=UTC)
EVERY_MINUTE = Cron("* * * * *")


def _at(*texts: str) -> tuple[datetime, ...]:
    return tuple(datetime.fromisoformat(f"2026-05-04T{text}:00+00:00") for text in texts)


def test_what_ticked_since_the_last_one_is_due() -> None:
    (last,) = _at("11:59")
    found = due(EVERY_MINUTE, Cursor(NOON - timedelta(days=9), last), NOON, "skip")
    assert (found.ticks, found.missed) == (_at("12:00"), 0)


def test_nothing_counts_before_the_schedule_was_declared() -> None:
    assert due(EVERY_MINUTE, Cursor(NOON - timedelta(seconds=5)), NOON, "all").ticks == ()


@pytest.mark.parametrize(
    ("missed", "ticks", "count"),
    [
        ("skip", ("11:59", "12:00"), 0),
        ("last", ("11:58", "11:59", "12:00"), 1),
        ("all", ("11:55", "11:56", "11:57", "11:58", "11:59", "12:00"), 4),
    ],
)
def test_a_tick_of_the_last_two_minutes_is_late_and_an_older_one_is_missed(
    missed: Missed, ticks: tuple[str, ...], count: int
) -> None:
    (last,) = _at("11:54")
    found = due(EVERY_MINUTE, Cursor(last, last), NOON, missed)
    assert (found.ticks, found.missed) == (_at(*ticks), count)


@pytest.mark.parametrize(("missed", "ticks"), [("skip", ("12:00",)), ("last", ("11:59", "12:00"))])
def test_what_fell_into_a_pause_is_missed_however_short_it_is_ago(
    missed: Missed, ticks: tuple[str, ...]
) -> None:
    last, resumed = _at("11:57")[0], _at("11:59")[0] + timedelta(seconds=30)
    cursor = Cursor(last, last, resumed)
    assert due(EVERY_MINUTE, cursor, NOON, missed).ticks == _at(*ticks)


def test_what_nobody_did_in_time_is_counted_whatever_becomes_of_it() -> None:
    (last,) = _at("11:54")
    assert missed_by(EVERY_MINUTE, Cursor(last, last), NOON) == 4
    assert missed_by(EVERY_MINUTE, Cursor(last, _at("11:59")[0]), NOON) == 0
    (resumed,) = _at("11:56")
    assert missed_by(EVERY_MINUTE, Cursor(last, last, resumed), NOON) == 2, "11:57 and 11:58"


def test_a_year_of_missed_seconds_is_bounded() -> None:
    cursor = Cursor(NOON - timedelta(days=365))
    found = due(Cron("* * * * * *"), cursor, NOON, "all")
    assert (found.missed, len(found.ticks)) == (MOST, MOST + 120)
    assert found.ticks[-1] == NOON


def test_a_tick_has_the_same_id_everywhere_and_no_other_tick_has_it() -> None:
    (noon,) = _at("12:00")
    id = tick_id("", "orders", "nightly", noon)
    here = noon.astimezone(Cron("0 0 * * *", "Europe/Copenhagen").zone)
    assert id == tick_id("", "orders", "nightly", here)
    assert len(id) == 24
    assert int(id, 16)
    others = {
        tick_id("prod", "orders", "nightly", noon),
        tick_id("", "orders2", "nightly", noon),
        tick_id("", "orders", "hourly", noon),
        tick_id("", "orders", "nightly", noon + timedelta(minutes=1)),
        id,
    }
    assert len(others) == 5
