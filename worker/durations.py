"""Durations: seconds as a number, or text like ``90s``, ``5m``, ``1h``, ``250ms``, ``1h30m``."""

import re
from datetime import timedelta
from typing import Final

Duration = float | int | str

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.I)
MOST_DAYS: Final = 36_500
MOST: Final = MOST_DAYS * 86_400.0
"""Seconds; no moment of the calendar comes so long after or before one that matters."""
MOST_SHOWN: Final = 100
ALLOWED: Final = "seconds, or text like 250ms, 90s, 5m, 1h30m, 2d"


def seconds(value: Duration | timedelta, name: str = "") -> float:
    """Return a duration in seconds.

    Args:
        name: of the argument, for the error.

    Raises:
        ValueError: not a duration, negative, or not finite; the text says what is allowed.
    """
    try:
        return _seconds(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}" if name else str(error)) from None


def _seconds(value: Duration | timedelta) -> float:
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif isinstance(value, bool):
        raise ValueError(f"{value!r} is not a duration: {ALLOWED}")
    elif isinstance(value, int | float):
        # A whole number may be too large for a float.
        found = float(max(-1, value)) if value <= MOST else float(min(value, 2 * MOST))
    elif isinstance(value, str):
        found = _from_text(value)
    else:
        raise ValueError(f"{value!r} is not a duration: {ALLOWED}")
    if not found >= 0:  # not a number, or negative
        raise ValueError(f"{in_short(value)} is not a duration: {ALLOWED}, not negative")
    if found > MOST:
        raise ValueError(f"{in_short(value)} is too long a duration: allowed: up to {MOST_DAYS}d")
    return found


def in_short(value: object) -> str:
    """Return a value for an error's text."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "the number"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _from_text(text: str) -> float:
    stripped = text.strip()
    try:
        return float(stripped)
    except ValueError:
        pass
    total, end = 0.0, 0
    for part in _PART.finditer(stripped):
        if stripped[end : part.start()].strip():
            break
        total += float(part[1]) * _UNITS[part[2].lower()]
        end = part.end()
    if not end or stripped[end:].strip():
        raise ValueError(f"{text!r} is not a duration: {ALLOWED}")
    return total


def text(value: float) -> str:
    """Return seconds for people: ``text(90)`` is "1m30s"."""
    if value < 1:
        return f"{value * 1000:.0f}ms"
    if value < 60:
        return f"{value:.3g}s"
    rest, out = round(value), ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            out += f"{count}{unit}"
    return out
