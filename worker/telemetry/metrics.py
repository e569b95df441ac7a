"""The one table of the worker's metrics: names, kinds, meanings, and where each is read.

``/metrics`` shows them as ``openiap_worker_<name>`` (counters with ``_total``) with the labels
``queue`` and ``handler``; OpenIAP's gauges, which have no labels, as
``openiap_worker_<queue>_<name>`` for a queue and ``openiap_worker_<name>`` for the worker.
Dashboards and alerts are tested against this table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from worker.telemetry.counts import QueueCounts, WorkerNumber
from worker.telemetry.histograms import Span

PREFIX: Final = "openiap_worker"
NOT_READY: Final = f"{PREFIX}_not_ready"
NOT_READY_HELP: Final = "1 for each reason why the worker is not ready; /readyz says it in words"
BREAKER: Final = f"{PREFIX}_breaker_open"
BREAKER_HELP: Final = "1 while the breaker is open for the queue, or lets one item through, else 0"
LATENCY: Final = f"{PREFIX}_item_seconds"
LATENCY_HELP: Final = "Seconds from an item's pop until the server had its outcome"
SECONDS_HELP: Final[Mapping[Span, str]] = {
    "wait": "Seconds from when an item was due to its first pop; its push is known to the second",
    "run": "Seconds that an item was in its handler",
    "total": "Seconds from an item's push to its end for good, all attempts included",
}
ERRORS: Final = f"{PREFIX}_errors"
ERRORS_HELP: Final = "Attempts that ended with an error, by its code, else its class"

MetricType = Literal["counter", "gauge"]
Number = Literal["f64", "u64"]


@dataclass(frozen=True, slots=True)
class QueueMetric:
    """A number that every queue has, and the worker as their sum (``idle_seconds``: the least).

    ``number`` is the type of OpenIAP's gauge, which stays what it is for ever.
    """

    name: str
    kind: MetricType
    number: Number
    help: str
    read: Callable[[QueueCounts], float]


@dataclass(frozen=True, slots=True)
class WorkerMetric:
    """A number that only the whole worker has; ``name`` is the number's in ``Counts``, too."""

    name: WorkerNumber
    kind: MetricType
    number: Number
    help: str


QUEUE_METRICS: Final[tuple[QueueMetric, ...]] = (
    QueueMetric(
        "items_per_second",
        "gauge",
        "f64",
        "Items finished per second over the last 60 s",
        lambda q: q.items_per_second,
    ),
    QueueMetric("in_flight", "gauge", "u64", "Items in flight now", lambda q: q.in_flight),
    QueueMetric(
        "idle_seconds",
        "gauge",
        "f64",
        "Seconds since the last item was popped or finished",
        lambda q: q.idle_seconds,
    ),
    QueueMetric("popped", "counter", "u64", "Items popped", lambda q: q.popped),
    QueueMetric("successful", "counter", "u64", "Attempts that succeeded", lambda q: q.successful),
    QueueMetric(
        "failed",
        "counter",
        "u64",
        "Attempts that ended for good: business errors and errors that are never retried",
        lambda q: q.failed,
    ),
    QueueMetric(
        "retried",
        "counter",
        "u64",
        "Attempts that ended in an application error (the queue's maxretries decides what then)",
        lambda q: q.retried,
    ),
    QueueMetric(
        "released", "counter", "u64", "Items handed back without an attempt", lambda q: q.released
    ),
    QueueMetric(
        "parked",
        "counter",
        "u64",
        "Items put back to wait for their key, for a rate or asleep",
        lambda q: q.parked,
    ),
    QueueMetric(
        "fenced",
        "counter",
        "u64",
        "Late outcomes refused because the item had a new owner",
        lambda q: q.fenced,
    ),
    QueueMetric(
        "gone", "counter", "u64", "Outcomes of items that were deleted meanwhile", lambda q: q.gone
    ),
    QueueMetric(
        "refused",
        "counter",
        "u64",
        "Outcomes that the server refused for good",
        lambda q: q.refused,
    ),
    QueueMetric(
        "rescued", "counter", "u64", "Orphans taken over from dead workers", lambda q: q.rescued
    ),
    QueueMetric(
        "unpushed",
        "counter",
        "u64",
        "Follow-up items that the server refused for good; they are kept as evidence",
        lambda q: q.unpushed,
    ),
    QueueMetric(
        "lost_pops",
        "counter",
        "u64",
        "Pops without an answer, each perhaps an item in processing with nobody",
        lambda q: q.lost_pops,
    ),
)

WORKER_METRICS: Final[tuple[WorkerMetric, ...]] = (
    WorkerMetric("connected", "gauge", "u64", "1 while signed in to OpenIAP, else 0"),
    WorkerMetric("ready", "gauge", "u64", "1 while all that items need is there, else 0"),
    WorkerMetric(
        "effective_rate", "gauge", "f64", "Messages per second that the limiters admit; 0: no limit"
    ),
    WorkerMetric("outbox_size", "gauge", "u64", "Items in the outbox that are not settled"),
    WorkerMetric("outbox_healthy", "gauge", "u64", "1 while the disk takes the outbox, else 0"),
    WorkerMetric("lost_threads", "gauge", "u64", "Threads of handlers that cannot be stopped"),
    WorkerMetric(
        "short_queues",
        "gauge",
        "u64",
        "Queues that are not popped, since the machine lacks room, a thread or a process for them",
    ),
    WorkerMetric("paused_queues", "gauge", "u64", "Queues that are paused, and not popped"),
    WorkerMetric("rate_limited", "counter", "u64", "Messages that the server's rate limit refused"),
    WorkerMetric(
        "loop_silent_seconds",
        "gauge",
        "f64",
        "Seconds that the loop has owed an answer; more than a few: a handler blocks it",
    ),
    WorkerMetric(
        "misfits",
        "counter",
        "u64",
        "Documents and rows that do not fit (others wrote them) and were passed over",
    ),
    WorkerMetric(
        "missed_ticks",
        "counter",
        "u64",
        "Ticks of schedules that nobody did in time, or whose payload could not be made",
    ),
    WorkerMetric(
        "schedule_late_seconds",
        "gauge",
        "f64",
        "Seconds for which the longest waiting tick of a schedule has been due; 0 without one",
    ),
)


def prometheus_name(metric: QueueMetric | WorkerMetric) -> str:
    """Return a metric's name on ``/metrics``."""
    tail = "_total" if metric.kind == "counter" else ""
    return f"{PREFIX}_{metric.name}{tail}"


def seconds_name(span: Span) -> str:
    """Return the name of a histogram of items' times."""
    return f"{PREFIX}_item_{span}_seconds"


def prometheus_names() -> tuple[str, ...]:
    """Return every name of the worker's own on ``/metrics``, as queries use them."""
    histograms = (LATENCY, *map(seconds_name, SECONDS_HELP))
    own = map(prometheus_name, QUEUE_METRICS)
    all_of_it = map(prometheus_name, WORKER_METRICS)
    return (
        *own,
        *all_of_it,
        f"{PREFIX}_info",
        f"{ERRORS}_total",
        *(f"{name}_{tail}" for name in histograms for tail in ("bucket", "count", "sum")),
    )
