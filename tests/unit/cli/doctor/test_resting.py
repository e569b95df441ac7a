"""``doctor`` names what holds a queue up: a pause, an open breaker, and nothing that is over."""

from datetime import UTC, datetime, timedelta

from worker import Breaker
from worker.cli.doctor.resting import resting
from worker.engine.breakers.circuit import BREAKERS, Circuit
from worker.engine.pause import PAUSE, Pause

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_pause_holds_a_queue_up_until_it_is_over() -> None:
    pause = Pause("the bank is shut", "ada", NOW, NOW + HOUR).document()
    document = {"name": "orders", PAUSE: pause}
    assert list(resting(document, NOW)) == [
        (
            "pause",
            "orders: paused by ada until 2026-11-28 13:00:00 UTC: the bank is shut; to have it"
            " popped again: openiap-worker queues resume orders",
        )
    ]
    assert list(resting(document, NOW + HOUR)) == []


def test_breakers_that_are_not_simply_closed_are_named() -> None:
    opened = Circuit().opened(Breaker("payments"), NOW, why="nobody answers", by="w")
    forced = Circuit().force("closed", NOW, why="", by="ada")
    circuits = {"payments": opened, "mail": forced, "quiet": Circuit()}
    documents = {name: circuit.document() for name, circuit in circuits.items()}
    found = list(resting({"name": "orders", BREAKERS: documents}, NOW))
    assert [what for what, _ in found] == ["breaker", "breaker"]
    assert found[0][1].startswith(
        "orders: breaker payments is open until 2026-11-28 12:01:00 UTC: nobody answers; one item"
    )
    assert found[1][1] == (
        "orders: breaker mail is closed, by ada; to leave it to itself: openiap-worker breakers"
        " auto mail"
    )
