"""The gauges arrive at an OpenTelemetry collector, sent by the real official library."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)

from worker.localserver import LocalServer, ServerOptions
from worker.telemetry.metrics import QUEUE_METRICS

# The library exports every 10 s.
DEADLINE = 100.0


class Collector(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps the last value of every gauge, and how it was typed."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.types: dict[str, set[str]] = {}
        self.changed = asyncio.Condition()

    async def Export(
        self, request: metrics_service_pb2.ExportMetricsServiceRequest, context: object
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        async with self.changed:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        for point in metric.gauge.data_points:
                            kind = str(point.WhichOneof("value"))
                            self.values[metric.name] = getattr(point, kind)
                            self.types.setdefault(metric.name, set()).add(kind)
            self.changed.notify_all()
        return metrics_service_pb2.ExportMetricsServiceResponse()

    async def wait_for(self, *names: str) -> None:
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(lambda: all(name in self.values for name in names))


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    kept = Collector()
    server = grpc.aio.server()
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield kept, f"http://127.0.0.1:{port}"
    await server.stop(0.1)


@pytest.mark.dear  # it waits for the library's export, each 10 s
async def test_the_official_library_delivers_every_gauge(
    collector: tuple[Collector, str],
) -> None:
    kept, url = collector
    options = ServerOptions(users={"tester": "secret"}, otel_metric_url=url)
    async with LocalServer(options) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("publisher.py")),
            server.ws_url,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
        )
        try:
            await kept.wait_for(
                *(f"openiap_worker_plain_{metric.name}" for metric in QUEUE_METRICS),
                *(f"openiap_worker_{metric.name}" for metric in QUEUE_METRICS),
                "openiap_worker_outbox_size",
                "openiap_worker_effective_rate",
            )
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 60)
            except TimeoutError:
                process.kill()
                await process.wait()
    values = kept.values
    assert values["openiap_worker_plain_in_flight"] == 1
    assert values["openiap_worker_plain_successful"] == 1
    assert values["openiap_worker_plain_failed"] == 1
    assert values["openiap_worker_plain_retried"] == 1
    assert values["openiap_worker_plain_fenced"] == 1
    assert values["openiap_worker_plain_items_per_second"] > 0
    assert values["openiap_worker_plain_idle_seconds"] >= 0
    assert values["openiap_worker_in_flight"] == 3
    assert values["openiap_worker_successful"] == 3
    assert values["openiap_worker_outbox_size"] == 7
    assert values["openiap_worker_effective_rate"] == 24.5
    # Two queues that come down to one name have a gauge each.
    both = [name for name in values if name.startswith("openiap_worker_rechnungen_neu")]
    assert len(both) == 2 * len(QUEUE_METRICS)
    assert all(len(kinds) == 1 for kinds in kept.types.values())
