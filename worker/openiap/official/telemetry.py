"""Log lines and gauges through the official library's functions, and its small conveniences."""

from typing import Any
from uuid import uuid4

from worker.openiap.official.items import native_text
from worker.openiap.official.library import Library
from worker.openiap.values import format_bytes, json_text


class OfficialTelemetry:
    """The documented functions that send nothing to the server."""

    def __init__(self) -> None:
        self._metrics = False
        self._gauges: set[str] = set()

    def _load(self) -> Library:
        """Return the library, loading it if need be."""
        raise AssertionError("the connection's room loads the library")

    def uniqeid(self) -> str:
        """Return a fresh id."""
        return uuid4().hex

    def format_bytes(self, bytes: int, decimals: int = 2) -> str:
        """Return a size for people: ``format_bytes(1536)`` is "1.5 KB"."""
        return format_bytes(bytes, decimals)

    def stringify(self, value: Any) -> str:
        """Return JSON text; dates as ISO, models as their JSON."""
        return json_text(value)

    # Without a metric URL the library logs an error for each of these and does nothing.

    def set_f64_observable_gauge(self, name: str, value: float, description: str) -> None:
        """Set a gauge; a name's type is fixed by its first setter."""
        self._set("f64", name, float(value), description)

    def set_u64_observable_gauge(self, name: str, value: int, description: str) -> None:
        """Set a gauge of non-negative integers."""
        self._set("u64", name, max(0, int(value)), description)

    def set_i64_observable_gauge(self, name: str, value: int, description: str) -> None:
        """Set a gauge of integers."""
        self._set("i64", name, int(value), description)

    def disable_observable_gauge(self, name: str) -> None:
        """Stop reporting a gauge."""
        if name in self._gauges:
            self._gauges.discard(name)
            self._load().plain("disable_observable_gauge", native_text(name))

    def _set(self, kind: str, name: str, value: float, description: str) -> None:
        if not self._metrics:
            return
        self._gauges.add(name)
        self._load().plain(
            f"set_{kind}_observable_gauge", native_text(name), value, native_text(description)
        )

    def enable_tracing(self, rust_log: str = "", tracing: str = "") -> None:
        """Let log lines through: a level ("info") or the Rust library's filter expression.

        They go to stdout, the library's own among them.
        """
        self._load().plain("enable_tracing", native_text(rust_log), native_text(tracing))

    def disable_tracing(self) -> None:
        """Stop log lines."""
        self._load().plain("disable_tracing")

    def info(self, *args: object) -> None:
        """Log at level info."""
        self._log("info", args)

    def warn(self, *args: object) -> None:
        """Log at level warn."""
        self._log("warn", args)

    def error(self, *args: object) -> None:
        """Log at level error."""
        self._log("error", args)

    def verbose(self, *args: object) -> None:
        """Log at level debug, as the library has none in between."""
        self._log("debug", args)

    def debug(self, *args: object) -> None:
        """Log at level debug."""
        self._log("debug", args)

    def trace(self, *args: object) -> None:
        """Log at level trace."""
        self._log("trace", args)

    def _log(self, level: str, args: tuple[object, ...]) -> None:
        self._load().plain(level, native_text(" ".join(str(arg) for arg in args)))
