"""The picture of an item's runs: nothing is outside of it, whatever others wrote."""

from datetime import UTC, datetime

from worker.console.parts.timeline import picture_of, span_of
from worker.management.items.timeline import TimelineEntry

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def entry(what: str, at: str, **more: object) -> TimelineEntry:
    return TimelineEntry.model_validate({"what": what, "at": at, **more})


def test_runs_are_drawn_where_they_were() -> None:
    entries = [
        entry("pushed", "2026-01-01T10:00:00Z"),
        entry("failed", "2026-01-01T11:00:00Z", start="2026-01-01T10:30:00Z", seconds=1_800),
        entry("running", "2026-01-01T11:30:00Z", start="2026-01-01T11:30:00Z"),
    ]
    bars, first, last = picture_of(entries, NOW)
    assert (first, last) == (datetime(2026, 1, 1, 10, tzinfo=UTC), NOW)
    assert [(round(one.left), round(one.width)) for one in bars] == [(0, 1), (25, 25), (75, 25)]
    assert [one.tone for one in bars] == ["mark", "bad", "busy"]


def test_nothing_is_outside_of_the_picture() -> None:
    entries = [
        entry("failed", "2026-01-01T10:00:00Z", start="2027-01-01T00:00:00Z", seconds=-5),
        entry("failed", "2026-01-01T10:00:00Z", start="1970-01-01T00:00:00Z", seconds=1e300),
        entry("failed", "no moment"),
        entry("odd", "9999-12-31T23:59:59Z", seconds=float("inf")),
        entry("odd", "9999-12-31T23:59:59Z", seconds=86_400),
    ]
    for one in picture_of(entries, NOW)[0]:
        assert 0 <= one.left <= one.left + one.width <= 100.001
    assert picture_of(entries[2:3], NOW) == ([], None, None)
    assert len(picture_of([entry("pushed", "2026-01-01T10:00:00Z")], NOW)[0]) == 1


def test_spans_have_two_units_at_most() -> None:
    assert [span_of(one) for one in (0.1234, 59, 200, 18_120, 183_600)] == [
        "0.123 s",
        "59 s",
        "3 min 20 s",
        "5 h 2 min",
        "2 d 3 h",
    ]
