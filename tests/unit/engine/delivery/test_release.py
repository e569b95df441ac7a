"""What is written when an item goes back to new without an attempt."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.engine.delivery.release import handed_back, parking
from worker.item.outcome import WAITS, Waits

UNTIL = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
WAITING = Waits("waits for its turn: key Ada", UNTIL)
DOCUMENT = {
    "_id": "1",
    "state": "processing",
    "retries": 2,
    "payload": {"a": 1},
    "userid": "u",
    "username": "tester",
    "openiap_worker_closing": {"by": "w"},
    WAITS: {"why": "earlier"},
}


def test_an_item_is_handed_back_as_it_was_and_due() -> None:
    back = handed_back(DOCUMENT, None)
    assert back.pop("nextrun") < datetime.now(UTC).isoformat()
    assert back == {"_id": "1", "state": "new", "retries": 2, "payload": {"a": 1}}


def test_a_parked_item_says_why_and_until_when() -> None:
    back = handed_back(DOCUMENT, WAITING)
    assert back["nextrun"] == "2026-11-25T12:00:00.000Z"
    assert back[WAITS] == {
        "why": "waits for its turn: key Ada",
        "until": "2026-11-25T12:00:00.000Z",
    }
    assert (back["state"], back["retries"], "username" in back) == ("new", 2, False)


def test_parking_by_a_conditional_write_comes_to_the_same() -> None:
    change = parking(WAITING)
    changed = {k: v for k, v in {**DOCUMENT, **change["$set"]}.items() if k not in change["$unset"]}
    assert changed == handed_back(DOCUMENT, WAITING)


def test_a_reason_is_shown_at_a_bounded_length() -> None:
    assert len(Waits("w" * 5000, UNTIL).document()["why"]) == 200


POPPED = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)
"""By the server's clock."""


@pytest.mark.parametrize(
    ("lastrun", "now", "due"),
    [
        ("2026-11-25T11:00:00.000Z", None, "2026-11-25T10:59:59.000Z"),
        ("2026-11-25T11:00:00.000Z", POPPED + timedelta(hours=1), "2026-11-25T10:59:59.000Z"),
        ("2026-11-25T11:00:00.000Z", POPPED - timedelta(hours=1), "2026-11-25T09:59:59.000Z"),
        (None, POPPED, "2026-11-25T10:59:59.000Z"),
        ("0001-01-01T00:00:00+14:00", None, "1999-12-31T23:59:59.000Z"),
    ],
    ids=["as popped", "later", "server's clock set back", "pop unknown", "nothing known"],
)
def test_what_is_handed_back_is_due_by_the_servers_clock_whatever_this_machines_says(
    lastrun: str | None, now: datetime | None, due: str
) -> None:
    assert handed_back({**DOCUMENT, "lastrun": lastrun}, None, now)["nextrun"] == due
