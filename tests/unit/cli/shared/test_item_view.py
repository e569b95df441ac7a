"""How an item is shown."""

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from worker.cli.shared.item_page import show_item
from worker.cli.shared.item_view import show_items
from worker.engine.delivery.release import handed_back
from worker.item.outcome import Waits
from worker.management.items.views import detail_of, item_of


@pytest.mark.parametrize(
    ("state", "retries", "begun"),
    [("new", 0, 0), ("new", 2, 2), ("processing", 0, 1), ("successful", 1, 2), ("failed", 2, 3)],
)
def test_attempts_are_counted_from_the_first(state: str, retries: int, begun: int) -> None:
    shown = item_of({"_id": "1", "state": state, "retries": retries})
    assert (shown.attempts, shown.retries) == (begun, retries)


WAITING = Waits("waits for its turn: key Ada", datetime(2026, 11, 25, 12, 0, tzinfo=UTC))
PARKED: dict[str, Any] = handed_back({"_id": "1", "retries": 0}, WAITING)


def test_a_parked_item_says_why_it_waits() -> None:
    assert item_of(PARKED).waits == "waits for its turn: key Ada"


@pytest.mark.parametrize(
    "change",
    [
        {"nextrun": "2026-11-25T11:00:00.000Z"},  # it was woken, or is to be retried
        {"state": "processing"},
        {"state": "successful"},
        {"openiap_worker_waits": "text"},
    ],
)
def test_an_item_that_is_not_parked_any_more_waits_for_nothing(change: dict[str, Any]) -> None:
    assert item_of({**PARKED, **change}).waits is None


def listed(*documents: dict[str, Any], utc: bool = False) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    show_items(console, [item_of(one) for one in documents], utc=utc)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_success_is_not_shown_with_the_error_of_an_earlier_attempt() -> None:
    again = {"_id": "a", "state": "successful", "wiq": "q", "errormessage": "no network"}
    broken = {"_id": "b", "state": "failed", "wiq": "q", "errormessage": "no VAT id"}
    shown = listed(again, broken)
    assert "no VAT id" in shown
    assert "no network" not in shown
    console = Console(file=io.StringIO(), width=120, color_system=None)
    show_item(console, detail_of(again, {}))
    assert isinstance(console.file, io.StringIO)
    assert "Error of an earlier attempt" in console.file.getvalue()


def test_a_name_that_nobody_gave_is_not_shown() -> None:
    assert "New work item" not in listed({"_id": "a", "name": "New work item", "state": "new"})
    assert "Invoice 12" in listed({"_id": "a", "name": "Invoice 12", "state": "new"})


def test_moments_have_a_date_and_a_zone() -> None:
    one = {"_id": "a", "state": "new", "_modified": "2026-01-02T03:04:05.678Z"}
    assert "2026-01-02 03:04:05 UTC" in listed(one, utc=True)
    assert re.search(r"2026-01-0[123] \d\d:\d\d:\d\d [+-]\d\d:\d\d", listed(one))


@pytest.mark.parametrize("odd", ["9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z", "soon", 7])
def test_an_odd_moment_stops_no_list(odd: object) -> None:
    assert "a" in listed({"_id": "a", "state": "new", "_modified": odd})
