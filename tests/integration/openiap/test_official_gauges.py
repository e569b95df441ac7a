"""Gauges leave through the official library: collected over OTLP gRPC, and never without a URL."""

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service

from tests.integration.openiap.conftest import PASSWORD, USER
from worker.localserver import LocalServer, ServerOptions

METHOD = "opentelemetry.proto.collector.metrics.v1.MetricsService"

# In a process of its own: the library sets its exporter up once per process.
PROGRAM = """
import asyncio, sys
from worker.openiap.types import ConnectionOptions
from worker.openiap.official.client import OfficialClient

async def main(url, web):
    client = OfficialClient(ConnectionOptions(
        url=url, http_url=web, username="tester", password="secret"))
    await client.connect(timeout=60)
    client.enable_tracing("openiap=error,clib=error")
    client.set_f64_observable_gauge("worker_q_ratio", 0.5, "a ratio")
    client.set_u64_observable_gauge("worker_q_count", 1, "a count")
    client.set_u64_observable_gauge("worker_q_count", 7, "a count")
    client.set_i64_observable_gauge("worker_q_difference", -3, "a difference")
    print("set", flush=True)
    sys.stdin.readline()
    await client.disconnect()

asyncio.run(main(*sys.argv[1:]))
"""


class Collector:
    """What an OTLP collector was sent, by name."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.changed = asyncio.Event()

    async def export(
        self, request: service.ExportMetricsServiceRequest, context: object
    ) -> service.ExportMetricsServiceResponse:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.gauge.data_points:
                        kind = point.WhichOneof("value")
                        self.values[metric.name] = getattr(point, kind) if kind else 0
        self.changed.set()
        return service.ExportMetricsServiceResponse()


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    found = Collector()
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        found.export,
        service.ExportMetricsServiceRequest.FromString,
        service.ExportMetricsServiceResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(METHOD, {"Export": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield found, f"http://127.0.0.1:{port}"
    await server.stop(0)


async def start(server: LocalServer) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(PROGRAM),
        server.ws_url,
        server.http_url,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert (await process.stdout.readline()).strip() == b"set"
    return process


async def finish(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(60):
        out, _ = await process.communicate(b"\n")
    assert process.returncode == 0
    return out.decode()


async def test_gauges_reach_the_collector_with_their_last_values(
    collector: tuple[Collector, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, url = collector
    last = {"worker_q_ratio": 0.5, "worker_q_count": 7, "worker_q_difference": -3}
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "300")
    async with LocalServer(ServerOptions(users={USER: PASSWORD}, otel_metric_url=url)) as server:
        process = await start(server)
        # An export may fall between two settings; the next one has what was set last.
        async with asyncio.timeout(60):
            while not last.items() <= found.values.items():
                found.changed.clear()
                await found.changed.wait()
        await finish(process)


async def test_without_a_url_no_gauge_is_set_and_no_error_is_logged(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_METRIC_URL", raising=False)
    assert await finish(await start(server)) == ""
