"""Log lines: levels, and the small writer that puts them on one line of a stream each."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

from worker.openiap.backend import LineListener, LogLevel
from worker.openiap.values import iso

LEVELS: Final = ("off", "error", "warn", "info", "verbose", "debug", "trace")
_COLOURS: Final = {"error": "31", "warn": "33", "info": "32", "verbose": "36", "debug": "34"}

Sink = Callable[[datetime, str, str], None]


class LogWriter:
    """Writes log lines to a stream and, where one is known, to an exporter.

    Before ``enable`` only errors come through: what goes wrong in a callback must not vanish.

    Args:
        output: where lines go; None for what ``sys.stderr`` is at the time.
    """

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output
        self._threshold = LEVELS.index("error")
        self.export: Sink | None = None
        self.listener: LineListener | None = None

    def enable(self, expression: str = "") -> None:
        """Let lines through: a level, or a filter expression of the Rust library's."""
        self._threshold = LEVELS.index(level_of(expression))

    def disable(self) -> None:
        """Let nothing through."""
        self._threshold = 0

    def pass_on(self, level: str, line: str) -> None:
        """Export a line that somebody else has written."""
        if self.export is not None:
            self.export(datetime.now(UTC), level, line)

    def write(self, level: LogLevel, args: tuple[object, ...]) -> None:
        """Write one line, whatever line breaks are in it, or hand it to the listener."""
        if self.listener is not None:
            self.listener(level, " ".join(str(arg) for arg in args))
            return
        if LEVELS.index(level) > self._threshold:
            return
        now = datetime.now(UTC)
        message = " ".join(str(arg) for arg in args)
        output = self._output or sys.stderr
        if output is not None:
            try:
                output.write(_line(now, level, message, colour=output.isatty()))
                output.flush()
            except (OSError, ValueError):
                # The stream is closed or its reader has gone; there is nowhere left to say so.
                self._output = None
        if self.export is not None:
            self.export(now, level, message)


def level_of(expression: str) -> str:
    """Return the level that an expression means for this program's own lines.

    ``"info"`` is a level; ``"openiap=debug,tokio=warn"`` names levels for parts of the Rust
    library, of which those for ``openiap`` and the bare ones are ours. Nothing usable is "info".
    """
    found = "info"
    for directive in expression.lower().split(","):
        target, equals, level = directive.strip().rpartition("=")
        level = "warn" if level == "warning" else level
        if level in LEVELS and (not equals or target.startswith("openiap")):
            found = level
    return found


def _line(moment: datetime, level: str, message: str, *, colour: bool) -> str:
    name = f"{level.upper():<7}"
    if colour and level in _COLOURS:
        name = f"\x1b[{_COLOURS[level]}m{name}\x1b[0m"
    return f"{iso(moment)} {name} {_harmless(message)}\n"


def _harmless(message: str) -> str:
    """Return a message without what moves a terminal's cursor; line breaks are meant."""
    if message.isprintable():
        return message
    return "".join(
        char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in message
    )
