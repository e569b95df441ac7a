"""How items look: a row of a list, a page of one."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.json import JSON
from rich.text import Text

from worker.cli.shared.documents import first
from worker.cli.shared.output import safe, show, show_facts, table
from worker.item.metadata import Metadata, taken_out
from worker.item.new_item import DEFAULT_NAME
from worker.item.outcome import WAITS
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import number, object_of
from worker.openiap.values import format_bytes, json_text, parse_iso
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
STYLES: Final = {"successful": "green", "failed": "red", "processing": "cyan", "new": ""}


def show_items(console: Console, documents: Sequence[JsonObject], *, utc: bool = False) -> None:
    """Print a list of items, a line each: names where there is room, errors cut to what is left.

    Args:
        utc: moments are UTC instead of this machine's time.
    """
    columns = dict(ROW)
    if console.width < WIDTH_FOR_NAMES:
        del columns["name"]
    rows = [_row(document, utc=utc) for document in documents]
    before = {name: kind for name, kind in columns.items() if name != "error"}
    taken = console.measure(table(before, [[row[name] for name in before] for row in rows])).maximum
    room = console.width - taken - 2
    if room < LEAST_FOR_ERRORS or not any(row["error"] for row in rows):
        del columns["error"]
    for row in rows:
        row["error"] = _cut(str(row["error"]), room)
    show(console, columns, [[row[name] for name in columns] for row in rows])


def _row(document: JsonObject, *, utc: bool) -> dict[str, object]:
    return {
        "id": str(document.get("_id", "")),
        "state": state(document),
        "queue": str(document.get("wiq", "")),
        "attempts": attempts(document),
        "changed": moment(document.get("_modified"), utc=utc),
        "name": name_of(document),
        # OpenIAP keeps the error of an earlier attempt when a later one succeeds.
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
        "headers": dict(_kept(document).headers),
        "payload": document.get("payload"),
        "files": [{"name": name, "id": id, "bytes": sizes.get(id)} for name, id in files(document)],
    }


def show_item(
    console: Console, document: JsonObject, sizes: Mapping[str, int], *, utc: bool = False
) -> None:
    """Print an item whole for people.

    Args:
        utc: moments are UTC instead of this machine's time.
    """
    kept = _kept(document)
    facts: list[tuple[str, object]] = [
        ("id", document.get("_id", "")),
        ("name", name_of(document)),
        ("queue", document.get("wiq", "")),
        ("state", state(document)),
        ("priority", document.get("priority", "")),
        ("attempts", attempts(document)),
        ("pushed", moment(document.get("_created"), utc=utc)),
        ("last run", moment(document.get("lastrun"), utc=utc)),
        ("next run", moment(document.get("nextrun"), utc=utc)),
        ("waits", safe(waits(document) or "")),
        ("changed", moment(document.get("_modified"), utc=utc)),
        ("worked by", document.get("username") or ""),
        ("trace", "" if kept.trace is None else kept.trace.trace_id),
    ]
    show_facts(console, [fact for fact in facts if str(fact[1])])
    if kept.headers:
        console.print("\n[bold]Headers[/bold]")
        show_facts(console, [(name, safe(value)) for name, value in kept.headers.items()])
    if document.get("errormessage") or document.get("errorsource"):
        earlier = document.get("state") == SUCCESSFUL
        title = "Error of an earlier attempt" if earlier else "Error"
        console.print(f"\n[bold]{title}[/bold]", end=" ")
        console.print(safe(f"({document.get('errortype') or 'no type'})"))
        console.print(safe(document.get("errormessage") or ""), style="dim" if earlier else "red")
        if document.get("errorsource"):
            console.print(safe(document["errorsource"]), style="dim")
    console.print("\n[bold]Payload[/bold]")
    console.print(JSON(json_text(document.get("payload")), ensure_ascii=True))
    found = files(document)
    if found:
        console.print("\n[bold]Files[/bold]")
        rows = [(n, format_bytes(sizes[i]) if i in sizes else "", i) for n, i in found]
        show(console, {"name": "", "size": "number", "id": "dim"}, rows)


def _kept(document: JsonObject) -> Metadata:
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
