"""The queues of a worker: messages about them are hints."""

import pytest

from worker.engine.queues import is_for


@pytest.mark.parametrize(
    ("data", "meant"),
    [
        ({"wiq": "q", "wiqid": "1"}, True),
        ({"wiq": "other", "wiqid": "1"}, True),
        ({"wiq": "other", "wiqid": "2"}, False),
        ({}, True),
        ("hello", True),
        (None, True),
    ],
)
def test_a_message_is_a_hint_for_the_queue_that_it_names(data: object, meant: bool) -> None:
    assert is_for(data, "q", "1") is meant
