"""JSON of others as a tree that is unfolded by hand, and as text.

1. What is folded is not drawn yet; an object or a list shows its first entries, and says how many
   more there are. So a payload of any size costs a page little.
2. Names and values are text; see ``texts.py``.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from nicegui.element import Element

from worker.console.parts.boxes import box
from worker.console.parts.texts import text

MOST_ENTRIES: Final = 100
OPEN: Final = 2
"""Levels that are unfolded at first, where they have few entries."""
FEW: Final = 20
MOST_TEXT: Final = 100_000
CUT: Final = 300


def json_views(value: Any) -> None:
    """Show a value as a tree, with its text behind it."""
    if not isinstance(value, dict | list) or not value:
        text(_shown(value), "p", "mono")
        return
    with box("tree"):
        _entries(value, 1)
    with Element("details").classes("more") as more:
        text("As JSON", "summary")
        body = box()

        def draw() -> None:
            with body:
                text(json_of(value), "pre", most=MOST_TEXT)

        _once(more, draw)


def json_of(value: Any) -> str:
    """Return a value as people read it."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return str(value)


def _entries(value: Any, level: int) -> None:
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for name, one in pairs[:MOST_ENTRIES]:
        if isinstance(one, dict | list) and one:
            _branch(name, one, level)
        else:
            with box("leaf"):
                text(name, "span", "name", most=CUT)
                text(_shown(one), "span", f"value {_kind(one)}")
    if len(pairs) > MOST_ENTRIES:
        text(f"and {len(pairs) - MOST_ENTRIES:,} more; see it as JSON", "div", "quiet leaf")


def _branch(name: object, value: Any, level: int) -> None:
    count = len(value)
    with Element("details") as whole:
        with Element("summary"):
            text(name, "span", "name", most=CUT)
            words = "field" if isinstance(value, dict) else "entry"
            many = "fields" if isinstance(value, dict) else "entries"
            text(f"1 {words}" if count == 1 else f"{count:,} {many}", "span", "quiet")
        inside = box("inside")

    def draw() -> None:
        with inside:
            _entries(value, level + 1)

    if level < OPEN and count <= FEW:
        whole.props["open"] = True
        draw()
    else:
        _once(whole, draw)


def _once(whole: Element, draw: Callable[[], None]) -> None:
    """Draw what is inside when it is unfolded for the first time."""
    drawn: list[bool] = []

    def unfolded() -> None:
        if not drawn:
            drawn.append(True)
            draw()

    whole.on("toggle", unfolded, args=[])


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value if value else '""'
    return json_of(value)


def _kind(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "word"
    return "number" if isinstance(value, int | float) else "string"
