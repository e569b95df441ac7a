"""What a worker's death makes of the items that were in flight: who pays for it, who not."""

from datetime import UTC, datetime

import pytest

from worker.engine.fleet.deaths import MARK, Deaths, deaths_of, mark_of, marked
from worker.engine.fleet.takeover import Orphan, outcome_of
from worker.openiap.workitem import Workitem

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MAX = 3


def deaths(beside: int, alone: int = 0) -> Deaths:
    """In so many deaths with others, then in so many alone."""
    runs = tuple(range(1_001, (beside + alone) * 1_000 + 1_001, 1_000))
    return Deaths("i", runs, runs[beside:])


def orphan(*, alone: bool = False, died: bool = True) -> Orphan:
    holder = "a" if died else ""
    return Orphan(Workitem(id="i", lastrun=NOW), holder, "died", died=died, alone=alone)


@pytest.mark.parametrize("beside", range(2 * MAX + 1))
def test_who_was_beside_others_when_workers_died_loses_no_attempt(beside: int) -> None:
    outcome = outcome_of(orphan(), deaths(beside), MAX, "b")
    assert outcome.kind == "released"
    assert marked(outcome.source) == beside


@pytest.mark.parametrize(
    ("beside", "alone", "kind"),
    [
        (0, 1, "released"),
        (0, 2, "released"),
        (0, 3, "failed"),
        (3, 1, "released"),
        (3, 2, "failed"),
        (2, 2, "failed"),
    ],
)
def test_who_was_alone_when_workers_died_is_failed_in_the_end(
    beside: int, alone: int, kind: str
) -> None:
    outcome = outcome_of(orphan(alone=True), deaths(beside, alone), MAX, "b")
    assert outcome.kind == kind
    if kind == "failed":
        assert f"in {beside + alone} worker deaths and alone in {alone}" in outcome.message
        assert outcome.source, "or that of an earlier attempt would stand beside it"


def test_one_death_alone_is_enough_where_no_more_are_allowed() -> None:
    assert outcome_of(orphan(alone=True), deaths(0, 1), 1, "b").kind == "failed"
    assert outcome_of(orphan(), deaths(1), 1, "b").kind == "released"


def test_a_death_beside_others_fails_nobody_who_was_alone_before() -> None:
    assert outcome_of(orphan(), deaths(1, 2), MAX, "b").kind == "released"


@pytest.mark.parametrize("died", [True, False])
def test_deaths_that_nobody_finds_the_cause_of_do_not_go_on_for_ever(died: bool) -> None:
    outcome = outcome_of(orphan(died=died), deaths(2 * MAX + 1), MAX, "b")
    assert outcome.kind == "application"
    assert "costs an attempt" in outcome.message


def test_a_run_counts_once_whoever_tells_of_it() -> None:
    once = deaths_of("i", None).and_(5_123, "a")
    assert once.and_(5_123, "a") == once
    assert once.and_(5_000, "b") == once  # as the official client tells it
    assert once.and_(5_124, "a").total == 2
    assert once.and_(6_123, "a").total == 2


def test_a_run_counts_as_alone_where_nobody_knows_better() -> None:
    alone = deaths_of("i", None).and_(5_123, "a", alone=True)
    assert alone.alone == (5_123,)
    assert alone.and_(5_000, "a", alone=True) == alone
    assert alone.and_(5_000, "b").alone == ()
    assert deaths_of("i", None).and_(5_123, "a").and_(5_123, "a", alone=True).alone == ()


def test_what_an_older_version_counted_counts_as_beside_others() -> None:
    found = deaths_of("i", {"_id": "deaths-i", "attempts": [1, 2], "workers": ["a"]})
    assert (found.total, found.alone) == (2, ())


@pytest.mark.parametrize("text", ["", "Traceback …", MARK, f"{MARK}x", f"{MARK}-1", f"x{MARK}2"])
def test_what_is_no_mark_is_none(text: str) -> None:
    assert marked(text) == 0
    assert marked(mark_of(12)) == 12
