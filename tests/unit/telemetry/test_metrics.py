"""Metrics: one table, the same on ``/metrics`` and as OpenIAP's gauges."""

import re
from typing import Any, get_args

import pytest
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from worker.item.trace import Trace
from worker.telemetry.counts import Counts, WorkerNumber
from worker.telemetry.gauges import GaugeNames, Gauges
from worker.telemetry.histograms import ItemTimes
from worker.telemetry.log import Log
from worker.telemetry.metrics import QUEUE_METRICS, WORKER_METRICS, prometheus_names
from worker.telemetry.prometheus import MetricsPage


class GaugeRecorder:
    """A client that keeps the gauges that were set."""

    def __init__(self, **config: Any) -> None:
        self.server_config = config
        self.set: dict[str, tuple[str, float]] = {}
        self.types: dict[str, set[str]] = {}

    def set_f64_observable_gauge(self, name: str, value: float, description: str) -> None:
        assert isinstance(value, float)
        assert description
        self._keep("f64", name, value)

    def set_u64_observable_gauge(self, name: str, value: int, description: str) -> None:
        assert isinstance(value, int)
        assert value >= 0
        self._keep("u64", name, value)

    def disable_observable_gauge(self, name: str) -> None:
        del self.set[name]

    def _keep(self, kind: str, name: str, value: float) -> None:
        self.set[name] = (kind, value)
        self.types.setdefault(name, set()).add(kind)


@pytest.fixture
def counts() -> Counts:
    counts = Counts()
    counts.add_queue('in"voices\n', "handlers.invoice:book")
    counts.popped('in"voices\n')
    counts.finished('in"voices\n', "successful", "applied", 0.3)
    for name in get_args(WorkerNumber):
        counts.source(name, lambda: 2.5)
    return counts


def test_the_page_shows_the_whole_table_and_nothing_else_of_the_workers(counts: Counts) -> None:
    counts.finished("payments", "failed", "applied", 0.3, error="BAD_AMOUNT")
    page = MetricsPage(counts, facts={"version": "1.0"}).render().decode()
    names = {
        sample.name
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("openiap_worker")
    }
    assert names == set(prometheus_names())


def test_samples_carry_queue_and_handler(counts: Counts) -> None:
    page = MetricsPage(counts).render().decode()
    samples = [
        sample
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name in ("openiap_worker_successful_total", "openiap_worker_item_seconds_count")
    ]
    assert len(samples) == 2
    for sample in samples:
        assert sample.labels == {"queue": 'in"voices\n', "handler": "handlers.invoice:book"}
        assert sample.value == 1


def test_the_histogram_is_cumulative(counts: Counts) -> None:
    page = MetricsPage(counts).render().decode()
    buckets = [
        (sample.labels["le"], sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "openiap_worker_item_seconds_bucket"
    ]
    values = [value for _, value in buckets]
    assert values == sorted(values)
    assert buckets[-1] == ("+Inf", 1.0)
    assert dict(buckets)["0.25"] == 0
    assert dict(buckets)["0.5"] == 1


def test_two_workers_in_one_process_do_not_meet_in_a_global_registry(counts: Counts) -> None:
    before = set(REGISTRY._names_to_collectors)
    MetricsPage(counts)
    MetricsPage(counts)
    assert set(REGISTRY._names_to_collectors) == before


def test_names_are_fit_for_both_worlds() -> None:
    for metric in (*QUEUE_METRICS, *WORKER_METRICS):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert metric.help
    assert {metric.name for metric in WORKER_METRICS} == set(get_args(WorkerNumber))
    assert len(set(prometheus_names())) == len(prometheus_names())


def test_a_queues_name_is_reduced_and_kept_apart() -> None:
    names = GaugeNames()
    plain = names.of("Invoices", "in_flight")
    assert plain == "openiap_worker_invoices_in_flight"
    other = names.of("invoices!", "in_flight")
    assert re.fullmatch(r"openiap_worker_invoices_[0-9a-f]{8}_in_flight", other)
    assert names.of("Invoices", "in_flight") == plain, "a name stays for ever"
    assert names.of("invoices!", "failed") == other.replace("in_flight", "failed")
    assert names.of("", "in_flight") == "openiap_worker_in_flight"
    assert names.of("---", "failed") == "openiap_worker_queue_failed"
    assert len(names.of("x" * 1000, "failed")) < 150


def test_gauges_keep_one_type_whatever_the_value(counts: Counts) -> None:
    client = GaugeRecorder(otel_metric_url="http://collector:4317")
    gauges = Gauges(counts, interval=10, metric_url="", log=Log())
    gauges.use(client)
    gauges.publish()
    counts.source("outbox_size", lambda: 3)
    counts.source("effective_rate", lambda: 25)
    gauges.publish()
    assert all(len(kinds) == 1 for kinds in client.types.values())
    assert client.set["openiap_worker_outbox_size"] == ("u64", 3)
    assert client.set["openiap_worker_effective_rate"] == ("f64", 25.0)
    assert client.set["openiap_worker_in_voices_successful"] == ("u64", 1)
    assert client.set["openiap_worker_successful"] == ("u64", 1)
    assert len(client.set) == 2 * len(QUEUE_METRICS) + len(WORKER_METRICS)


def test_without_a_metric_url_nothing_is_set(counts: Counts) -> None:
    client = GaugeRecorder(otel_metric_url="")
    gauges = Gauges(counts, interval=10, metric_url="", log=Log())
    gauges.publish()
    gauges.use(client)
    gauges.publish()
    assert client.set == {}
    named = Gauges(counts, interval=10, metric_url="http://collector:4317", log=Log())
    named.use(client)
    named.publish()
    assert client.set


async def test_a_client_that_raises_does_not_end_the_publishing(counts: Counts) -> None:
    import asyncio

    lines: list[str] = []
    failing = GaugeRecorder(otel_metric_url="x")
    published = asyncio.Event()

    def fail(name: str, value: float, description: str) -> None:
        raise RuntimeError("no")

    failing.set_f64_observable_gauge = fail  # type: ignore[method-assign]
    working = GaugeRecorder(otel_metric_url="x")
    keep = working._keep

    def kept(kind: str, name: str, value: float) -> None:
        keep(kind, name, value)
        published.set()

    working._keep = kept  # type: ignore[method-assign]
    log = Log(write=lambda level, line: lines.append(line))
    gauges = Gauges(counts, interval=0.01, metric_url="", log=log)
    gauges.use(failing)
    await gauges.start()
    async with asyncio.timeout(60):
        while not lines:
            await asyncio.sleep(0.01)
    gauges.use(working)
    await asyncio.wait_for(published.wait(), 60)
    await gauges.stop()
    assert len(lines) == 1
    assert working.set == {}, "a stopped worker reports no gauges"


def test_who_takes_openmetrics_gets_traces_as_exemplars() -> None:
    counts = Counts(bounds=(1.0, 10.0))
    traced = Trace(f"00-{'a' * 32}-{'b' * 16}-01")
    counts.finished("q", "successful", "applied", 3.0, times=ItemTimes(0.5, 3.0, 3.5), trace=traced)
    page = MetricsPage(counts)
    kind, plain = page.render_for("text/plain;version=0.0.4")
    assert kind.startswith("text/plain")
    assert b"trace_id" not in plain
    kind, told = page.render_for("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    samples = {
        (sample.name, sample.labels.get("le")): sample
        for family in openmetrics_families(told.decode())
        for sample in family.samples
    }
    run = samples["openiap_worker_item_run_seconds_bucket", "10.0"]
    assert (run.value, run.exemplar.labels, run.exemplar.value) == (1, {"trace_id": "a" * 32}, 3.0)
    assert samples["openiap_worker_item_wait_seconds_bucket", "1.0"].exemplar.value == 0.5
    assert samples["openiap_worker_item_total_seconds_sum", None].value == 3.5


def test_a_trace_that_nobody_keeps_is_no_exemplar() -> None:
    counts = Counts()
    traced = Trace(f"00-{'a' * 32}-{'b' * 16}-00")
    counts.finished("q", "successful", "applied", 3.0, times=ItemTimes(run=3.0), trace=traced)
    assert b"trace_id" not in MetricsPage(counts).render_for("application/openmetrics-text")[1]
