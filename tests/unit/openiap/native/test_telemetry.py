"""A server that names a collector wrongly costs telemetry, and no connection."""

import io

from worker.openiap.native.telemetry import Telemetry
from worker.openiap.types import ConnectionOptions


def test_a_collector_that_is_no_url_is_told_and_passed_over() -> None:
    output = io.StringIO()
    telemetry = Telemetry(ConnectionOptions(url="ws://localhost"), output)
    telemetry.enable_tracing("info", "")
    telemetry.start_export({"otel_metric_url": "http://[", "otel_log_url": "http://["})
    assert "no telemetry is sent: a URL that the server names is none" in output.getvalue()
