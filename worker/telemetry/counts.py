"""Counts: what was done, per queue and together; a few additions per item, read when asked.

Every face of telemetry (gauges, ``/metrics``, the demo's table) reads a snapshot of this.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Final, Literal

from worker.item.outcome import Kind
from worker.item.trace import Trace
from worker.telemetry.histograms import (
    BOUNDS,
    SPANS,
    Histogram,
    HistogramSeen,
    ItemTimes,
    Span,
)
from worker.telemetry.minutes import Minutes

WINDOW: Final = 60
"""Seconds that items per second are averaged over."""

MOST_ERRORS: Final = 20
"""Kinds of errors that a queue tells apart; further ones are ``OTHER``."""
OTHER: Final = "other"
FAILURES: Final = frozenset({"business", "application", "failed"})

DeliveryResult = Literal["applied", "gone", "fenced", "refused"]
"""What the server made of an outcome: see ``worker.engine.delivery.writeback``."""
WorkerNumber = Literal[
    "effective_rate",
    "outbox_size",
    "outbox_healthy",
    "lost_threads",
    "short_queues",
    "paused_queues",
    "rate_limited",
    "loop_silent_seconds",
    "misfits",
    "connected",
    "ready",
    "missed_ticks",
    "schedule_late_seconds",
]
"""What is told of the worker as a whole; ``metrics.WORKER_METRICS`` says what each means."""


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """One queue's numbers at one moment.

    Attributes:
        handler: the name of the queue's handler, or "".
        in_flight: popped and not yet out of the worker's hands.
        successful, failed, retried, released: outcomes that the server took; ``failed`` has the
            business errors, ``retried`` the application errors, ``released`` what was handed back.
        parked: items that were put back to wait for their key, for a rate, or asleep.
        fenced: outcomes refused because the item had a new owner; ``gone``: because it was
            deleted; ``refused``: for another reason.
        unpushed: follow-up items that the server refused for good.
        lost_pops: pops without an answer; the server may have popped an item for them.
        items_per_second: finished, over the last 60 s (or since the start, if that is shorter).
        idle_seconds: since the last item was popped or finished, or since the start.
        errors: how many attempts ended with an error, by its code or class.
        histograms: of the items' times.
        latency: how many took at most each of ``BOUNDS`` seconds from pop to finish, and more.
        latency_sum: all of these together, in seconds.
    """

    queue: str
    handler: str = ""
    popped: int = 0
    in_flight: int = 0
    successful: int = 0
    failed: int = 0
    retried: int = 0
    released: int = 0
    parked: int = 0
    fenced: int = 0
    gone: int = 0
    refused: int = 0
    rescued: int = 0
    unpushed: int = 0
    lost_pops: int = 0
    items_per_second: float = 0.0
    idle_seconds: float = 0.0
    latency: tuple[int, ...] = ()
    latency_sum: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict)
    histograms: Mapping[Span, HistogramSeen] = field(default_factory=dict)

    @property
    def finished(self) -> int:
        """How many attempts ended with an outcome, whatever became of it."""
        return sum(self.latency)

    def quantile(self, part: float) -> float:
        """Estimate a quantile of the latency in seconds, linear within its bucket; 0 for none."""
        total = sum(self.latency)
        wanted, seen, low = part * total, 0, 0.0
        for count, bound in zip(self.latency, (*BOUNDS, BOUNDS[-1]), strict=False):
            if count and seen + count >= wanted:
                return low + (bound - low) * max(0.0, wanted - seen) / count
            seen, low = seen + count, bound
        return 0.0


_SUMMED: Final = frozenset(field.name for field in fields(QueueCounts)) - {
    "queue",
    "handler",
    "idle_seconds",
    "latency",
    "errors",
    "histograms",
}


@dataclass(slots=True)
class _Queue:
    began: float
    handler: str = ""
    popped: int = 0
    in_flight: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)
    parked: int = 0
    rescued: int = 0
    unpushed: int = 0
    lost_pops: int = 0
    last: float = 0.0
    latency: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    latency_sum: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    wait: Histogram = field(default_factory=Histogram)
    run: Histogram = field(default_factory=Histogram)
    total: Histogram = field(default_factory=Histogram)
    ring: list[int] = field(default_factory=lambda: [0] * WINDOW)
    stamps: list[int] = field(default_factory=lambda: [-WINDOW] * WINDOW)

    def finish(self, now: float, seconds: float) -> None:
        second = int(now)
        slot = second % WINDOW
        if self.stamps[slot] != second:
            self.stamps[slot] = second
            self.ring[slot] = 0
        self.ring[slot] += 1
        self.last = now
        self.latency[bisect_left(BOUNDS, seconds)] += 1
        self.latency_sum += seconds

    def fail(self, error: str) -> None:
        if error not in self.errors and len(self.errors) >= MOST_ERRORS:
            error = OTHER
        self.errors[error] = self.errors.get(error, 0) + 1

    def observe(self, times: ItemTimes, trace: Trace | None) -> None:
        if times.wait is not None:
            self.wait.observe(times.wait, trace)
        if times.run is not None:
            self.run.observe(times.run, trace)
        if times.total is not None:
            self.total.observe(times.total, trace)

    def per_second(self, now: float) -> float:
        oldest = int(now) - WINDOW
        done = sum(n for n, at in zip(self.ring, self.stamps, strict=True) if at > oldest)
        return done / min(WINDOW, max(1.0, now - self.began))


class Counts:
    """The worker's counters; for the loop's thread, readable from any.

    Args:
        clock: seconds, monotonic.
        bounds: of the histograms' buckets, in seconds.

    Attributes:
        minutes: the last hour.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        bounds: Sequence[float] = BOUNDS,
    ) -> None:
        self._clock = clock
        self._bounds = tuple(bounds)
        self.minutes: Final = Minutes()
        self._queues: dict[str, _Queue] = {}
        self._sources: dict[WorkerNumber, Callable[[], float]] = {}

    def add_queue(self, queue: str, handler: str = "") -> None:
        """Make a queue appear before its first item, with its handler's name."""
        self._queue(queue).handler = handler

    def source(self, name: WorkerNumber, read: Callable[[], float]) -> None:
        """Say where a number of the whole worker is read."""
        self._sources[name] = read

    def popped(self, queue: str) -> None:
        """An item came."""
        counts = self._queue(queue)
        counts.popped += 1
        counts.in_flight += 1
        counts.last = self._clock()

    def left(self, queue: str) -> None:
        """An item is out of the worker's hands, however that came."""
        counts = self._queue(queue)
        counts.in_flight = max(0, counts.in_flight - 1)

    def finished(
        self,
        queue: str,
        kind: Kind,
        result: DeliveryResult,
        seconds: float,
        *,
        error: str = "",
        times: ItemTimes | None = None,
        trace: Trace | None = None,
    ) -> None:
        """An attempt's outcome was taken or refused.

        Args:
            kind: the outcome's.
            result: what the server made of it.
            seconds: from pop to now.
            error: what kind of error it ended with.
            times: of the item, for the histograms; ``trace`` is the one that it is of.
        """
        counts = self._queue(queue)
        if result == "applied":
            counts.kinds[kind] = counts.kinds.get(kind, 0) + 1
            if kind in FAILURES:
                counts.fail(error or kind)
            if times is not None and kind != "released":
                counts.observe(times, trace)
            if times is None:
                self.minutes.count(queue, kind, None, None)
            else:
                self.minutes.count(queue, kind, times.wait, times.run)
        else:
            counts.results[result] = counts.results.get(result, 0) + 1
        counts.finish(self._clock(), seconds)

    def parked(self, queue: str) -> None:
        """An item waits for its key or for a rate; it is no finished one."""
        counts = self._queue(queue)
        counts.parked += 1
        counts.last = self._clock()

    def rescued(self, queue: str) -> None:
        """An orphan was taken over."""
        self._queue(queue).rescued += 1

    def unpushed(self, queue: str) -> None:
        """A follow-up item that an item of this queue asked for was refused for good."""
        self._queue(queue).unpushed += 1

    def lost_pop(self, queue: str) -> None:
        """A pop had no answer."""
        self._queue(queue).lost_pops += 1

    def snapshot(self) -> Mapping[str, QueueCounts]:
        """Return the numbers of every queue."""
        now = self._clock()
        return {name: _seen(name, counts, now) for name, counts in list(self._queues.items())}

    def together(self) -> QueueCounts:
        """Return the numbers of all queues together, under the name ""."""
        queues = list(self.snapshot().values())
        sums = {name: sum(getattr(q, name) for q in queues) for name in _SUMMED}
        return QueueCounts(
            queue="",
            **sums,
            idle_seconds=min((q.idle_seconds for q in queues), default=0.0),
            latency=tuple(map(sum, zip(*(q.latency for q in queues), strict=True))),
        )

    def worker(self) -> Mapping[WorkerNumber, float]:
        """Return the numbers of the whole worker, of those that have a source."""
        return {name: float(read()) for name, read in self._sources.items()}

    def _queue(self, name: str) -> _Queue:
        found = self._queues.get(name)
        if found is None:
            now = self._clock()
            wait, run, total = (Histogram(self._bounds) for _ in SPANS)
            found = _Queue(began=now, last=now, wait=wait, run=run, total=total)
            self._queues[name] = found
        return found


def _seen(name: str, counts: _Queue, now: float) -> QueueCounts:
    kinds, results = counts.kinds, counts.results
    return QueueCounts(
        queue=name,
        handler=counts.handler,
        popped=counts.popped,
        in_flight=counts.in_flight,
        successful=kinds.get("successful", 0),
        failed=kinds.get("business", 0) + kinds.get("failed", 0),
        retried=kinds.get("application", 0),
        released=kinds.get("released", 0),
        parked=counts.parked,
        fenced=results.get("fenced", 0),
        gone=results.get("gone", 0),
        refused=results.get("refused", 0),
        rescued=counts.rescued,
        unpushed=counts.unpushed,
        lost_pops=counts.lost_pops,
        items_per_second=counts.per_second(now),
        idle_seconds=max(0.0, now - counts.last),
        latency=tuple(counts.latency),
        latency_sum=counts.latency_sum,
        errors=dict(counts.errors),
        histograms={
            "wait": counts.wait.seen(),
            "run": counts.run.seen(),
            "total": counts.total.seen(),
        },
    )
