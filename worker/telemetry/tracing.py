"""Where spans go: to a collector, over OTLP, where the setting ``trace_url`` names one.

The SDK is part of the extra ``otel`` and is imported for that alone. A program that has set up
OpenTelemetry keeps its own provider, which then has one more place to send to; else the worker's is
made, for handlers' own spans as well.
"""

import asyncio
import importlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

AGENT: Final = "openiap-worker"
DELAY: Final = 1000
"""Milliseconds for which spans are gathered."""
LAST_SECONDS: Final = 3.0
"""At the end, for what waits: a collector that is away does not keep a worker from stopping."""


class Tracing:
    """Exports the spans of this process; shape: ``start``, ``stop``.

    Args:
        url: the collector; "" exports nothing.
        environment: ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` win over the worker's
            own name.
        report: told why nothing is exported.
    """

    def __init__(
        self,
        url: str,
        *,
        version: str,
        environment: Mapping[str, str],
        report: Callable[[str], object],
    ) -> None:
        self._url = url
        self._version = version
        self._environment = environment
        self._report = report
        self._processor: Any = None

    def start(self) -> None:
        """Begin to export, where there is a place for it."""
        if not self._url or self._processor is not None:
            return
        # Here and not above: it brings the native client along, which most starts do without.
        from worker.openiap.native.otlp import MISSING, is_insecure

        try:
            api = importlib.import_module("opentelemetry.trace")
            sdk = importlib.import_module("opentelemetry.sdk.trace")
            export = importlib.import_module("opentelemetry.sdk.trace.export")
            otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
        except ImportError:
            self._report(MISSING.format(url=self._url))
            return
        path = urlsplit(self._url).path if "://" in self._url else ""
        if path.strip("/"):
            self._report(
                f"trace_url {self._url}: its path is left out, since spans go by OTLP over gRPC:"
                " http://HOST:4317 with most collectors, while 4318 and /v1/traces are for HTTP"
            )
        exporter = otlp.OTLPSpanExporter(endpoint=self._url, insecure=is_insecure(self._url))
        self._processor = export.BatchSpanProcessor(exporter, schedule_delay_millis=DELAY)
        provider = api.get_tracer_provider()
        if not hasattr(provider, "add_span_processor"):
            provider = sdk.TracerProvider(resource=self._resource(), shutdown_on_exit=False)
            api.set_tracer_provider(provider)
        provider.add_span_processor(self._processor)

    async def stop(self) -> None:
        """Send what waits, and export no more; idempotent."""
        if self._processor is not None:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """The same where there is no loop; blocks for up to ``LAST_SECONDS``."""
        processor, self._processor = self._processor, None
        if processor is not None:
            # Not in this thread: it would wait for a collector that is away for longer.
            last = threading.Thread(target=processor.shutdown, name="last spans", daemon=True)
            last.start()
            last.join(LAST_SECONDS)

    def _resource(self) -> Any:
        from worker.openiap.native.otlp import Origin

        resources = importlib.import_module("opentelemetry.sdk.resources")
        named = "service.name=" in self._environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
        attributes = Origin(AGENT, self._version).resource()
        if named or self._environment.get("OTEL_SERVICE_NAME"):
            del attributes["service.name"]
        return resources.Resource.create(attributes)
