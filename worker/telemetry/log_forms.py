"""How a log line looks: text for people, JSON for machines, or as journald takes it.

1. Whatever the form, one entry is one masked line; no payload can forge one or drive a terminal.
2. The form is chosen once, from the setting ``log_format`` and from what stderr is.
"""

import json
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, TextIO

from worker.item.masking import masked
from worker.item.secret_names import is_secret_name
from worker.item.trace import Trace
from worker.unseen import seen

Level = Literal["error", "warn", "info", "verbose", "debug", "trace"]
LEVELS: Final[tuple[Level, ...]] = ("error", "warn", "info", "verbose", "debug", "trace")
LogFormat = Literal["auto", "text", "json"]

MAX_LINE: Final = 8_000
MAX_SHORT: Final = 100
"""Characters of a text that uses up no room of its line."""
CUT: Final = "… (cut)"
STARS: Final = "***"
_BARE: Final = re.compile(r"[^\s\"'=]+")
_COLOURS: Final[Mapping[str, str]] = {
    "error": "31", "warn": "33", "info": "32", "verbose": "36", "debug": "34", "trace": "90",
}  # fmt: skip
_PRIORITIES: Final[Mapping[str, int]] = {
    "error": 3, "warn": 4, "info": 6, "verbose": 6, "debug": 7, "trace": 7,
}  # fmt: skip
_CONTAINER_FILES: Final = ("/.dockerenv", "/run/.containerenv")
_FIRST: Final = ("time", "level", "message")
_AND_WORKER: Final = (*_FIRST, "worker")
_AND_HANDLER: Final = (*_AND_WORKER, "handler")
_NUMBERS: Final = (bool, int, float)
_STARS: Final = f'"{STARS}"'
_quoted: Final = json.encoder.encode_basestring_ascii


@dataclass(slots=True)
class Entry:
    """One thing that is said.

    Attributes:
        fields: what belongs to it, by name.
        clean: the texts were masked where they came from.
        worker, handler: who says it; machines are told, people know it.
        trace: where in a trace it is said; for machines, too.
        at: when, in seconds since 1970; None for now.
    """

    level: Level
    message: str
    fields: Mapping[str, object]
    clean: bool = False
    handler: str = ""
    worker: str = ""
    trace: Trace | None = None
    at: float | None = None
    _line: str | None = None

    def line(self) -> str:
        """Return message and fields as one masked line."""
        if self._line is None:
            self._line = line_of(self.message, self.fields, clean=self.clean)
        return self._line


Form = Callable[[Entry], str]
"""Makes the whole line of an entry, without the line break."""


def line_of(message: str, fields: Mapping[str, object], *, clean: bool = False) -> str:
    """Return one masked line: the message and its fields."""
    text = str(message)
    for key, value in fields.items():
        text += f" {key}={STARS if is_secret_name(key) else _shown(value)}"
    # Masking looks at twice of what is shown, so that no half of a secret stands at the end.
    if not clean:
        text = masked(text[: 2 * MAX_LINE])
    return _cut(seen(text, _escape))


def bare(entry: Entry) -> str:
    """Return message and fields alone, for whoever adds time and level."""
    return entry.line()


def text(entry: Entry) -> str:
    """Return a line for a file: when, how much it matters, what."""
    return f"{moment(entry.at)} {entry.level.upper():<7} {entry.line()}"


def coloured(entry: Entry) -> str:
    """Return a line for a terminal: the time of day, the level in its colour, what."""
    level = f"\x1b[{_COLOURS[entry.level]}m{entry.level.upper():<7}\x1b[0m"
    at = time.time() if entry.at is None else entry.at
    clock = time.strftime("%H:%M:%S", time.localtime(at))
    return f"\x1b[2m{clock}\x1b[0m {level} {entry.line()}"


def journal(entry: Entry) -> str:
    """Return a line for journald: its priority as systemd reads it, and no second time.

    Source: sd-daemon(3), a prefix of "<N>" on lines of stderr.
    """
    return f"<{_PRIORITIES[entry.level]}>{entry.line()}"


def as_json(entry: Entry) -> str:
    """Return a JSON object: time, level, message, worker, and the fields by name.

    In ASCII: no letter of a payload's turns a terminal around. Put together here, since
    ``json.dumps`` takes twice as long, and each item has a line.
    """
    clean, message = entry.clean, entry.message
    if not (clean and len(message) <= MAX_SHORT):
        message = _text_of(message, clean=clean)
    time_and_level = f'"time": "{moment(entry.at)}", "level": "{entry.level}"'
    parts = [f'{{{time_and_level}, "message": {_quoted(message)}']
    taken: tuple[str, ...] = _FIRST
    if entry.worker:
        parts.append(f'"worker": {_quoted(entry.worker)}')
        taken = _AND_WORKER
    if entry.handler:
        parts.append(f'"handler": {_quoted(entry.handler)}')
        taken = _AND_HANDLER if entry.worker else (*taken, "handler")
    if entry.trace is not None:
        trace = entry.trace
        parts.append(f'"trace_id": "{trace.trace_id}", "span_id": "{trace.span_id}"')
        taken = (*taken, "trace_id", "span_id")
    room = MAX_LINE
    for key, value in entry.fields.items():
        if is_secret_name(key):
            text = _STARS
        elif isinstance(value, str) and clean and len(value) <= MAX_SHORT:
            text = _quoted(value)
        elif type(value) is int:
            text = repr(value)
        elif value is None or (isinstance(value, _NUMBERS) and math.isfinite(value)):
            text = repr(value) if type(value) is float else json.dumps(value)
        else:
            shown = _text_of(value, clean=clean, limit=room)
            room = max(100, room - len(shown))
            text = _quoted(shown)
        name = _quoted(key) if key not in taken else f'"{key}_"'
        parts.append(f"{name}: {text}")
    return ", ".join(parts) + "}"


def form_for(choice: LogFormat, environment: Mapping[str, str], stream: TextIO | None) -> Form:
    """Return the form of lines on a stream.

    Args:
        choice: the setting; ``auto`` is journald's under systemd, JSON in a container and on a
            transient machine of OpenIAP's agent, text for people on a terminal and else.
        environment: ``JOURNAL_STREAM`` (systemd.exec(5)), ``KUBERNETES_SERVICE_HOST``,
            ``container`` (systemd's and podman's), ``SF_VMID`` (OpenIAP's agent), ``NO_COLOR``
            (no-color.org) and ``TERM`` are read.
    """
    if choice == "auto" and _is_journal(environment.get("JOURNAL_STREAM", ""), stream):
        return journal
    terminal = _is_terminal(stream)
    if choice == "json" or (choice == "auto" and not terminal and _in_container(environment)):
        return as_json
    plain = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    return coloured if terminal and not plain else text


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _is_journal(told: str, stream: TextIO | None) -> bool:
    """Return whether a stream is the one that systemd connected to the journal."""
    device, _, inode = told.partition(":")
    if stream is None or not (device.isdecimal() and inode.isdecimal()):
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (found.st_dev, found.st_ino) == (int(device), int(inode))


def _in_container(environment: Mapping[str, str]) -> bool:
    named = ("KUBERNETES_SERVICE_HOST", "container", "SF_VMID")
    return any(environment.get(name) for name in named) or any(
        Path(file).exists() for file in _CONTAINER_FILES
    )


def moment(at: float | None = None) -> str:
    """Return a time as lines carry it: UTC, to the millisecond.

    Args:
        at: in seconds since 1970; None for now.
    """
    now = time.time() if at is None else at
    second = int(now)
    return f"{_to_the_second(second)}.{int((now - second) * 1000):03d}Z"


@lru_cache(maxsize=2)
def _to_the_second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


def _text_of(value: object, *, clean: bool, limit: int = MAX_LINE) -> str:
    said = _as_text(value)
    return _cut(said if clean else masked(said[: 2 * MAX_LINE]), limit)


def _as_text(value: object) -> str:
    return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)


def _cut(said: str, limit: int = MAX_LINE) -> str:
    return said if len(said) <= limit else f"{said[:limit]}{CUT}"


def _shown(value: object) -> str:
    said = _as_text(value)
    return said if _BARE.fullmatch(said) else json.dumps(said, ensure_ascii=False)


def _escape(char: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char) or f"\\u{ord(char):04x}"
