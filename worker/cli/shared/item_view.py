"""How items look: a row of a list, a page of one."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.json import JSON
from rich.text import Text

from worker.cli.shared.output import safe, show, show_facts, table
from worker.item.new_item import DEFAULT_NAME
from worker.management.items.types import ItemDetailResponse, ItemResponse
from worker.openiap.values import format_bytes, json_text, parse_iso
from worker.openiap.workitem import SUCCESSFUL

ROW: Final = {
    "id": "whole",
    "state": "whole",
    "queue": "",
    "attempts": "number",
    "changed": "whole",
    "name": "",
    "error": "",
}
WIDTH_FOR_NAMES: Final = 110
LEAST_FOR_ERRORS: Final = 12
STYLES: Final = {"successful": "green", "failed": "red", "processing": "cyan", "new": ""}


def show_items(console: Console, items: Sequence[ItemResponse], *, utc: bool = False) -> None:
    """Print a list of items, a line each: names where there is room, errors cut to what is left.

    Args:
        utc: moments are UTC instead of this machine's time.
    """
    columns = dict(ROW)
    if console.width < WIDTH_FOR_NAMES:
        del columns["name"]
    rows = [_row(item, utc=utc) for item in items]
    before = {name: kind for name, kind in columns.items() if name != "error"}
    taken = console.measure(table(before, [[row[name] for name in before] for row in rows])).maximum
    room = console.width - taken - 2
    if room < LEAST_FOR_ERRORS or not any(row["error"] for row in rows):
        del columns["error"]
    for row in rows:
        row["error"] = cut(str(row["error"]), room)
    show(console, columns, [[row[name] for name in columns] for row in rows])


def _row(item: ItemResponse, *, utc: bool) -> dict[str, object]:
    return {
        "id": item.id,
        "state": _state(item),
        "queue": item.queue or "",
        "attempts": item.attempts,
        "changed": moment(item.modified, utc=utc),
        "name": _name(item),
        # OpenIAP keeps the error of an earlier attempt when a later one succeeds.
        "error": "" if item.state == SUCCESSFUL else " ".join((item.errormessage or "").split()),
    }


def _name(item: ItemResponse) -> str:
    """Return an item's name; "" for one that was given none."""
    return "" if item.name in (None, DEFAULT_NAME) else str(item.name)


def cut(text: str, room: int) -> str:
    """Return text of at most so many characters; a cut one ends with "…"."""
    return text if len(text) <= room else f"{text[: max(0, room - 1)]}…"


def _state(item: ItemResponse) -> Text:
    """Return the state in its colour."""
    text = safe(item.state or "")
    text.stylize(STYLES.get(item.state or "", ""))
    return text


def show_item(console: Console, item: ItemDetailResponse, *, utc: bool = False) -> None:
    """Print an item whole for people.

    Args:
        utc: moments are UTC instead of this machine's time.
    """
    facts: list[tuple[str, object]] = [
        ("id", item.id),
        ("name", _name(item)),
        ("queue", item.queue or ""),
        ("state", _state(item)),
        ("priority", "" if item.priority is None else item.priority),
        ("attempts", item.attempts),
        ("pushed", moment(item.created, utc=utc)),
        ("last run", moment(item.lastrun, utc=utc)),
        ("next run", moment(item.nextrun, utc=utc)),
        ("waits", safe(item.waits or "")),
        ("changed", moment(item.modified, utc=utc)),
        ("worked by", item.username or ""),
    ]
    show_facts(console, [fact for fact in facts if str(fact[1])])
    if item.errormessage or item.errorsource:
        earlier = item.state == SUCCESSFUL
        title = "Error of an earlier attempt" if earlier else "Error"
        console.print(f"\n[bold]{title}[/bold]", end=" ")
        console.print(safe(f"({item.errortype or 'no type'})"))
        console.print(safe(item.errormessage or ""), style="dim" if earlier else "red")
        if item.errorsource:
            console.print(safe(item.errorsource), style="dim")
    console.print("\n[bold]Payload[/bold]")
    console.print(JSON(json_text(item.payload), ensure_ascii=True))
    if item.files:
        console.print("\n[bold]Files[/bold]")
        rows = [
            (one.name, "" if one.bytes is None else format_bytes(one.bytes), one.id)
            for one in item.files
        ]
        show(console, {"name": "", "size": "number", "id": "dim"}, rows)


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
