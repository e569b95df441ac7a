"""Log lines and gauges, and their export to the collectors that the server names."""

import asyncio
from typing import TextIO

from worker.openiap.backend import GaugeKind, LineListener, LogLevel
from worker.openiap.native.gauges import Gauges
from worker.openiap.native.log_lines import LogWriter
from worker.openiap.native.otlp import MISSING, GaugeExport, LogExport, Origin
from worker.openiap.types import ConnectionOptions
from worker.openiap.workitem import JsonObject


class Telemetry:
    """A ``TelemetryBackend``.

    Args:
        output: where log lines go; None for stderr.
    """

    def __init__(self, options: ConnectionOptions, output: TextIO | None) -> None:
        self._options = options
        self._lines = LogWriter(output)
        self._gauges = Gauges()
        self._gauge_export: GaugeExport | None = None
        self._log_export: LogExport | None = None

    def log(self, level: LogLevel, args: tuple[object, ...]) -> None:
        """Write a log line of the arguments' texts."""
        self._lines.write(level, args)

    def export(self, level: LogLevel, line: str) -> None:
        """Pass a line on to the collector alone."""
        self._lines.pass_on(level, line)

    def divert(self, listener: LineListener) -> None:
        """Have a listener take the lines, and what there is to report."""
        self._lines.listener = listener

    def report(self, text: str) -> None:
        """Log what went wrong."""
        self._lines.write("error", (text,))

    def enable_tracing(self, rust_log: str, tracing: str) -> None:
        """Let log lines through: a level, or a filter expression of the Rust library's."""
        self._lines.enable(rust_log)

    def disable_tracing(self) -> None:
        """Stop log lines."""
        self._lines.disable()

    def set_gauge(self, kind: GaugeKind, name: str, value: float, description: str) -> None:
        """Set a gauge, or say what is wrong with that."""
        problem = self._gauges.set(kind, name, value, description)
        if problem:
            self.report(problem)

    def disable_gauge(self, name: str) -> None:
        """Stop reporting a gauge."""
        self._gauges.disable(name)

    def start_export(self, config: JsonObject) -> None:
        """Export to the collectors that the server names, else to those of the options.

        Args:
            config: what ``GET /config`` answered.
        """
        options = self._options
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
                self._lines.export = self._log_export.write
        except ImportError:
            self.report(MISSING.format(url=metric_url or log_url))
        except ValueError as error:  # the server's, since settings are checked: work goes on
            self.report(f"no telemetry is sent: a URL that the server names is none: {error}")

    async def stop_export(self) -> None:
        """Send what waits, and stop."""
        self._lines.export = None
        exports = (self._gauge_export, self._log_export)
        self._gauge_export = self._log_export = None
        for export in exports:
            if export is not None:
                await asyncio.to_thread(export.close)
