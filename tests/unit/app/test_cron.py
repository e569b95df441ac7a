"""When expressions tick: against a calculation that goes through a year, step by step."""

import time
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest

from tests.cases import each
from worker.app.cron import ALLOWED, Cron

ZONES = ("Europe/Copenhagen", "America/New_York", "Australia/Sydney")
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=15)
"""All expressions here tick at multiples of it, and all changes of the zones' offsets are some; a
tick between two steps is a wrong one, since the lists are to be the same."""

Wanted = Callable[[datetime], bool]

# Each with what it means on a clock on the wall, said without the parser.
FOLLOWS: dict[str, Wanted] = {
    "*/15 * * * *": lambda w: w.minute % 15 == 0,
    "0 * * * *": lambda w: w.minute == 0,
    "*/30 2 * * *": lambda w: w.hour == 2 and w.minute % 30 == 0,
    "30 */2 * * SUN": lambda w: w.minute == 30 and w.hour % 2 == 0 and w.isoweekday() == 7,
}
DEAREST = "*/15 * * * *"
"""Its ticks cost more than all others together."""

NAMED: dict[str, Wanted] = {
    "30 2 * * *": lambda w: (w.hour, w.minute) == (2, 30),
    "0,45 1-3 * * *": lambda w: w.hour in (1, 2, 3) and w.minute in (0, 45),
    "15 2 * * 0": lambda w: (w.hour, w.minute) == (2, 15) and w.isoweekday() == 7,
    "0 3 L * *": lambda w: (w.hour, w.minute) == (3, 0) and (w + timedelta(days=1)).day == 1,
}


@lru_cache
def _ticks(expression: str, zone: str) -> list[datetime]:
    return list(Cron(expression, zone).ticks(BEGIN, END))


@lru_cache
def _steps(zone: str) -> list[tuple[datetime, datetime]]:
    """Return each step of the year in UTC, with what the zone's clock shows."""
    found, there = [], ZoneInfo(zone)
    moment = BEGIN - timedelta(days=1)
    while moment < END + timedelta(days=1):
        found.append((moment, moment.astimezone(there).replace(tzinfo=None, fold=0)))
        moment += STEP
    return found


@lru_cache
def _walls(expression: str) -> list[datetime]:
    """Return what a clock on the wall shows when one that is never changed would tick."""
    found, wall = [], datetime(2025, 12, 31)
    while wall < datetime(2027, 1, 2):
        if NAMED[expression](wall):
            found.append(wall)
        wall += STEP
    return found


@lru_cache
def _first(zone: str) -> dict[datetime, datetime]:
    """Return by what the zone's clock shows when it shows that for the first time."""
    first: dict[datetime, datetime] = {}
    for moment, wall in _steps(zone):
        first.setdefault(wall, moment)
    return first


def _followed(zone: str, wanted: Wanted) -> list[datetime]:
    return [moment for moment, wall in _steps(zone) if wanted(wall) and BEGIN < moment <= END]


def _named(zone: str, expression: str) -> list[datetime]:
    first = _first(zone)
    found = set()
    for shown in _walls(expression):
        while shown not in first and shown.year < 2027:  # skipped: when the clock goes on
            shown += STEP
        if shown in first:
            found.add(first[shown])
    return sorted(moment for moment in found if BEGIN < moment <= END)


@each(
    ("zone", "expression"),
    [
        (zone, expression)
        for zone in (*ZONES, "Australia/Lord_Howe", "America/Santiago")
        for expression in (*FOLLOWS, *NAMED)
        if expression != DEAREST or zone in ("Europe/Copenhagen", "Australia/Lord_Howe")
    ],
)
def test_a_year_of_ticks_is_what_going_through_it_gives(zone: str, expression: str) -> None:
    if expression in FOLLOWS:
        wanted = _followed(zone, FOLLOWS[expression])
    else:
        wanted = _named(zone, expression)
    assert _ticks(expression, zone) == wanted


def best_of(deed: Callable[[], object]) -> float:
    """Return the fewest seconds of computing of three tries: others only add to them."""
    costs = []
    for _ in range(3):
        began = time.thread_time()
        deed()
        costs.append(time.thread_time() - began)
    return min(costs)


def test_a_year_of_an_hourly_schedule_takes_less_than_a_second() -> None:
    def ticks() -> int:
        return sum(1 for _ in Cron("0 * * * *", "Europe/Copenhagen").ticks(BEGIN, END))

    assert ticks() == 365 * 24
    assert best_of(ticks) < 1.0


@each("zone", ["Europe/Copenhagen", "Australia/Sydney"])
@each("expression", [*FOLLOWS, *NAMED])
def test_it_does_not_matter_where_the_look_begins(zone: str, expression: str) -> None:
    cron, ticks = Cron(expression, zone), _ticks(expression, zone)
    begins = [BEGIN + n * timedelta(minutes=1577) for n in range(333)]
    for changed in (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)):
        begins += [changed + n * timedelta(minutes=7) for n in range(86)]
    for moment in begins:
        following = ticks[bisect_right(ticks, moment) :][:1]
        if following:
            assert cron.after(moment) == following[0]


def test_a_time_that_is_skipped_runs_at_the_change_and_one_that_comes_twice_runs_once() -> None:
    cron = Cron("30 2 * * *", "Europe/Copenhagen")
    spring = list(cron.ticks(datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)))
    assert [f"{tick:%d %H:%M}" for tick in spring] == ["28 01:30", "29 01:00", "30 00:30"]
    autumn = list(
        cron.ticks(datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC))
    )
    assert [f"{tick:%d %H:%M}" for tick in autumn] == ["24 00:30", "25 00:30", "26 01:30"]


def test_the_first_of_six_fields_is_the_seconds() -> None:
    begin = datetime(2026, 5, 1, 11, 59, 40, tzinfo=UTC)
    found = list(Cron("*/15 * * * * *").ticks(begin, begin + timedelta(seconds=30)))
    assert [f"{tick:%M:%S}" for tick in found] == ["59:45", "00:00"]
    named = list(
        Cron("5,10 30 2 * * *", "Europe/Copenhagen").ticks(
            datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC)
        )
    )
    assert [f"{tick:%H:%M:%S}" for tick in named] == ["00:30:05", "00:30:10"]


def test_the_last_ticks_are_found_without_going_through_all() -> None:
    cron = Cron("* * * * * *")
    found = cron.last(BEGIN, END, 1000)
    assert best_of(lambda: cron.last(BEGIN, END, 1000)) < 1.0
    assert (len(found), found[-1], found[0]) == (1000, END, END - timedelta(seconds=999))
    assert cron.last(END, END, 5) == []
    assert Cron("0 0 1 1 *").last(BEGIN - timedelta(days=1), END, 5) == [BEGIN, END]


@each(
    ("expression", "tz", "message"),
    [
        ("0 0 30 2 *", "UTC", "'0 0 30 2 *' never fires: no month has such a day"),
        ("0 0 31 4,6 *", "UTC", "'0 0 31 4,6 *' never fires: no month has such a day"),
        ("* * */20 * 1L", "UTC", "'* * */20 * 1L' never fires: it has no tick within 50 years"),
        (
            "61 * * * *",
            "UTC",
            f"'61 * * * *' is no cron expression (bad minute); allowed: {ALLOWED}",
        ),
        (
            "0 0 32 2 *",
            "UTC",
            f"'0 0 32 2 *' is no cron expression (bad day-of-month); allowed: {ALLOWED}",
        ),
        (
            "0 0 30 13 *",
            "UTC",
            f"'0 0 30 13 *' is no cron expression (bad month); allowed: {ALLOWED}",
        ),
        (
            "@daily",
            "UTC",
            f"'@daily' is no cron expression (wrong number of fields); allowed: {ALLOWED}",
        ),
        *(
            (
                "* * * * *",
                name,
                f"tz = {name!r} is not a known time zone; allowed: names like 'Europe/Copenhagen',"
                " or 'UTC'",
            )
            for name in ("Europe/Atlantis", "Europe", "../etc/passwd", "", "CET\0")
        ),
    ],
)
def test_what_is_none_is_refused(expression: str, tz: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        Cron(expression, tz)
    assert str(refused.value) == message
