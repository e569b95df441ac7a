"""A work item as a page for people: what it is, what it waits for, who had it, and what it holds.

What the worker keeps in the payload for itself is told in words; ``--json`` has it as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from worker.cli.shared.item_view import attempts, files, kept, moment, name_of, state, waits
from worker.cli.shared.output import many, pretty_json, safe, show, show_facts
from worker.durations import text as duration_text
from worker.engine.delivery.fence import CLOSING, WORKER
from worker.engine.fleet.presence import COLLECTION
from worker.item.metadata import KEY, ORIGIN
from worker.item.origin import DeadLetter, origin_of
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import id_of, moment_of, number, object_of, text_of
from worker.openiap.values import format_bytes, json_text
from worker.openiap.workitem import NEW, PROCESSING, SUCCESSFUL, JsonObject

MAX_SHOWN: Final = 300
"""Characters of a mark."""
TOLD: Final = frozenset(
    {
        *("checkpoint", "progress", "namespace", "unique", "follow_up", ORIGIN),
        *("headers", "traceparent", "tracestate", "due"),
    }
)
"""Marks that have words of their own, or say nothing to people."""
SAID_BY: Final = "worker "
"""How the first line of an error's source begins, where a worker wrote it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The worker that has an item, or had it last; ``host`` is "" where that is not known."""

    name: str
    host: str = ""


async def holder_of(client: Client, document: JsonObject) -> Holder | None:
    """Return who works an item, or ended its last attempt; None where nothing tells."""
    fields: JsonObject = {"host": 1}
    try:
        if document.get("state") == PROCESSING:
            claim = {"id": document.get("_id"), "retries": number(document.get("retries"))}
            query: JsonObject = {"items": {"$elemMatch": claim}}
            found = await client.query(COLLECTION, query, fields, top=1)
            if found:
                return Holder(id_of(found[0]), text_of(found[0].get("host")))
            if document.get(CLOSING) is None:
                return None  # what stands on it is of an earlier attempt
        name = _said(document)
        if not name:
            return None
        found = await client.query(COLLECTION, {"_id": name}, fields, top=1)
        return Holder(name, text_of(found[0].get("host")) if found else "")
    except OpenIAPError:
        return None  # others may not be allowed to read them, and the item is shown all the same


def _said(document: JsonObject) -> str:
    """Return the name of the worker as the item itself has it: of its last attempt, or of the one
    that failed last."""
    if found := text_of(document.get(WORKER)):
        return found
    first = text_of(document.get("errorsource")).partition("\n")[0]
    return first[len(SAID_BY) :].partition(",")[0] if first.startswith(SAID_BY) else ""


def show_item(
    console: Console,
    document: JsonObject,
    sizes: Mapping[str, int],
    *,
    holder: Holder | None = None,
    utc: bool = False,
    now: datetime | None = None,
) -> None:
    """Print an item whole.

    Args:
        sizes: bytes of its files by their ids, as far as they are known.
        holder: the worker that has it, or had it.
        utc: moments are UTC instead of this machine's time.
        now: the present.
    """
    payload = document.get("payload")
    marks = object_of(payload.get(KEY)) if isinstance(payload, dict) else {}
    facts: list[tuple[str, object]] = [
        ("id", document.get("_id", "")),
        ("name", name_of(document)),
        ("queue", document.get("wiq", "")),
        ("state", state(document)),
        ("waits", waiting(document, now or datetime.now(UTC), utc=utc)),
        ("progress", _progress(marks.get("progress"), utc=utc)),
        ("priority", document.get("priority", "")),
        ("attempts", attempts(document)),
        ("pushed", moment(document.get("_created"), utc=utc)),
        ("last run", moment(document.get("lastrun"), utc=utc)),
        ("next run", moment(document.get("nextrun"), utc=utc)),
        ("changed", moment(document.get("_modified"), utc=utc)),
        ("worker", _worker(holder)),
        ("user", document.get("username") or ""),
        ("trace", "" if (trace := kept(document).trace) is None else trace.trace_id),
        *_words(marks, str(document.get("_id", ""))),
    ]
    show_facts(console, [fact for fact in facts if str(fact[1])])
    if headers := kept(document).headers:
        console.print("\n[bold]Headers[/bold]")
        show_facts(console, [(name, safe(value)) for name, value in headers.items()])
    _show_error(console, document)
    if isinstance(payload, dict):
        payload = {name: value for name, value in payload.items() if name != KEY}
    console.print("\n[bold]Payload[/bold]")
    console.print(pretty_json(payload, console), soft_wrap=True)
    found = files(document)
    if found:
        console.print("\n[bold]Files[/bold]")
        rows = [(n, format_bytes(sizes[i]) if i in sizes else "", i) for n, i in found]
        show(console, {"name": "", "size": "number", "id": "dim"}, rows)


def waiting(document: JsonObject, now: datetime, *, utc: bool = False) -> str:
    """Return why an item does not run, in words; "" for one that does, or has ended."""
    if document.get("state") != NEW:
        return ""
    why, due = waits(document), moment_of(document.get("nextrun"))
    until = moment(document.get("nextrun"), utc=utc)
    if why:
        return f"{why}; looked at again by itself at {until}"
    if due is None:
        return "has no time at which it is due, so it is never popped; items retry gives it one"
    if due > now:
        left = duration_text(max(1, round((due - now).total_seconds())))
        again = "tried again" if number(document.get("retries")) else "due"
        return f"{again} in {left}"
    return "due: for the next worker that is free and works this queue"


def _progress(found: object, *, utc: bool) -> str:
    mark = object_of(found)
    share = mark.get("share")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        return ""
    text, at = text_of(mark.get("text")), moment(mark.get("at"), utc=utc)
    return ", ".join(one for one in (f"{share:.0%}", text, at) if one)


def _worker(holder: Holder | None) -> str:
    if holder is None:
        return ""
    return f"{holder.name} on {holder.host}" if holder.host else holder.name


def _words(marks: JsonObject, item_id: str) -> list[tuple[str, object]]:
    """Return what the worker keeps beside a payload, each with its name."""
    told: list[tuple[str, object]] = []
    if (origin := origin_of(marks.get(ORIGIN), item_id)) is not None:
        text = f"item {origin.id} of {origin.queue}"
        tries = many(origin.attempts, "attempt")
        if isinstance(origin, DeadLetter):
            code = f"[{origin.code}] " if origin.code else ""
            text += f", which failed after {tries}: {origin.kind} error: {code}{origin.message}"
        else:
            text += f", which succeeded after {tries}"
        told.append(("comes from", text))
    if (state_kept := marks.get("checkpoint")) is not None:
        told.append(("checkpoint", f"kept, {format_bytes(len(json_text(state_kept).encode()))}"))
    for name, words in (("namespace", "namespace"), ("unique", "unique push")):
        if text_of(marks.get(name)):
            told.append((words, marks[name]))
    told += [(name, _shown(value)) for name, value in marks.items() if name not in TOLD]
    return told


def _shown(value: Any) -> str:
    """Return another mark in words, of an object a line for each field."""
    if isinstance(value, dict):
        text = "\n".join(
            f"{name}: {one if isinstance(one, str) else json_text(one)}"
            for name, one in value.items()
        )
    else:
        text = value if isinstance(value, str) else json_text(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _show_error(console: Console, document: JsonObject) -> None:
    message, source = document.get("errormessage"), document.get("errorsource")
    if not message and not source:
        return
    earlier = document.get("state") == SUCCESSFUL
    title = "Error of an earlier attempt" if earlier else "Error"
    kind = document.get("errortype") or "no type"
    console.print(Text.assemble(("\n" + title, "bold"), " ", safe(f"({kind})")))
    console.print(safe(message or ""), style="dim" if earlier else "red")
    if source:
        console.print(safe(str(source).rstrip()), style="dim")
