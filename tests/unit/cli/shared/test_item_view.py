"""How an item is shown."""

from datetime import UTC, datetime
from typing import Any

import pytest

from worker.cli.shared.item_view import summary
from worker.engine.delivery.release import handed_back
from worker.item.outcome import Waits


@pytest.mark.parametrize(
    ("state", "retries", "begun"),
    [("new", 0, 0), ("new", 2, 2), ("processing", 0, 1), ("successful", 1, 2), ("failed", 2, 3)],
)
def test_attempts_are_counted_from_the_first(state: str, retries: int, begun: int) -> None:
    shown = summary({"_id": "1", "state": state, "retries": retries})
    assert (shown["attempts"], shown["retries"]) == (begun, retries)


WAITING = Waits("waits for its turn: key Ada", datetime(2026, 11, 25, 12, 0, tzinfo=UTC))
PARKED: dict[str, Any] = handed_back({"_id": "1", "retries": 0}, WAITING)


def test_a_parked_item_says_why_it_waits() -> None:
    assert summary(PARKED)["waits"] == "waits for its turn: key Ada"


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
    assert summary({**PARKED, **change})["waits"] is None
