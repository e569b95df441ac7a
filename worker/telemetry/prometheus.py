"""``/metrics``: the counts in Prometheus' text form, read when asked; nothing is paid per item."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from worker.telemetry.counts import BOUNDS, Counts, QueueCounts
from worker.telemetry.metrics import (
    LATENCY,
    LATENCY_HELP,
    PREFIX,
    QUEUE_METRICS,
    WORKER_METRICS,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LABELS: Final = ("queue", "handler")


class MetricsPage:
    """Renders ``/metrics`` from a registry of its own, not the process's global one.

    Args:
        facts: what ``openiap_worker_info`` tells: the worker's id and version.
    """

    def __init__(self, counts: Counts, *, facts: dict[str, str] | None = None) -> None:
        self.facts: Final = dict(facts or {})
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_CountsCollector(counts, self.facts))
        # Memory, CPU time and open files of this process (on Linux).
        ProcessCollector(registry=self._registry)

    def add(self, collector: Collector) -> None:
        """Show more numbers; ``collector`` is asked in the listener's threads."""
        self._registry.register(collector)

    def render(self) -> bytes:
        """Return the page."""
        return generate_latest(self._registry)


class _CountsCollector(Collector):
    def __init__(self, counts: Counts, facts: dict[str, str]) -> None:
        self._counts = counts
        self._facts = facts

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        snapshot = list(self._counts.snapshot().values())
        for metric in QUEUE_METRICS:
            family = _family(f"{PREFIX}_{metric.name}", metric.kind, metric.help, LABELS)
            for queue in snapshot:
                family.add_metric(_labels(queue), metric.read(queue))
            yield family
        read = self._counts.worker()
        for worker_metric in WORKER_METRICS:
            value = read.get(worker_metric.name)
            if value is not None:
                name = f"{PREFIX}_{worker_metric.name}"
                family = _family(name, worker_metric.kind, worker_metric.help, ())
                family.add_metric((), value)
                yield family
        yield _latency(snapshot)
        info = InfoMetricFamily(PREFIX, "This worker")
        info.add_metric((), self._facts)
        yield info


def _family(
    name: str, kind: str, help: str, labels: tuple[str, ...]
) -> CounterMetricFamily | GaugeMetricFamily:
    make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    return make(name, help, labels=labels)


def _latency(snapshot: list[QueueCounts]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(LATENCY, LATENCY_HELP, labels=LABELS)
    for queue in snapshot:
        buckets, seen = [], 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), queue.latency, strict=True):
            seen += count
            buckets.append((bound, float(seen)))
        family.add_metric(_labels(queue), buckets, queue.latency_sum)
    return family


def _labels(queue: QueueCounts) -> tuple[str, str]:
    return (queue.queue, queue.handler)
