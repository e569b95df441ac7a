"""How items look in a list, and what is told of one; ``item_page.py`` has the page."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from worker.cli.shared.documents import first
from worker.cli.shared.output import safe, show, show_noted, table
from worker.item.metadata import Metadata, taken_out
from worker.item.new_item import DEFAULT_NAME
from worker.item.outcome import WAITS
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import number, object_of
from worker.openiap.values import parse_iso
from worker.openiap.workitem import SUCCESSFUL, JsonObject

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
LEAST_FOR_QUEUES: Final = 8
STYLES: Final = {"successful": "green", "failed": "red", "processing": "cyan", "new": ""}
_EXACT: Final = re.compile(r"(?<= \d\d:\d\d):\d\d(?= )|(?<=[+-]\d\d):00$")
"""What is left out of a moment where there is little room: seconds, and an offset's whole hour."""


def show_items(console: Console, documents: Sequence[JsonObject], *, utc: bool = False) -> None:
    """Print a list of items, a line each; where that is too narrow for names and errors, they
    stand in a second one.

    Args:
        utc: moments are UTC instead of this machine's time.
    """
    rows = [_row(document, utc=utc) for document in documents]
    if console.width < WIDTH_FOR_NAMES:
        _show_narrow(console, rows)
        return
    columns = dict(ROW)
    before = {name: kind for name, kind in columns.items() if name != "error"}
    taken = console.measure(table(before, [[row[name] for name in before] for row in rows])).maximum
    room = console.width - taken - 2
    if room < LEAST_FOR_ERRORS or not any(row["error"] for row in rows):
        del columns["error"]
    for row in rows:
        row["error"] = _cut(str(row["error"]), room)
    show(console, columns, [[row[name] for name in columns] for row in rows])


def _show_narrow(console: Console, rows: Sequence[dict[str, object]]) -> None:
    columns = {name: kind for name, kind in ROW.items() if name not in ("name", "error")}
    for row in rows:
        row["changed"] = _EXACT.sub("", str(row["changed"]))
    others = {name: kind for name, kind in columns.items() if name != "queue"}
    taken = console.measure(table(others, [[row[name] for name in others] for row in rows])).maximum
    room = max(LEAST_FOR_QUEUES, console.width - taken - 2)
    notes = [": ".join(str(row[name]) for name in ("name", "error") if row[name]) for row in rows]
    for place, row in enumerate(rows):
        whole = str(row["queue"])
        row["queue"] = _cut(whole, room)
        if row["queue"] != whole:
            notes[place] = " ".join(one for one in (f"({whole})", notes[place]) if one)
    show_noted(console, columns, [[row[name] for name in columns] for row in rows], notes)


def _row(document: JsonObject, *, utc: bool) -> dict[str, object]:
    return {
        "id": str(document.get("_id", "")),
        "state": state(document),
        "queue": str(document.get("wiq", "")),
        "attempts": attempts(document),
        "changed": moment(document.get("_modified"), utc=utc),
        "name": " ".join(name_of(document).split()),
        # The official client cannot take the error of an earlier attempt away.
        "error": "" if document.get("state") == SUCCESSFUL else _error_of(document),
    }


def _error_of(document: JsonObject) -> str:
    return " ".join(str(document.get("errormessage") or "").split())


def name_of(document: JsonObject) -> str:
    """Return an item's name; "" for one that was given none."""
    name = str(document.get("name") or "")
    return "" if name == DEFAULT_NAME else name


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(0, room - 1)]}…"


def state(document: JsonObject) -> Text:
    """Return the state in its colour."""
    name = str(document.get("state", ""))
    text = safe(name)
    text.stylize(STYLES.get(name, ""))
    return text


def attempts(document: JsonObject) -> int:
    """Return how many attempts were begun; of an unfinished item the server counts the repeats."""
    retries = number(document.get("retries"))
    return retries if document.get("state") == "new" else retries + 1


def summary(document: JsonObject) -> JsonObject:
    """Return an item for programs, as a list holds it."""
    return {
        "id": document.get("_id"),
        "name": document.get("name"),
        "queue": document.get("wiq"),
        "state": document.get("state"),
        "priority": document.get("priority"),
        "attempts": attempts(document),
        "retries": document.get("retries"),  # its name until now, for one version
        "nextrun": document.get("nextrun"),
        "lastrun": document.get("lastrun"),
        "username": document.get("username"),
        "created": document.get("_created"),
        "modified": document.get("_modified"),
        "errortype": document.get("errortype"),
        "errormessage": document.get("errormessage"),
        "waits": waits(document),
    }


def waits(document: JsonObject) -> str | None:
    """Return why a parked item waits; None for one that is not parked (any more)."""
    found = document.get(WAITS)
    if not isinstance(found, dict) or document.get("state") != "new":
        return None
    return str(found.get("why")) if found.get("until") == document.get("nextrun") else None


def shown_item(document: JsonObject, sizes: Mapping[str, int]) -> JsonObject:
    """Return an item whole for programs."""
    return summary(document) | {
        "errorsource": document.get("errorsource"),
        "headers": dict(kept(document).headers),
        "payload": document.get("payload"),
        "files": [{"name": name, "id": id, "bytes": sizes.get(id)} for name, id in files(document)],
    }


def kept(document: JsonObject) -> Metadata:
    """Return what the worker keeps beside an item's payload."""
    return taken_out(object_of(document.get("payload")))[1]


def files(document: JsonObject) -> list[tuple[str, str]]:
    """Return name and id of each file."""
    found = document.get("files")
    entries = found if isinstance(found, list) else []
    return [
        (str(entry.get("filename") or entry.get("name") or ""), str(entry.get("_id") or ""))
        for entry in entries
        if isinstance(entry, dict)
    ]


async def file_sizes(client: Client, document: JsonObject) -> dict[str, int]:
    """Return the stored size in bytes of each file by its id; what cannot be read is left out."""
    sizes: dict[str, int] = {}
    for _, id in files(document):
        try:
            found = await first(client, "fs.files", {"_id": id})
        except OpenIAPError:
            continue
        if found and isinstance(found.get("length"), int):
            sizes[id] = found["length"]
    return sizes


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
