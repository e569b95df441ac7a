"""Log lines, gauges and the small conveniences of the documented API: nothing to the server."""

import asyncio
from typing import Any, TextIO
from uuid import uuid4

from worker.openiap.native.gauges import Gauges, Kind
from worker.openiap.native.journal import Journal
from worker.openiap.native.otlp import MISSING, GaugeExport, LogExport, Origin
from worker.openiap.types import ConnectionOptions
from worker.openiap.values import format_bytes, json_text
from worker.openiap.workitem import JsonObject


class Telemetry:
    """See ``worker.openiap.client.Client`` for each.

    Args:
        output: where log lines go; None for stderr.
    """

    def __init__(self, options: ConnectionOptions, output: TextIO | None) -> None:
        self._telemetry_options = options
        self._journal = Journal(output)
        self._gauges = Gauges()
        self._gauge_export: GaugeExport | None = None
        self._log_export: LogExport | None = None

    def uniqeid(self) -> str:
        """Return a fresh id."""
        return uuid4().hex

    def format_bytes(self, bytes: int, decimals: int = 2) -> str:
        """Return a size for people: ``format_bytes(1536)`` is "1.5 KB"."""
        return format_bytes(bytes, decimals)

    def stringify(self, value: Any) -> str:
        """Return JSON text; dates as ISO, models as their JSON."""
        return json_text(value)

    def set_f64_observable_gauge(self, name: str, value: float, description: str) -> None:
        """Set a gauge; a name's type is fixed by its first setter."""
        self._set("f64", name, value, description)

    def set_u64_observable_gauge(self, name: str, value: int, description: str) -> None:
        """Set a gauge of non-negative integers."""
        self._set("u64", name, value, description)

    def set_i64_observable_gauge(self, name: str, value: int, description: str) -> None:
        """Set a gauge of integers."""
        self._set("i64", name, value, description)

    def disable_observable_gauge(self, name: str) -> None:
        """Stop reporting a gauge."""
        self._gauges.disable(name)

    def _set(self, kind: Kind, name: str, value: float, description: str) -> None:
        problem = self._gauges.set(kind, name, value, description)
        if problem:
            self.error(problem)

    def enable_tracing(self, rust_log: str = "", tracing: str = "") -> None:
        """Let log lines through: a level ("info") or the Rust library's filter expression."""
        self._journal.enable(rust_log)

    def disable_tracing(self) -> None:
        """Stop log lines."""
        self._journal.disable()

    def info(self, *args: object) -> None:
        """Log at level info."""
        self._journal.write("info", args)

    def warn(self, *args: object) -> None:
        """Log at level warn."""
        self._journal.write("warn", args)

    def error(self, *args: object) -> None:
        """Log at level error."""
        self._journal.write("error", args)

    def verbose(self, *args: object) -> None:
        """Log at level verbose, between info and debug."""
        self._journal.write("verbose", args)

    def debug(self, *args: object) -> None:
        """Log at level debug."""
        self._journal.write("debug", args)

    def trace(self, *args: object) -> None:
        """Log at level trace."""
        self._journal.write("trace", args)

    def _start_export(self, config: JsonObject) -> None:
        """Export to the collectors that the server names, else to those of the options."""
        options = self._telemetry_options
        origin = Origin(options.agent, options.version)
        # A server that switches analytics off still lets the user's own collector have them.
        told = config if config.get("enable_analytics") is not False else {}
        metric_url = str(told.get("otel_metric_url") or options.metric_url)
        log_url = str(told.get("otel_log_url") or options.log_url)
        try:
            if metric_url and self._gauge_export is None:
                self._gauge_export = GaugeExport(metric_url, self._gauges, origin)
            if log_url and self._log_export is None:
                self._log_export = LogExport(log_url, origin)
                self._journal.export = self._log_export.write
        except ImportError:
            self.error(MISSING.format(url=metric_url or log_url))

    async def _stop_export(self) -> None:
        self._journal.export = None
        exports = (self._gauge_export, self._log_export)
        self._gauge_export = self._log_export = None
        for export in exports:
            if export is not None:
                await asyncio.to_thread(export.close)
