"""Moments and durations: how long ago or until when, with the exact moment at hand.

The browser keeps what is shown true by itself (``console.js``); nothing is sent for that.
"""

from datetime import UTC, datetime
from typing import Final

from nicegui.elements.mixins.text_element import TextElement

from worker.openiap.fields import moment_of

UNITS: Final = ((60, 1, "s"), (3_600, 60, "min"), (86_400, 3_600, "h"))


def moment(value: datetime | str | None, classes: str = "", never: str = "-") -> TextElement:
    """Show how far a moment is away; the exact one is its title."""
    element = TextElement(tag="time", text=never).classes(f"moment {classes}".strip())
    set_moment(element, value, never)
    return element


def set_moment(element: TextElement, value: datetime | str | None, never: str = "-") -> None:
    """Show another moment in an element of ``moment``."""
    found = value if isinstance(value, datetime) else moment_of(value)
    shown = None if found is None else machine(found)
    if element.props.get("datetime") == shown:
        return  # its words are the browser's
    if found is None:
        element.props.pop("datetime", None)
        element.props.pop("title", None)
    else:
        element.props["datetime"] = shown
        element.props["title"] = exact(found)
    element.text = never if found is None else relative(found)
    element.update()


def relative(value: datetime | str | None, now: datetime | None = None) -> str:
    """Return "3 min ago" or "in 3 min"; "" for no moment."""
    found = value if isinstance(value, datetime) else moment_of(value)
    if found is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - found).total_seconds()
    if abs(seconds) < 1:
        return "now"
    span = duration(abs(seconds))
    return f"{span} ago" if seconds >= 0 else f"in {span}"


def exact(value: datetime | str | None) -> str:
    """Return a moment to the second, in UTC."""
    found = value if isinstance(value, datetime) else moment_of(value)
    return "" if found is None else f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def machine(value: datetime) -> str:
    """Return a moment as ``datetime`` attributes have it."""
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def duration(seconds: float | None) -> str:
    """Return a span in its largest unit: "850 ms", "12 s", "3 min", "5 h", "2 d"."""
    if seconds is None:
        return "-"
    if 0 < seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    for most, unit, name in UNITS:
        if seconds < most:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds // 86_400:,.0f} d"
