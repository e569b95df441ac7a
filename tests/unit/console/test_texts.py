"""Strings of others on pages: text, whatever stands in them; times; addresses."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.cases import each
from worker.console.parts.texts import clean, is_own, link, url_of
from worker.console.parts.times import duration, relative

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@each(
    ("given", "shown"),
    [
        (None, ""),
        (7, "7"),
        ("<b>plain</b>", "<b>plain</b>"),
        ("a\x00b\x1b[31m", "a\\x00b\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("half \ud800 pair", "half \\ud800 pair"),
        ("a\tb\nc", "a\tb\nc"),
        ("Grüße, 世界 👩\u200d💻", "Grüße, 世界 👩\u200d💻"),
        ("x" * 3_000, "x" * 2_000 + "…"),
    ],
)
def test_nothing_acts_and_nothing_hides(given: object, shown: str) -> None:
    assert clean(given) == shown
    clean(given).encode()


@each(
    ("query", "url"),
    [
        ({}, "/queue"),
        ({"name": "a b/../c?d=e&f"}, "/queue?name=a+b%2F..%2Fc%3Fd%3De%26f"),
        ({"name": None}, "/queue"),
        ({"name": "half \ud800"}, "/queue?name=half+%3F"),
        ({"name": "javascript:alert(1)"}, "/queue?name=javascript%3Aalert%281%29"),
    ],
)
def test_what_a_page_is_about_stands_in_its_query(query: dict[str, object], url: str) -> None:
    assert url_of("/queue", **query) == url


@each("to", ["//evil.example", "https://evil.example", "javascript:alert(1)", "queue"])
def test_links_lead_to_pages_of_the_console(to: str) -> None:
    assert not is_own(to)
    with pytest.raises(ValueError, match="pages of the console"):
        link("words", to)


@each(
    ("ago", "words"),
    [
        (0.7, "now"),
        (59.9, "59 s ago"),
        (61, "1 min ago"),
        (7_200, "2 h ago"),
        (200_000, "2 d ago"),
        (-90, "in 1 min"),
    ],
)
def test_moments_are_told_by_how_far_they_are(ago: float, words: str) -> None:
    assert relative(NOW - timedelta(seconds=ago), NOW) == words


def test_durations_have_one_unit() -> None:
    given = (None, 0, 0.85, 12.4, 300, 86_400 * 1_200)
    assert [duration(one) for one in given] == ["-", "0 s", "850 ms", "12 s", "5 min", "1,200 d"]
