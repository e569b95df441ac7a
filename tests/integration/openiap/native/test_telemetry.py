"""Gauges and log lines reach a collector over OTLP, and say when they cannot."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)

from tests.integration.openiap.native.conftest import DEADLINE, PASSWORD, USER, Clients
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.native import otlp


@dataclass
class Collector(
    metrics_service_pb2_grpc.MetricsServiceServicer, logs_service_pb2_grpc.LogsServiceServicer
):
    """Keeps what it is sent."""

    url: str = ""
    gauges: dict[str, Any] = field(default_factory=dict)
    lines: list[tuple[str, str]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def Export(self, request: Any, context: object) -> Any:
        async with self.changed:
            if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
                for resource in request.resource_metrics:
                    for scope in resource.scope_metrics:
                        for metric in scope.metrics:
                            for point in metric.gauge.data_points:
                                self.gauges[metric.name] = point
                self.changed.notify_all()
                return metrics_service_pb2.ExportMetricsServiceResponse()
            for logs in request.resource_logs:
                for scope in logs.scope_logs:
                    for record in scope.log_records:
                        self.lines.append((record.severity_text, record.body.string_value))
            self.changed.notify_all()
            return logs_service_pb2.ExportLogsServiceResponse()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the last export all the time that it needs: what counts is what it sends."""
    monkeypatch.setattr(otlp, "_FLUSH", 60_000)


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    kept = Collector()
    server = grpc.aio.server()
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(kept, server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    kept.url = f"http://127.0.0.1:{port}"
    yield kept
    await server.stop(0.1)


async def test_gauges_reach_the_collector_that_the_server_names(
    clients: Clients, collector: Collector
) -> None:
    options = ServerOptions(users={USER: PASSWORD}, otel_metric_url=collector.url)
    async with LocalServer(options) as server:
        client = clients.make(server.ws_url, agent="a-worker", version="1.2").client
        client.set_u64_observable_gauge("before_connect", 7, "set early")
        await client.connect(timeout=DEADLINE)
        client.set_f64_observable_gauge("rate", 1.5, "items per second")
        client.set_i64_observable_gauge("drift", -3, "seconds")
        client.set_u64_observable_gauge("depth", 4, "items")
        client.set_u64_observable_gauge("depth", 5, "items")
        client.set_u64_observable_gauge("gone", 1, "items")
        client.disable_observable_gauge("gone")
        async with asyncio.timeout(DEADLINE):
            # Closing sends the last values.
            await client.disconnect()
    found = collector.gauges
    assert found["rate"].as_double == 1.5
    assert found["drift"].as_int == -3
    assert found["depth"].as_int == 5
    assert found["before_connect"].as_int == 7
    assert "gone" not in found
    attributes = {one.key: one.value.string_value for one in found["depth"].attributes}
    assert attributes["metric_name"] == "depth"
    assert attributes["agent.name"] == "a-worker"
    assert attributes["agent.version"] == "1.2"
    assert attributes["hostname"]
    assert attributes["PID"]


async def test_gauges_reach_the_collector_of_the_options(
    clients: Clients, server: LocalServer, collector: Collector
) -> None:
    client = (await clients.connected(server.ws_url, metric_url=collector.url)).client
    client.set_i64_observable_gauge("x", 1, "")
    await client.disconnect()
    assert collector.gauges["x"].as_int == 1


async def test_log_lines_reach_the_collector(
    clients: Clients,
    server: LocalServer,
    collector: Collector,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = (await clients.connected(server.ws_url, log_url=collector.url)).client
    client.enable_tracing("info")
    client.info("an item", 7)
    client.debug("not this")
    client.error("broken")
    async with asyncio.timeout(DEADLINE):
        await client.disconnect()
    assert collector.lines == [("INFO", "an item 7"), ("ERROR", "broken")]
    assert "an item 7" in capsys.readouterr().err


async def test_without_a_url_nothing_is_exported_and_nothing_is_said(
    clients: Clients, server: LocalServer, capsys: pytest.CaptureFixture[str]
) -> None:
    client = (await clients.connected(server.ws_url)).client
    client.set_i64_observable_gauge("x", 1, "")
    await client.disconnect()
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == ""


async def test_a_missing_sdk_is_said_once_and_clearly(
    clients: Clients,
    server: LocalServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    client = (await clients.connected(server.ws_url, metric_url="http://127.0.0.1:1")).client
    client.set_i64_observable_gauge("x", 1, "")
    await client.probe()
    said = capsys.readouterr().err
    assert said.count("openiap-worker[otel]") == 1


async def test_a_callback_that_raises_is_logged_and_harms_nobody(
    clients: Clients, server: LocalServer, capsys: pytest.CaptureFixture[str]
) -> None:
    client = (await clients.connected(server.ws_url)).client
    got: asyncio.Queue[object] = asyncio.Queue()

    async def broken(event: object) -> None:
        got.put_nowait(event)
        raise RuntimeError("not today")

    await client.register_queue("q", broken)
    async with asyncio.timeout(DEADLINE):
        for n in range(2):
            await client.queue_message({"n": n}, "q")
            await got.get()
    await client.probe()
    assert "not today" in capsys.readouterr().err
