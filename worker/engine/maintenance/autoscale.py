"""How many workers a queue needs: numbers in, a number out. Pure.

wanted = items waiting ÷ (items per second of one worker x seconds that an item may wait), and

1. at least as many as the items that run already fill, so that nobody is stopped who is busy;
2. more, up to four times, while the oldest item waits longer than it may: then the measured
   throughput promises more than it keeps;
3. one, while nobody knows yet how fast a worker is: it will measure it.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

DEFAULT_TARGET: Final = 60.0
"""Seconds that an item may wait, unless the question says otherwise."""
MOST_PRESSURE: Final = 4.0
WEIGHT: Final = 0.5
SHORTEST_SAMPLE: Final = 0.5
"""Seconds; over less than that a rate is noise."""


@dataclass(frozen=True, slots=True)
class Load:
    """One queue as the server has it.

    Attributes:
        waiting: items that are due and not popped.
        running: items in ``processing``, whoever has them.
        oldest_waiting: seconds since the oldest waiting item became due; 0.0 without one.
        oldest_running: seconds since the longest running item was popped; 0.0 without one.
    """

    waiting: int = 0
    running: int = 0
    oldest_waiting: float = 0.0
    oldest_running: float = 0.0


def wished(load: Load, *, per_second: float | None, slots: int, target: float) -> int:
    """Return how many workers the queue needs.

    Args:
        per_second: items that one worker finishes per second; None while that is not known.
        slots: items that one worker works at once.
        target: seconds that an item may wait, above 0.
    """
    busy = ceil(load.running / max(1, slots))
    if load.waiting == 0:
        return busy
    if not per_second or per_second <= 0:
        return max(1, busy)
    pressure = min(MOST_PRESSURE, max(1.0, load.oldest_waiting / target))
    return max(1, busy, ceil(load.waiting * pressure / (per_second * target)))


@dataclass(frozen=True, slots=True)
class Sample:
    """What this worker had done at one moment, and whether there was more to do."""

    at: float
    finished: int
    waiting: int


class Throughput:
    """Learns what one worker can do, from the times in which it always had something to do."""

    def __init__(self) -> None:
        self._last: Sample | None = None
        self._measured: float | None = None

    def saw(self, sample: Sample) -> None:
        """Learn from a moment; ``at`` in seconds of a monotonic clock."""
        last = self._last
        if last is not None and sample.at - last.at < SHORTEST_SAMPLE:
            return
        self._last = sample
        done = sample.finished - last.finished if last is not None else 0
        if last is None or done <= 0 or not (last.waiting and sample.waiting):
            return
        rate = done / (sample.at - last.at)
        known = self._measured
        self._measured = rate if known is None else known + WEIGHT * (rate - known)

    def per_second(self, *, slots: int, mean_seconds: float) -> float | None:
        """Return items per second of one worker, or None when nothing is known.

        Args:
            slots: items that it works at once.
            mean_seconds: from pop to finish on average; 0.0 if none has finished. Until the worker
                was seen with its hands full, this tells what it could do at best.
        """
        if self._measured is not None:
            return self._measured
        return slots / mean_seconds if mean_seconds > 0 else None
