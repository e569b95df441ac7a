"""What a pause is, as an operator asked for it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cases import each
from worker.engine.pause import Pause
from worker.management.errors import ValidationError
from worker.management.queues.decisions import pause_of
from worker.management.queues.types import QueuePausePayload
from worker.openiap.types import User

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ADA = User(id="1", name="Ada Lovelace", username="ada", email="", roles=())


@each(
    ("asked", "until"),
    [
        ({}, None),
        ({"seconds": 90}, NOW + timedelta(seconds=90)),
        ({"until": NOW + timedelta(hours=1)}, NOW + timedelta(hours=1)),
        ({"until": datetime(2026, 5, 4, 13)}, NOW + timedelta(hours=1)),
    ],
)
def test_a_pause_ends_when_it_was_said_by_the_servers_clock(
    asked: dict[str, Any], until: datetime | None
) -> None:
    payload = QueuePausePayload(name="q", reason=" the bank is shut ", **asked)
    assert pause_of(payload, ADA, NOW) == Pause("the bank is shut", "ada", NOW, until)


@each(
    ("asked", "why"),
    [
        ({"until": NOW}, "would be over: 2026-05-04 12:00:00 UTC; it is 2026-05-04 12:00:00 UTC"),
        ({"until": datetime(2026, 5, 4, 11)}, "would be over: 2026-05-04 11:00:00 UTC"),
        ({"until": NOW + timedelta(days=1), "seconds": 5}, "give one of them"),
    ],
)
def test_a_pause_that_is_over_or_has_two_ends_is_refused(asked: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        pause_of(QueuePausePayload(name="q", **asked), None, NOW)
