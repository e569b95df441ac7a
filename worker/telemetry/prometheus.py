"""``/metrics``: the counts in Prometheus' text form, read when asked; nothing is paid per item.

Whoever takes OpenMetrics gets that, with traces as exemplars.
"""

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from worker.telemetry.counts import Counts, QueueCounts
from worker.telemetry.histograms import BOUNDS, SPANS, Span
from worker.telemetry.metrics import (
    ERRORS,
    ERRORS_HELP,
    LATENCY,
    LATENCY_HELP,
    PREFIX,
    QUEUE_METRICS,
    SECONDS_HELP,
    WORKER_METRICS,
    seconds_name,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text"
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

    def render_for(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the page for a reader.

        Args:
            accept: what it takes, as the header of HTTP says.
        """
        if OPENMETRICS not in accept:
            return CONTENT_TYPE, self.render()
        made: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest
        return openmetrics.CONTENT_TYPE_LATEST, made(self._registry)


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
        for span in SPANS:
            yield _seconds(span, snapshot)
        errors = CounterMetricFamily(ERRORS, ERRORS_HELP, labels=(*LABELS, "error"))
        for queue in snapshot:
            for error, count in queue.errors.items():
                errors.add_metric((*_labels(queue), error), float(count))
        yield errors
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


def _seconds(span: Span, snapshot: list[QueueCounts]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(seconds_name(span), SECONDS_HELP[span], labels=LABELS)
    for queue in snapshot:
        seen = queue.histograms[span]
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        total = 0
        for bucket, bound in enumerate((*map(str, seen.bounds), "+Inf")):
            total += seen.counts[bucket]
            example = seen.exemplars.get(bucket)
            if example is None:
                buckets.append((bound, float(total)))
                continue
            shown = Exemplar({"trace_id": example.trace_id}, example.seconds, example.at)
            buckets.append((bound, float(total), shown))
        family.add_metric(_labels(queue), buckets, seen.sum)
    return family


def _labels(queue: QueueCounts) -> tuple[str, str]:
    return (queue.queue, queue.handler)
