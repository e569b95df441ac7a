"""A work item as a page for people: what it is, what it waits for, who had it, and what it holds.

What the worker keeps in the payload for itself is told in words; ``--json`` has it as it is.
"""

from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from worker.cli.shared.item_view import moment, name_of, state
from worker.cli.shared.links_view import show_links
from worker.cli.shared.output import many, pretty_json, safe, show, show_facts
from worker.durations import text as duration_text
from worker.item.metadata import GROUP, HISTORY, KEY, ORIGIN, STEPS
from worker.item.new_item import PARENT, SCHEDULE
from worker.item.origin import DeadLetter, origin_of
from worker.item.signals import KeptSignal, kept_signals
from worker.item.steps import KeptStep, Steps
from worker.management.items.item_groups import ItemGroup
from worker.management.items.types import ItemDetailResponse, ItemWorker
from worker.openiap.fields import moment_of, object_of, text_of
from worker.openiap.values import format_bytes, iso, json_text
from worker.openiap.workitem import NEW, SUCCESSFUL, JsonObject

MAX_SHOWN: Final = 300
"""Characters of a mark."""
COPIES: Final = ("chain", "dead letter")
TOLD: Final = frozenset(
    {
        *("checkpoint", "progress", "namespace", "unique", "follow_up", ORIGIN),
        *("headers", "traceparent", "tracestate", "due"),
        *(GROUP, HISTORY, PARENT, SCHEDULE, STEPS),
    }
)
"""Marks that have words of their own, or say nothing to people."""


def show_item(
    console: Console,
    item: ItemDetailResponse,
    *,
    utc: bool = False,
    now: datetime | None = None,
) -> None:
    """Print an item whole.

    Args:
        utc: moments are UTC instead of this machine's time.
        now: the present.
    """
    payload = item.payload
    marks = object_of(payload.get(KEY)) if isinstance(payload, dict) else {}
    facts: list[tuple[str, object]] = [
        ("id", item.id),
        ("name", name_of(item.name)),
        ("queue", item.queue or ""),
        ("state", state(item)),
        ("waits", waiting(item, now or datetime.now(UTC), utc=utc)),
        ("progress", _progress(marks.get("progress"), utc=utc)),
        ("priority", "" if item.priority is None else item.priority),
        ("attempts", item.attempts),
        ("pushed", moment(item.created, utc=utc)),
        ("last run", moment(item.lastrun, utc=utc)),
        ("next run", moment(item.nextrun, utc=utc)),
        ("changed", moment(item.modified, utc=utc)),
        ("worker", _worker(item.worker)),
        ("user", item.username or ""),
        ("trace", item.trace or ""),
        ("group", _group(item.group)),
        *_words(marks, item.id),
    ]
    show_facts(console, [fact for fact in facts if str(fact[1])])
    if item.headers:
        console.print("\n[bold]Headers[/bold]")
        show_facts(console, [(name, safe(value)) for name, value in item.headers.items()])
    _show_error(console, item)
    if isinstance(payload, dict):
        payload = {name: value for name, value in payload.items() if name != KEY}
    console.print("\n[bold]Payload[/bold]")
    console.print(pretty_json(payload, console), soft_wrap=True)
    if item.files:
        console.print("\n[bold]Files[/bold]")
        rows = [
            (one.name, "" if one.bytes is None else format_bytes(one.bytes), one.id)
            for one in item.files
        ]
        show(console, {"name": "", "size": "number", "id": "dim"}, rows)
    # A copy's original is told above, with its error.
    parent = None if item.parent is None or item.parent.how in COPIES else item.parent
    show_links(console, parent, item.children, more=item.more_children, utc=utc)


def waiting(item: ItemDetailResponse, now: datetime, *, utc: bool = False) -> str:
    """Return why an item does not run, in words; "" for one that does, or has ended."""
    if item.state != NEW:
        return ""
    due, until = moment_of(item.nextrun), moment(item.nextrun, utc=utc)
    if item.waits:
        return f"{item.waits}; looked at again by itself at {until}"
    if due is None:
        return "has no time at which it is due, so it is never popped; items retry gives it one"
    if due > now:
        left = duration_text(max(1, round((due - now).total_seconds())))
        again = "tried again" if item.attempts else "due"
        return f"{again} in {left}"
    return "due: for the next worker that is free and works this queue"


def _progress(found: object, *, utc: bool) -> str:
    mark = object_of(found)
    share = mark.get("share")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        return ""
    text, at = text_of(mark.get("text")), moment(mark.get("at"), utc=utc)
    return ", ".join(one for one in (f"{share:.0%}", text, at) if one)


def _group(group: ItemGroup | None) -> str:
    if group is None:
        return ""
    what = f"member {group.n} of" if group.n is not None else "comes after all members of"
    if group.of is None:
        return f"{what} {group.id}"
    far = f"{group.done} of {group.of} done, {group.failed} failed"
    return f"{what} {group.id}: {far}{', over' if group.over else ''}"


def _worker(worker: ItemWorker | None) -> str:
    if worker is None:
        return ""
    return f"{worker.name} on {worker.host}" if worker.host else worker.name


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
    steps = Steps(item_id, marks.get(STEPS))
    done, signals = steps.steps(), kept_signals(steps)
    if signals:
        told.append(("signals", _shown("\n".join(map(_signal, signals)))))
    if done:
        names = ", ".join(step.name for step in done)
        told.append(("steps", f"{_shown(names)} ({format_bytes(sum(map(_size, done)))} kept)"))
    for name, words in (("namespace", "namespace"), ("unique", "unique push")):
        if text_of(marks.get(name)):
            told.append((words, marks[name]))
    told += [(name, _shown(value)) for name, value in marks.items() if name not in TOLD]
    return told


def _signal(kept: KeptSignal) -> str:
    at = None if kept.at is None else iso(kept.at)
    if kept.waits:
        return f"{kept.signal}: waited for since {iso(kept.since)}"
    if kept.timed_out:
        return f"{kept.signal}: none came in time, {at}"
    return f"{kept.signal}: taken {at}" + (f", by {kept.by}" if kept.by else "")


def _size(step: KeptStep) -> int:
    return len(step.text.encode())


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


def _show_error(console: Console, item: ItemDetailResponse) -> None:
    if not item.errormessage and not item.errorsource:
        return
    earlier = item.state == SUCCESSFUL
    title = "Error of an earlier attempt" if earlier else "Error"
    console.print(
        Text.assemble(("\n" + title, "bold"), " ", safe(f"({item.errortype or 'no type'})"))
    )
    console.print(safe(item.errormessage or ""), style="dim" if earlier else "red")
    if item.errorsource:
        console.print(safe(item.errorsource.rstrip()), style="dim")
