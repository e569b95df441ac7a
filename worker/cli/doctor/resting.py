"""Why a queue is not popped just now, as its document says: paused, or a breaker is open. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from worker.engine.breakers.circuit import circuits_of
from worker.engine.pause import pause_of


def resting(document: Mapping[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    """Yield what holds a queue up: ``pause`` or ``breaker``, and a sentence with what to do.

    Args:
        document: the queue's.
        now: by the server's clock, as far as it is known.
    """
    name = str(document.get("name"))
    pause = pause_of(document)
    if pause is not None and pause.holds(now):
        yield (
            "pause",
            f"{name}: {pause}; to have it popped again: openiap-worker queues resume {name}",
        )
    for breaker, circuit in circuits_of(document).items():
        if circuit.forced:
            more = f"; to leave it to itself: openiap-worker breakers auto {breaker}"
        elif circuit.state != "closed":
            more = "; one item tries it by itself; to see more: openiap-worker breakers list"
        else:
            continue
        yield "breaker", f"{name}: {circuit.text(breaker)}{more}"
