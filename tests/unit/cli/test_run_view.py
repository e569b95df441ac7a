"""The line of a run that moves says what is known."""

from worker.cli.run_view import line_of
from worker.telemetry.counts import QueueCounts


def test_how_many_wait_is_said_once_it_is_known() -> None:
    assert line_of({}, None).plain == "0 running   0 done   0 failed   0.0 items/s"
    assert line_of({}, 0).plain.startswith("0 waiting   0 running")
    assert line_of({"q": QueueCounts("q")}, 1234).plain.startswith("1,234 waiting   ")
