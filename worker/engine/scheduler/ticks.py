"""Which ticks of a schedule are due, and the id of the item that each of them is. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.app.cron import Cron
from worker.app.schedule_options import Missed
from worker.item.new_item import chosen_id

GRACE: Final = timedelta(minutes=2)
"""A younger tick is late and not missed: so long another worker may take to step in."""
MOST: Final = 1_000
"""Missed ticks that ``missed="all"`` makes good at once; older ones are left out."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a schedule has come; UTC, the server's time.

    Attributes:
        since: when it was first declared, or declared as it is now; no tick before counts.
        last: its last tick that is done.
        resumed: when it went on after a pause; what ticked meanwhile was missed.
    """

    since: datetime
    last: datetime | None = None
    resumed: datetime | None = None

    @property
    def done(self) -> datetime:
        """Until when nothing is left to do."""
        return self.since if self.last is None else max(self.since, self.last)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be pushed now.

    Attributes:
        ticks: in order.
        missed: how many of them are missed ones.
    """

    ticks: tuple[datetime, ...]
    missed: int


def due(cron: Cron, cursor: Cursor, now: datetime, missed: Missed) -> Due:
    """Return the ticks to do.

    Args:
        now: the server's time.
        missed: what becomes of ticks that no worker did in time, or that fell into a pause: none of
            them, the last one, or all (the last ``MOST``).
    """
    border = now - GRACE
    if cursor.resumed is not None:
        border = max(border, cursor.resumed)
    done = cursor.done
    late = list(cron.ticks(max(done, border), now))
    old: list[datetime] = []
    if missed != "skip" and done < border:
        old = cron.last(done, min(border, now), 1 if missed == "last" else MOST)
    return Due((*old, *late), len(old))


def missed_by(cron: Cron, cursor: Cursor, now: datetime) -> int:
    """Return how many ticks nobody did in time, at most ``MOST``; those of a pause were not to be
    done."""
    begun = cursor.done if cursor.resumed is None else max(cursor.done, cursor.resumed)
    border = now - GRACE
    return len(cron.last(begun, border, MOST)) if begun < border else 0


def tick_id(namespace: str, queue: str, name: str, tick: datetime) -> str:
    """Return the ``_id`` of a tick's item, the same in every worker."""
    return chosen_id(f"{namespace}/{queue}/{name}/{tick.astimezone(UTC).isoformat()}", tick)
