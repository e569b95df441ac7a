"""Log lines: one line per entry, with the item's context, through the OpenIAP client's functions.

1. A line is ``message key=value …``; line breaks and control characters are escaped, so a payload
   cannot forge a line or drive a terminal.
2. Everything passes through the masker (``worker.item.masking``): known values and known shapes.
3. Before a client is there, and when it fails, lines go to a fallback (stderr).
4. A line below the level costs a comparison.
"""

import json
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

from worker.forks import in_children
from worker.item.context import current_item
from worker.item.masking import hide, masked
from worker.item.secret_names import is_secret_name
from worker.openiap.errors import OpenIAPError

Level = Literal["error", "warn", "info", "verbose", "debug", "trace"]
LEVELS: Final[tuple[Level, ...]] = ("error", "warn", "info", "verbose", "debug", "trace")

MAX_LINE: Final = 8_000
MOST_KEYS: Final = 1_000
A_WHILE: Final = 60.0
_ESCAPED: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_BARE: Final = re.compile(r"[^\s\"'=]+")


class Sink(Protocol):
    """What takes finished lines: the log functions of ``worker.openiap.client.Client``."""

    def error(self, *args: object) -> None:
        """Take a line of this level."""

    def warn(self, *args: object) -> None:
        """Take a line of this level."""

    def info(self, *args: object) -> None:
        """Take a line of this level."""

    def verbose(self, *args: object) -> None:
        """Take a line of this level."""

    def debug(self, *args: object) -> None:
        """Take a line of this level."""

    def trace(self, *args: object) -> None:
        """Take a line of this level."""


Fallback = Callable[[str, str], None]
"""Takes a level and a line."""


def to_stderr(level: str, line: str) -> None:
    """Write a line to stderr; a closed or broken one is no reason to fail."""
    try:
        sys.stderr.write(f"{level.upper():<7} {line}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


class _Outlet:
    """Where the lines of one logger and everything bound to it go; may be used from threads."""

    def __init__(self, level: Level, fallback: Fallback, clock: Callable[[], float]) -> None:
        self.rank = LEVELS.index(level)
        self.sink: Sink | None = None
        self.clock: Final = clock
        self._fallback = fallback
        self._said: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._mutex = threading.Lock()
        in_children(self, _Outlet._of_a_child)

    def _of_a_child(self) -> None:
        """The client is the parent's, and another thread may have held the lock."""
        self.sink = None
        self._mutex = threading.Lock()

    def write(self, level: Level, line: str) -> None:
        if len(line) > MAX_LINE:
            line = f"{line[:MAX_LINE]}… (cut)"
        sink = self.sink
        if sink is not None:
            try:
                getattr(sink, level)(line)
            except Exception:  # noqa: S110 (whatever a client does, the line must not be lost)
                pass
            else:
                return
        self._fallback(level, line)

    def due(self, key: str, every: float) -> int | None:
        """Return how often the key was held back since it was last said, or None: not yet."""
        now = self.clock()
        with self._mutex:
            said, held = self._said.get(key, (float("-inf"), 0))
            if now - said < every:
                self._said[key] = (said, held + 1)
                return None
            self._said[key] = (now, 0)
            self._said.move_to_end(key)
            while len(self._said) > MOST_KEYS:
                self._said.popitem(last=False)
        return held


class Log:
    """The worker's logger; ``bind`` makes one whose lines carry more fields.

    Args:
        level: the most that is written.
        fallback: takes lines while there is no client.
        clock: seconds, for what is said once in a while.
    """

    __slots__ = ("_fields", "_outlet")

    def __init__(
        self,
        level: Level = "info",
        *,
        fallback: Fallback = to_stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outlet = _Outlet(level, fallback, clock)
        self._fields: Mapping[str, object] = {}

    def bind(self, **fields: object) -> "Log":
        """Return a logger on the same outlet whose lines carry these fields as well."""
        bound = Log.__new__(Log)
        bound._outlet = self._outlet
        bound._fields = {**self._fields, **fields}
        return bound

    def use(self, client: Sink | None) -> None:
        """Send lines to a client from now on; None goes back to the fallback."""
        self._outlet.sink = client

    def hide(self, secret: str) -> None:
        """Replace this text by stars in every line, and in all else that is masked."""
        hide(secret)

    def enabled(self, level: Level) -> bool:
        """Return whether lines of this level are written."""
        return LEVELS.index(level) <= self._outlet.rank

    def error(self, message: str, **fields: object) -> None:
        """Something does not work and needs a person."""
        self._write("error", message, fields)

    def warn(self, message: str, **fields: object) -> None:
        """Something does not work now and is being dealt with."""
        if self._outlet.rank >= 1:
            self._write("warn", message, fields)

    def info(self, message: str, **fields: object) -> None:
        """What a person who runs workers wants to know."""
        if self._outlet.rank >= 2:
            self._write("info", message, fields)

    def verbose(self, message: str, **fields: object) -> None:
        """Every item."""
        if self._outlet.rank >= 3:
            self._write("verbose", message, fields)

    def debug(self, message: str, **fields: object) -> None:
        """What a developer wants to know."""
        if self._outlet.rank >= 4:
            self._write("debug", message, fields)

    def trace(self, message: str, **fields: object) -> None:
        """Every step."""
        if self._outlet.rank >= 5:
            self._write("trace", message, fields)

    def once_a_while(
        self,
        key: str,
        message: str,
        *,
        every: float = A_WHILE,
        level: Level = "warn",
        **fields: object,
    ) -> bool:
        """Say something at most every so many seconds, with how often it was held back.

        Returns:
            Whether it was said now.
        """
        if not self.enabled(level):
            return False
        held = self._outlet.due(key, every)
        if held is None:
            return False
        more = {"repeated": held} if held else {}
        self._write(level, message, {**fields, **more})
        return True

    def failed(self, what: str, error: Exception) -> None:
        """Say that something did not work and is tried again.

        An error of OpenIAP's passes, and is a warning once in a while; any other one is a mistake
        of somebody's, and needs a person each time.
        """
        if isinstance(error, OpenIAPError):
            self.once_a_while(what, f"{what}: {error}")
        else:
            self.error(f"{what}: {type(error).__name__}: {error}")

    def _write(self, level: Level, message: str, fields: Mapping[str, object]) -> None:
        together = {**self._fields, **fields} if fields else self._fields
        self._outlet.write(level, line_of(message, _with_item(together)))


def line_of(message: str, fields: Mapping[str, object]) -> str:
    """Return one masked line: the message and its fields."""
    text = str(message)
    for key, value in fields.items():
        text += f" {key}={'***' if is_secret_name(key) else _shown(value)}"
    # Masking looks at twice of what is shown, so that no half of a secret stands at the end.
    return _ESCAPED.sub(_escape, masked(text[: 2 * MAX_LINE]))


def _with_item(fields: Mapping[str, object]) -> Mapping[str, object]:
    item = current_item.get()
    if item is None:
        return fields
    return {"item": item.id, "queue": item.queue, "attempt": item.attempt, **fields}


def _shown(value: object) -> str:
    if isinstance(value, BaseException):
        value = f"{type(value).__name__}: {value}"
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _escape(match: "re.Match[str]") -> str:
    char = match[0]
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char) or f"\\u{ord(char):04x}"
