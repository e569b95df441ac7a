"""Gauges and log lines over OTLP, through the OpenTelemetry SDK.

The SDK is an optional part of the installation (the extra ``otel``): it is large, it is needed only
where a collector's URL is known, and so it is imported when the first one is.
"""

import importlib
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from worker.openiap.native.gauges import Gauge, Gauges

INTERVAL: Final = 10.0
"""Seconds between two exports of the gauges, as in the official library."""
_FLUSH: Final = 2000
"""Milliseconds that the last export may take when the client is closed."""
_SEVERITIES: Final = {"trace": 1, "debug": 5, "verbose": 7, "info": 9, "warn": 13, "error": 17}
MISSING: Final = (
    "a URL for telemetry is known ({url}), but the OpenTelemetry SDK is not installed: "
    "pip install 'openiap-worker[otel]'"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sends telemetry: the attributes that the official library gives (client.md, Gauges)."""

    agent: str
    version: str

    def attributes(self) -> dict[str, str]:
        """Return the attributes of a measurement."""
        return {
            "hostname": socket.gethostname(),
            "PID": str(os.getpid()),
            "agent.name": self.agent,
            "agent.version": self.version,
        }

    def resource(self) -> dict[str, str]:
        """Return the attributes of the resource."""
        return {
            "service.name": self.agent,
            "service.version": self.version,
            "agent.name": self.agent,
            "agent.version": self.version,
        }


class GaugeExport:
    """Sends gauges to a collector every ``interval`` seconds, on a thread of the SDK's.

    Raises:
        ImportError: the SDK is not installed.
    """

    def __init__(
        self, url: str, gauges: Gauges, origin: Origin, interval: float = INTERVAL
    ) -> None:
        metrics = importlib.import_module("opentelemetry.sdk.metrics")
        export = importlib.import_module("opentelemetry.sdk.metrics.export")
        exporter = importlib.import_module("opentelemetry.exporter.otlp.proto.grpc.metric_exporter")
        self._observation: Any = importlib.import_module("opentelemetry.metrics").Observation
        self._gauges = gauges
        self._attributes = origin.attributes()
        reader = export.PeriodicExportingMetricReader(
            exporter.OTLPMetricExporter(endpoint=url, insecure=is_insecure(url)),
            export_interval_millis=interval * 1000,
        )
        self._provider = metrics.MeterProvider(
            metric_readers=[reader], resource=_resource(origin), shutdown_on_exit=False
        )
        self._meter = self._provider.get_meter("openiap-worker")
        with gauges.lock:
            known = tuple(gauges.known.values())
            gauges.appeared = self._offer
        for gauge in known:
            self._offer(gauge)

    def _offer(self, gauge: Gauge) -> None:
        self._meter.create_observable_gauge(
            gauge.name, callbacks=[self._reader(gauge)], description=gauge.description
        )

    def _reader(self, gauge: Gauge) -> Callable[[Any], Iterable[Any]]:
        attributes = {**self._attributes, "metric_name": gauge.name}

        def read(_: Any) -> Iterable[Any]:
            with self._gauges.lock:
                value = gauge.value
            return [] if value is None else [self._observation(value, attributes)]

        return read

    def close(self) -> None:
        """Send the last values and end the thread; blocks for up to some seconds."""
        self._gauges.appeared = None
        self._provider.shutdown(timeout_millis=_FLUSH)


class LogExport:
    """Sends log lines to a collector in batches, on a thread of the SDK's.

    Raises:
        ImportError: the SDK is not installed.
    """

    def __init__(self, url: str, origin: Origin) -> None:
        logs = importlib.import_module("opentelemetry.sdk._logs")
        export = importlib.import_module("opentelemetry.sdk._logs.export")
        exporter = importlib.import_module("opentelemetry.exporter.otlp.proto.grpc._log_exporter")
        api = importlib.import_module("opentelemetry._logs")
        self._record: Any = api.LogRecord
        self._severity: Any = api.SeverityNumber
        self._attributes = origin.attributes()
        self._provider = logs.LoggerProvider(resource=_resource(origin), shutdown_on_exit=False)
        self._provider.add_log_record_processor(
            export.BatchLogRecordProcessor(
                exporter.OTLPLogExporter(endpoint=url, insecure=is_insecure(url)),
                schedule_delay_millis=1000,
            )
        )
        self._logger = self._provider.get_logger("openiap-worker")

    def write(self, moment: datetime, level: str, message: str) -> None:
        """Queue one line."""
        self._logger.emit(
            self._record(
                timestamp=int(moment.timestamp() * 1_000_000_000),
                severity_text=level.upper(),
                severity_number=self._severity(_SEVERITIES[level]),
                body=message,
                attributes=self._attributes,
            )
        )

    def close(self) -> None:
        """Send what is queued and end the thread; blocks for up to some seconds."""
        self._provider.force_flush(_FLUSH)
        self._provider.shutdown()


def _resource(origin: Origin) -> Any:
    resources = importlib.import_module("opentelemetry.sdk.resources")
    return resources.Resource.create(origin.resource())


def is_insecure(url: str) -> bool:
    """Whether a collector is spoken to without TLS."""
    return not url.startswith("https://")
