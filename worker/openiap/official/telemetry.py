"""Log lines and gauges through the official library's functions."""

from worker.openiap.backend import GaugeKind, LineListener, LogLevel
from worker.openiap.official.items import native_text
from worker.openiap.official.library import Library, load_library
from worker.openiap.types import ConnectionOptions


class Telemetry:
    """A ``TelemetryBackend``.

    Attributes:
        exporting: whether the library sends gauges anywhere; without a URL it would log an error
            for each one that is set.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._gauges: set[str] = set()
        self._listener: LineListener | None = None
        self.exporting = False

    def library(self) -> Library:
        """Return the library, loading it if need be."""
        return load_library(
            vendor_telemetry=self._options.vendor_telemetry, metric_url=self._options.metric_url
        )

    def log(self, level: LogLevel, args: tuple[object, ...]) -> None:
        """Write a log line of the arguments' texts."""
        line = " ".join(str(arg) for arg in args)
        if self._listener is None:
            self.export(level, line)
        else:
            self._listener(level, line)

    def export(self, level: LogLevel, line: str) -> None:
        """Hand a line to the library; verbose is debug, with nothing in between.

        It exports every line, and prints those that ``enable_tracing`` lets through.
        """
        symbol = "debug" if level == "verbose" else level
        self.library().plain(symbol, native_text(line))

    def divert(self, listener: LineListener) -> None:
        """Have a listener take the lines; the library prints none as long as nobody enables it."""
        self._listener = listener

    def report(self, text: str) -> None:
        """Log what went wrong."""
        self.log("error", (text,))

    def enable_tracing(self, rust_log: str, tracing: str) -> None:
        """Let log lines through, to stdout, the library's own among them."""
        self.library().plain("enable_tracing", native_text(rust_log), native_text(tracing))

    def disable_tracing(self) -> None:
        """Stop log lines."""
        self.library().plain("disable_tracing")

    def set_gauge(self, kind: GaugeKind, name: str, value: float, description: str) -> None:
        """Set a gauge."""
        if not self.exporting:
            return
        self._gauges.add(name)
        held = float(value) if kind == "f64" else int(value)
        self.library().plain(
            f"set_{kind}_observable_gauge",
            native_text(name),
            max(0, held) if kind == "u64" else held,
            native_text(description),
        )

    def disable_gauge(self, name: str) -> None:
        """Stop reporting a gauge."""
        if name in self._gauges:
            self._gauges.discard(name)
            self.library().plain("disable_observable_gauge", native_text(name))
