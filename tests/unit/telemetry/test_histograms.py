"""How long items wait, run and take in all, and what they ended with."""

from datetime import UTC, datetime

import pytest

from worker.openiap.workitem import Workitem
from worker.settings import BUCKETS, SettingsError, load
from worker.telemetry.counts import MOST_ERRORS, OTHER, Counts
from worker.telemetry.histograms import Histogram, ItemTimes, times_of

PUSHED = 1_700_000_000
ID = f"{PUSHED:08x}{'0' * 16}"


def times(workitem: Workitem, **known) -> ItemTimes:
    defaults = {
        "popped_at": datetime.fromtimestamp(PUSHED + 99.0, UTC),
        "since": 2.0,
        "ran": 1.5,
        "due": None,
        "for_good": True,
    }
    return times_of(workitem, **{**defaults, **known})


def popped(seconds: float, *, retries: int = 0, id: str = ID) -> Workitem:
    at = datetime.fromtimestamp(PUSHED + seconds, UTC)
    return Workitem(id=id, lastrun=at, retries=retries)


def test_an_item_waits_from_its_push_to_its_pop_by_the_servers_clock() -> None:
    assert times(popped(5.0)) == ItemTimes(5.0, 1.5, 7.0)


def test_an_item_that_was_to_be_done_later_waits_from_then() -> None:
    assert times(popped(65.0), due=PUSHED + 60.0) == ItemTimes(5.0, 1.5, 67.0)


def test_a_time_that_was_over_at_the_push_makes_no_longer_wait() -> None:
    assert times(popped(5.0), due=PUSHED - 900.0).wait == 5.0


def test_a_retry_has_no_wait_and_only_the_last_attempt_has_a_total() -> None:
    assert times(popped(60.0, retries=1)) == ItemTimes(None, 1.5, 62.0)
    assert times(popped(5.0), for_good=False) == ItemTimes(5.0, 1.5, None)


def test_without_the_servers_word_this_machines_clock_is_taken() -> None:
    assert times(Workitem(id=ID)).wait == 99.0


def test_clocks_that_differ_make_no_wait_below_nothing() -> None:
    assert times(popped(-3.0)) == ItemTimes(0.0, 1.5, 0.0)


@pytest.mark.parametrize("id", ["", "here", "z" * 24])
def test_an_id_of_another_kind_tells_no_times(id: str) -> None:
    assert times(popped(5.0, id=id)) == ItemTimes(None, 1.5, None)


def test_a_value_on_a_bound_is_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.5):
        histogram.observe(value)
    assert histogram.seen().counts == (2, 1, 1)
    assert histogram.seen().sum == 5.5


def test_errors_are_told_apart_until_there_are_too_many() -> None:
    counts = Counts()
    for number in range(MOST_ERRORS + 5):
        counts.finished("q", "application", "applied", 0.1, error=f"Error{number}")
    counts.finished("q", "failed", "applied", 0.1, error="Error0")
    counts.finished("q", "failed", "fenced", 0.1, error="Error0")
    counts.finished("q", "successful", "applied", 0.1)
    errors = counts.snapshot()["q"].errors
    assert len(errors) == MOST_ERRORS + 1
    assert (errors["Error0"], errors[OTHER]) == (2, 5)


def test_what_was_handed_back_is_in_no_histogram() -> None:
    counts = Counts()
    counts.finished("q", "released", "applied", 0.1, times=ItemTimes(1.0, 1.0, 1.0))
    counts.finished("q", "successful", "gone", 0.1, times=ItemTimes(1.0, 1.0, 1.0))
    assert all(sum(one.counts) == 0 for one in counts.snapshot()["q"].histograms.values())


def test_buckets_can_be_set() -> None:
    given = {"OPENIAP_WORKER_HISTOGRAM_BUCKETS": "100ms, 1s, 5m"}
    assert load(environment=given).settings.histogram_buckets == (0.1, 1.0, 300.0)
    assert load(environment={}).settings.histogram_buckets == BUCKETS


@pytest.mark.parametrize("given", [[1, 1], [2, 1], [0, 1], ["soon"], list(range(1, 60))])
def test_buckets_that_do_not_rise_are_refused(given: list[object]) -> None:
    with pytest.raises(SettingsError, match="histogram_buckets"):
        load({"histogram_buckets": given}, environment={})
