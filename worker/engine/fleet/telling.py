"""Which items in flight are worth a heartbeat of their own, and when; pure.

What nobody was told of when a machine dies with its disk waits for ``unclaimed_after``. Telling of
each item would cost a message for each; so what runs for long is told of, and where that is
rare, what has run for a moment.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from worker.engine.fleet.presence import Claim
from worker.item.attempt_id import AttemptId, attempt_id

LONG_RUNNING: Final = 2.0
"""Seconds after which an item in flight is worth a heartbeat of its own."""
WORTH_IT: Final = 0.5
"""So many do where no heartbeat came early within ``SPACING``."""
SPACING: Final = 5.0

Run = tuple[AttemptId, datetime | None]
"""An attempt, and when it was popped: one that was handed back is popped again under its id."""


def runs_of(claims: Iterable[Claim]) -> frozenset[Run]:
    """Return what a heartbeat with these claims tells of."""
    return frozenset(map(_run, claims))


def long_running(claims: Iterable[Claim], now: float) -> frozenset[AttemptId]:
    """Return those that run for long.

    Args:
        now: by ``uptime``.
    """
    return frozenset(
        attempt_id(claim.workitem) for claim in claims if now - claim.popped >= LONG_RUNNING
    )


def worth_telling(
    claims: Iterable[Claim], now: float, early: float
) -> tuple[frozenset[Run], float | None]:
    """Return what is worth a heartbeat, and in how many seconds the next one is; None for never.

    Args:
        now: by ``uptime``.
        early: when a heartbeat last came early, for an item that was worth it.
    """
    spared = early + SPACING - now
    found, next_in = set(), None
    for claim in claims:
        ran = now - claim.popped
        left = min(LONG_RUNNING - ran, max(WORTH_IT - ran, spared))
        if left <= 0:
            found.add(_run(claim))
        elif next_in is None or left < next_in:
            next_in = left
    return frozenset(found), next_in


def _run(claim: Claim) -> Run:
    return (attempt_id(claim.workitem), claim.workitem.lastrun)
