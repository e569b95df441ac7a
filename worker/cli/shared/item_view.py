"""How items look in a list, and what is told of one; ``item_page.py`` has the page."""

import re
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from worker.cli.shared.output import safe, show, show_noted, table
from worker.item.new_item import DEFAULT_NAME
from worker.management.items.types import ItemResponse
from worker.openiap.values import parse_iso
from worker.openiap.workitem import SUCCESSFUL

ROW: Final = {
    "id": "whole",
    "state": "whole",
    "queue": "",
    "attempts": "number",
    "changed": "whole",
    "name": "",
    "note": "",
}
WIDTH_FOR_NAMES: Final = 110
LEAST_FOR_NOTES: Final = 12
LEAST_FOR_QUEUES: Final = 8
STYLES: Final = {"successful": "green", "failed": "red", "processing": "cyan", "new": ""}
_EXACT: Final = re.compile(r"(?<= \d\d:\d\d):\d\d(?= )|(?<=[+-]\d\d):00$")
"""What is left out of a moment where there is little room: seconds, and an offset's whole hour."""


def show_items(console: Console, items: Sequence[ItemResponse], *, utc: bool = False) -> None:
    """Print a list of items, a line each; where that is too narrow for names and notes, they
    stand in a second one.

    Args:
        utc: moments are UTC instead of this machine's time.
    """
    rows = [_row(item, utc=utc) for item in items]
    if console.width < WIDTH_FOR_NAMES:
        _show_narrow(console, rows)
        return
    columns = dict(ROW)
    before = {name: kind for name, kind in columns.items() if name != "note"}
    taken = console.measure(table(before, [[row[name] for name in before] for row in rows])).maximum
    room = console.width - taken - 2
    if room < LEAST_FOR_NOTES or not any(row["note"] for row in rows):
        del columns["note"]
    for row in rows:
        row["note"] = cut(str(row["note"]), room)
    show(console, columns, [[row[name] for name in columns] for row in rows])


def _show_narrow(console: Console, rows: Sequence[dict[str, object]]) -> None:
    columns = {name: kind for name, kind in ROW.items() if name not in ("name", "note")}
    for row in rows:
        row["changed"] = _EXACT.sub("", str(row["changed"]))
    others = {name: kind for name, kind in columns.items() if name != "queue"}
    taken = console.measure(table(others, [[row[name] for name in others] for row in rows])).maximum
    room = max(LEAST_FOR_QUEUES, console.width - taken - 2)
    notes = [": ".join(str(row[name]) for name in ("name", "note") if row[name]) for row in rows]
    for place, row in enumerate(rows):
        whole = str(row["queue"])
        row["queue"] = cut(whole, room)
        if row["queue"] != whole:
            notes[place] = " ".join(one for one in (f"({whole})", notes[place]) if one)
    show_noted(console, columns, [[row[name] for name in columns] for row in rows], notes)


def _row(item: ItemResponse, *, utc: bool) -> dict[str, object]:
    return {
        "id": item.id,
        "state": state(item),
        "queue": item.queue or "",
        "attempts": item.attempts,
        "changed": moment(item.modified, utc=utc),
        "name": " ".join(name_of(item.name).split()),
        "note": " ".join(_note(item).split()),
    }


def _note(item: ItemResponse) -> str:
    """Return what a waiting item waits for, or what went wrong."""
    if item.state == SUCCESSFUL:  # the official client cannot take an earlier error away
        return ""
    return item.waits or item.errormessage or ""


def name_of(name: object) -> str:
    """Return an item's name; "" for one that was given none."""
    return "" if name in (None, DEFAULT_NAME) else str(name)


def cut(text: str, room: int) -> str:
    """Return text of at most so many characters; a cut one ends with "…"."""
    return text if len(text) <= room else f"{text[: max(0, room - 1)]}…"


def state(item: ItemResponse) -> Text:
    """Return the state in its colour."""
    text = safe(item.state or "")
    text.stylize(STYLES.get(item.state or "", ""))
    return text


def moment(value: Any, *, utc: bool = False) -> str:
    """Return a moment of OpenIAP's with its date and zone; "" for none.

    Args:
        utc: in UTC instead of this machine's time.
    """
    try:
        found = parse_iso(value) if isinstance(value, str) else None
        if found is None:
            return ""
        if utc:
            return f"{found:%Y-%m-%d %H:%M:%S} UTC"
        shown = found.astimezone().isoformat(" ", "seconds")
        return f"{shown[:19]} {shown[19:]}"
    except (ValueError, OverflowError):
        return str(value)
