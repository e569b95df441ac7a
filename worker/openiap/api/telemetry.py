"""Log lines, gauges and the small conveniences of the API: nothing goes to the server."""

from typing import Any
from uuid import uuid4

from worker.openiap.api.subject import Subject
from worker.openiap.backend import LineListener, LogLevel
from worker.openiap.json_path import path_of_problem
from worker.openiap.values import format_bytes, json_text


class TelemetryCalls(Subject):
    """The documented functions that send nothing to the server."""

    def uniqeid(self) -> str:
        """Return a fresh id."""
        return uuid4().hex

    def format_bytes(self, bytes_value: int = 0, decimals: int = 2, *, bytes: int = 0) -> str:
        """Return a size for people: ``format_bytes(1536)`` is "1.5 KB"; ``bytes`` is another
        spelling of ``bytes_value``."""
        return format_bytes(bytes_value or bytes, decimals)

    def stringify(self, value: Any) -> str:
        """Return JSON text; dates as ISO, models as their JSON.

        Raises:
            TypeError, ValueError: something inside has no JSON form; the text says where it is.
        """
        try:
            return json_text(value)
        except (TypeError, ValueError) as error:
            path = path_of_problem(value)
            if not path:
                raise
            raise type(error)(f"{path}: {error}") from error

    def set_f64_observable_gauge(self, name: str, value: float, description: str = "") -> None:
        """Set a gauge; a name's type is fixed by its first setter."""
        self._backend.telemetry.set_gauge("f64", name, value, description)

    def set_u64_observable_gauge(self, name: str, value: int, description: str = "") -> None:
        """Set a gauge of non-negative integers."""
        self._backend.telemetry.set_gauge("u64", name, value, description)

    def set_i64_observable_gauge(self, name: str, value: int, description: str = "") -> None:
        """Set a gauge of integers."""
        self._backend.telemetry.set_gauge("i64", name, value, description)

    def disable_observable_gauge(self, name: str) -> None:
        """Stop reporting a gauge."""
        self._backend.telemetry.disable_gauge(name)

    def enable_tracing(self, rust_log: str = "", tracing: str = "") -> None:
        """Let log lines through: a level ("info") or the Rust library's filter expression.

        The official client writes them to stdout, the library's own among them; the native client
        writes them to stderr.
        """
        self._backend.telemetry.enable_tracing(rust_log, tracing)

    def disable_tracing(self) -> None:
        """Stop log lines."""
        self._backend.telemetry.disable_tracing()

    def divert_lines(self, listener: LineListener) -> None:
        """Have a listener take level and text of every line instead of a terminal: what is said
        through the functions below, and what this client itself has to say."""
        self._backend.telemetry.divert(listener)

    def export_line(self, level: LogLevel, line: str) -> None:
        """Pass a line on to the collectors that OpenIAP names, if it does, and to no terminal."""
        self._backend.telemetry.export(level, line)

    def info(self, *args: object) -> None:
        """Log at level info."""
        self._backend.telemetry.log("info", args)

    def warn(self, *args: object) -> None:
        """Log at level warn."""
        self._backend.telemetry.log("warn", args)

    def error(self, *args: object) -> None:
        """Log at level error."""
        self._backend.telemetry.log("error", args)

    def verbose(self, *args: object) -> None:
        """Log at level verbose, between info and debug (the official library: at debug)."""
        self._backend.telemetry.log("verbose", args)

    def debug(self, *args: object) -> None:
        """Log at level debug."""
        self._backend.telemetry.log("debug", args)

    def trace(self, *args: object) -> None:
        """Log at level trace."""
        self._backend.telemetry.log("trace", args)
