"""Histograms: how long the items of a queue wait, run, and take from push to end.

1. A value costs a search among the bounds and two additions; everything else is done when read.
2. Each bucket keeps the last value that had a trace: Prometheus shows it as an exemplar.
3. When an item was pushed stands in its id, to the second; when it was popped, the server says. So
   the worker's own clock has no part in a wait, and a wait is up to a second too long.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from worker.item.trace import Trace
from worker.openiap.workitem import Workitem
from worker.settings import BUCKETS

BOUNDS: Final = BUCKETS
"""Upper bounds of buckets unless the setting says others, in seconds; a last one has no bound."""

Span = Literal["wait", "run", "total"]
SPANS: Final[tuple[Span, ...]] = ("wait", "run", "total")


class Exemplar(NamedTuple):
    """A value with its trace.

    Attributes:
        at: seconds since 1970.
    """

    trace_id: str
    seconds: float
    at: float


class ItemTimes(NamedTuple):
    """What is known of the times of an item that has ended an attempt, in seconds; None: not known.

    Attributes:
        wait: from when it was due to its first pop. When a retry was due a pop does not tell.
        run: in its handler.
        total: from its push to its end for good.
    """

    wait: float | None = None
    run: float | None = None
    total: float | None = None


def times_of(
    workitem: Workitem,
    *,
    popped_at: datetime,
    since: float,
    ran: float | None,
    due: float | None,
    for_good: bool,
) -> ItemTimes:
    """Return the times of an attempt that has ended.

    Args:
        popped_at: when it was popped by this machine's clock, where the server does not say.
        since: seconds from its pop to now.
        ran: seconds in its handler.
        due: when it was due, where its push said so; both since 1970.
        for_good: whether there will be no further attempt.
    """
    pushed = _pushed_at(workitem.id)
    if pushed is None:
        return ItemTimes(run=ran)
    popped = (workitem.lastrun or popped_at).timestamp()
    began = pushed if due is None else max(pushed, due)
    return ItemTimes(
        max(0.0, popped - began) if workitem.retries == 0 else None,
        ran,
        max(0.0, popped - pushed + since) if for_good else None,
    )


def _pushed_at(item_id: str) -> float | None:
    """Return when an item was pushed, in seconds since 1970: MongoDB's ids begin with it."""
    if len(item_id) != 24:
        return None
    try:
        return float(int(item_id[:8], 16))
    except ValueError:
        return None


class Histogram:
    """Counts values by buckets.

    Attributes:
        bounds: upper ones, rising; a last bucket has none.
        counts: for each bucket.
        sum: of all values.
        exemplars: by bucket.
    """

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float] = BOUNDS) -> None:
        self.bounds: Final = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def observe(self, seconds: float, trace: Trace | None = None) -> None:
        """Count a value."""
        bucket = bisect_left(self.bounds, seconds)
        self.counts[bucket] += 1
        self.sum += seconds
        if trace is not None and trace.sampled:
            self.exemplars[bucket] = Exemplar(trace.trace_id, seconds, time.time())

    def seen(self) -> "HistogramSeen":
        """Return what was counted so far."""
        return HistogramSeen(self.bounds, tuple(self.counts), self.sum, dict(self.exemplars))


@dataclass(frozen=True, slots=True)
class HistogramSeen:
    """A histogram at one moment; see ``Histogram``."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float
    exemplars: dict[int, Exemplar]
