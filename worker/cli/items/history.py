"""``items history``: what happened to one item, line by line."""

from typing import Annotated, Final

import typer
from rich.console import Console

from worker.cli.shared.client import with_client
from worker.cli.shared.groups import grouped
from worker.cli.shared.item_view import moment
from worker.cli.shared.links_view import show_links
from worker.cli.shared.options import AsJson, Options, Utc, settings_of
from worker.cli.shared.output import print_json, show_facts, show_noted, to_stdout
from worker.durations import text as duration_text
from worker.management.items.service import Items
from worker.management.items.timeline import ItemHistoryResponse, TimelineEntry
from worker.management.items.types import ItemGetHistoryPayload
from worker.openiap.client import Client
from worker.openiap.fields import moment_of

COLUMNS: Final = {"when": "whole", "what": "whole", "attempt": "whole", "by": "", "took": "number"}


@grouped
def history(
    id: Annotated[str, typer.Argument(help="The item's id.", show_default=False)],
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Show what happened to one item: each run, who changed it, what it comes from and led to."""
    chosen = settings_of(given).settings

    async def work(signed: Client) -> ItemHistoryResponse:
        return await Items(signed).get_history(ItemGetHistoryPayload.model_construct(id=id))

    found = with_client(chosen, work)
    if as_json:
        print_json(found.model_dump())
    else:
        show_history(to_stdout(), found, utc=utc)


def show_history(console: Console, found: ItemHistoryResponse, *, utc: bool = False) -> None:
    """Print a timeline.

    Args:
        utc: moments are UTC instead of this machine's time.
    """
    facts = [("id", found.id), ("queue", found.queue or ""), ("state", found.state or "")]
    show_facts(console, facts)
    console.print()
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for place, entry in enumerate(found.entries):
        if found.left_out and place == (found.left_out_before or 0):
            rows.append(("…", f"{found.left_out:,} left out", "", "", ""))
            notes.append("")
        rows.append(_row(entry, utc=utc))
        notes.append(_note(entry, utc=utc))
    show_noted(console, COLUMNS, rows, notes)
    show_links(console, found.parent, found.children, more=found.more_children, utc=utc)
    if not found.entries:
        console.print("Nothing is known of it.")


def _row(entry: TimelineEntry, *, utc: bool) -> tuple[str, ...]:
    attempt = "" if entry.attempt is None else str(entry.attempt)
    if entry.run is not None and entry.run > 1:
        attempt += f", run {entry.run}"
    took = "" if entry.seconds is None else _seconds(entry.seconds)
    return (moment(entry.start or entry.at, utc=utc), entry.what, attempt, entry.by or "", took)


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 60 else duration_text(round(seconds))


def _note(entry: TimelineEntry, *, utc: bool) -> str:
    """Return what else is to be said: what went wrong, why it waited, when it is tried again."""
    parts = []
    if entry.error or entry.code or entry.error_class:
        code = f"[{entry.code}] " if entry.code else ""
        error = entry.error or ""
        if entry.error_class and not error.startswith(entry.error_class):
            error = f"{entry.error_class}: {error}" if error else entry.error_class
        parts.append(f"{code}{error}")
    if entry.why:
        parts.append(entry.why)
    again, start = moment_of(entry.again), moment_of(entry.at)
    if again is not None:
        wait = 0 if start is None else round((again - start).total_seconds())
        after = f", {duration_text(wait)} later" if wait > 0 else ""
        parts.append(f"again at {moment(entry.again, utc=utc)}{after}")
    return "; ".join(parts)
