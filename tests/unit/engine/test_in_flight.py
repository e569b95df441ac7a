"""Items in flight, and how long they take."""

import pytest

from worker.engine.in_flight import DurationEstimate


def test_how_long_a_handler_takes_is_said_only_when_it_is_known() -> None:
    durations = DurationEstimate()
    assert durations.remaining(0) is None
    for _ in range(10):
        durations.add(10.0)
    assert durations.remaining(2) == pytest.approx(8.0)
    assert durations.remaining(11) is None
