"""Rates: what is one, and the windows of the server's clock."""

from datetime import UTC, datetime

import pytest

from tests.cases import each
from worker.app.rate import ALLOWED, Rate, rate_of


@each(
    ("text", "limit", "seconds"),
    [
        ("100/min", 100, 60),
        ("5/10s", 5, 10),
        (" 3 / 2 hours ", 3, 7200),
        ("1/s", 1, 1),
        ("7/sec", 7, 1),
        ("1000/h", 1000, 3600),
        ("2/day", 2, 86_400),
        ("2/31D", 2, 31 * 86_400),
        ("9/5MIN", 9, 300),
    ],
)
def test_a_rate_is_a_count_in_a_time(text: str, limit: int, seconds: int) -> None:
    assert rate_of(text) == Rate(limit, seconds)


@each(
    "text",
    ["0/min", "-1/min", "100", "100/", "/min", "1.5/s", "5/0s", "5/10ms", "5/week", "1000001/s",
     "1/32d", "", "٣/min", "5/10s or so"],
)  # fmt: skip
def test_what_is_no_rate_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        rate_of(text)
    assert str(refused.value) == f"{text!r}; allowed: {ALLOWED}"


def test_a_rate_is_shown_as_it_is_written() -> None:
    assert [str(rate_of(t)) for t in ("100/60s", "5/10s", "3/2h", "1/24h")] == [
        "100/min",
        "5/10s",
        "3/2hour",
        "1/day",
    ]
    assert rate_of(str(rate_of("3/2h"))) == rate_of("3/2h")


def test_windows_are_aligned_and_touch() -> None:
    rate = rate_of("5/10s")
    moment = datetime(2026, 11, 25, 12, 0, 9, 999_000, UTC)
    window = rate.window(moment)
    assert rate.begins(window) == datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
    assert rate.begins(window + 1) == datetime(2026, 11, 25, 12, 0, 10, tzinfo=UTC)
    assert rate.window(rate.begins(window + 1)) == window + 1


@each("limit", [1, 99, 100, 101, 150, 999, 12_345, 1_000_000])
def test_blocks_make_up_the_limit_in_few_messages(limit: int) -> None:
    rate = Rate(limit, 60)
    assert sum(rate.size_of(block) for block in range(rate.blocks)) == limit
    assert rate.size_of(rate.blocks) == 0
    assert rate.blocks <= 100
