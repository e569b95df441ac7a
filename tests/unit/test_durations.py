"""Durations: what they mean, and what is none."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.cases import each
from worker.durations import MOST, seconds


@each(
    ("given", "meant"),
    [
        (0, 0.0),
        (1.5, 1.5),
        ("90s", 90.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5", 1.5),
        (timedelta(minutes=5), 300.0),
        ("36500d", MOST),
        (MOST, MOST),
    ],
)
def test_what_a_duration_means(given: float | str | timedelta, meant: float) -> None:
    assert seconds(given) == meant


@each(
    ("given", "said"),
    [
        (-1, "-1 is not a duration: seconds, or text"),
        (-(10**400), "-1000"),
        (-(10**5000), "the number is not a duration"),
        (float("-inf"), "-inf is not a duration"),
        (float("nan"), "nan is not a duration"),
        ("nan", "'nan' is not a duration"),
        ("-1", "'-1' is not a duration"),
        (True, "True is not a duration"),
        ("", "'' is not a duration"),
        ("1 year", "'1 year' is not a duration"),
        (float("inf"), "inf is too long a duration: allowed: up to 36500d"),
        ("inf", "'inf' is too long a duration"),
        ("1e400", "'1e400' is too long a duration"),
        ("36501d", "'36501d' is too long a duration: allowed: up to 36500d"),
        (10**400, "1000"),
        (10**5000, "the number is too long a duration: allowed:"),
        (timedelta.max, "datetime.timedelta(days=999999999"),
        ("9" * 5000 + "d", "'999"),
    ],
)
def test_what_is_none_is_told(given: float | str | timedelta, said: str) -> None:
    with pytest.raises(ValueError, match="duration") as caught:
        seconds(given)
    assert str(caught.value).startswith(said)
    with pytest.raises(ValueError, match=r"^ttl: ") as named:
        seconds(given, "ttl")
    assert str(named.value) == f"ttl: {caught.value}"
    assert len(str(caught.value)) < 250


def test_the_longest_leads_to_moments_that_there_are() -> None:
    longest = timedelta(seconds=MOST)
    assert datetime.now(UTC) - longest < datetime.now(UTC) < datetime.now(UTC) + longest
