"""What is told of a change of many items."""

from datetime import UTC, datetime

import pytest

from worker.console.parts.jobs import _told
from worker.management.api.jobs import JobResponse
from worker.management.items.types import BatchResponse

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("done", "stopping", "words"),
    [
        (1, 0, "1 item was cancelled."),
        (3, 1, "3 items were cancelled, 1 of them runs and is told to end."),
        (3, 2, "3 items were cancelled, 2 of them run and are told to end."),
    ],
)
def test_of_what_is_cancelled_those_that_run_are_told_of(
    done: int, stopping: int, words: str
) -> None:
    progress = BatchResponse(done=done, stopping=stopping, before=NOW)
    job = JobResponse(id="1", what="cancel", state="done", began=NOW, progress=progress)
    assert _told(job) == words
