"""The timeline of an item: what happened to it, what it comes from, and what came of it.

1. What workers and operators wrote on it (``worker/item/history.py``); others may have written
   anything.
2. What the document itself tells: its push, the run that goes on, the end of one that nobody wrote
   down (another program's, or one that has no place for it).
3. Its children are found by one query (``links.py``).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel

from worker.item.cancelled import is_cancelled
from worker.item.error_text import coded
from worker.item.history import FIELD, Entry, History, first_line, history_of, runs
from worker.item.metadata import HISTORY
from worker.management.items.holder import named_worker
from worker.management.items.links import ItemLink, marks_of, parent_of
from worker.management.items.shown import shown_field, shown_text
from worker.openiap.fields import id_of, moment_of, number, text_of
from worker.openiap.values import iso
from worker.openiap.workitem import FAILED, PROCESSING, SUCCESSFUL, JsonObject

OF_RUNS: Final = ("succeeded", "failed", "retry")


class TimelineEntry(BaseModel):
    """Something that happened to an item; moments as OpenIAP writes them.

    Attributes:
        what: ``pushed``; ``running``; a run that ``succeeded``, ``failed``, is tried again
            (``retry``), was ``handed back`` or put back as it ``waits``, or whose worker was gone
            (``taken over``); or somebody's doing: ``put back``, ``edited``, ``moved``,
            ``priority``, ``signalled``, ``cancelled``.
        by: the worker, or the user.
        attempt: 1 for the first; None where it is none.
        run: of that attempt; None where it is none, or not known.
        start, seconds: of the run.
        kind, error_class, code, error: of its error; the message's first line.
        again: when it is tried again.
        why: it waited, was handed back or taken over; or what was changed.
    """

    what: str
    at: str
    by: str | None = None
    attempt: int | None = None
    run: int | None = None
    start: str | None = None
    seconds: float | None = None
    kind: str | None = None
    error_class: str | None = None
    code: str | None = None
    error: str | None = None
    again: str | None = None
    why: str | None = None


class ItemHistoryResponse(BaseModel):
    """The timeline of an item.

    Attributes:
        left_out: how many entries are not kept; they were before ``entries[left_out_before]``,
            where that can be said.
        parent: what the item comes from.
        children: what came of it, at most 100; ``more_children``: there are others.
    """

    id: str
    queue: str | None
    state: str | None
    entries: list[TimelineEntry]
    left_out: int = 0
    left_out_before: int | None = None
    parent: ItemLink | None = None
    children: list[ItemLink] = []
    more_children: bool = False


def timeline_of(
    document: JsonObject, children: Sequence[ItemLink], *, more: bool
) -> ItemHistoryResponse:
    """Return an item's timeline.

    Args:
        document: the item, whole.
        children: what came of it; more: there are others.
    """
    history = kept_history(document)
    entries = entries_of(document, history)
    # The push comes before all that is kept.
    gap = None if history.gap is None else history.gap + 1
    return ItemHistoryResponse(
        id=shown_text(id_of(document)),
        queue=shown_field(document, "wiq"),
        state=shown_field(document, "state"),
        entries=entries,
        left_out=history.left_out,
        left_out_before=gap,
        parent=parent_of(document),
        children=list(children),
        more_children=more,
    )


def kept_history(document: Mapping[str, Any]) -> History:
    """Return what is written on an item."""
    return history_of(
        text_of(document.get("_id")), document.get(FIELD), marks_of(document).get(HISTORY)
    )


def entries_of(document: Mapping[str, Any], history: History) -> list[TimelineEntry]:
    """Return all that happened to an item, as far as it is known."""
    numbers = runs(history.entries, history.gap)
    found = [_shown(entry, run) for entry, run in zip(history.entries, numbers, strict=True)]
    pushed = moment_of(document.get("_created"))
    by = shown_text(text_of(document.get("_createdby")))
    if pushed is not None:
        found.insert(0, TimelineEntry(what="pushed", at=iso(pushed), by=by or None))
    elif history.gap is not None or history.left_out:
        found.insert(0, TimelineEntry(what="pushed", at="", by=by or None))
    last = _untold(document, history.entries)
    return found if last is None else [*found, last]


def _untold(document: Mapping[str, Any], entries: Sequence[Entry]) -> TimelineEntry | None:
    """Return the run that goes on, or ended without a word."""
    state, attempt = document.get("state"), number(document.get("retries")) + 1
    start = moment_of(document.get("lastrun"))
    by = named_worker(document) or text_of(document.get("username"))
    if is_cancelled(document):  # it waited, so no run has ended
        since = max((n for n, one in enumerate(entries) if one.what == "put back"), default=0)
        if any(one.what == "cancelled" for one in entries[since:]):
            return None
        _, why = coded(text_of(document.get("errormessage")))
        at = iso(moment_of(document.get("_modified")) or datetime.now(UTC))
        return TimelineEntry(what="cancelled", at=at, why=shown_text(first_line(why)) or None)
    if start is None:
        return None
    told = TimelineEntry(
        what="running",
        at=iso(start),
        by=shown_text(by) or None,
        attempt=attempt,
        run=1 + sum(one.attempt == attempt for one in entries),
        start=iso(start),
    )
    if state == PROCESSING:
        return told
    if state not in (SUCCESSFUL, FAILED) or any(
        one.attempt == attempt and one.what in OF_RUNS for one in entries
    ):
        return None
    ended = moment_of(document.get("_modified")) or start
    told.what, told.at = "succeeded" if state == SUCCESSFUL else "failed", iso(ended)
    if state == FAILED:
        code, message = coded(text_of(document.get("errormessage")))
        told.kind = shown_text(text_of(document.get("errortype"))) or None
        told.code, told.error = shown_text(code) or None, shown_text(first_line(message)) or None
    return told


def _shown(entry: Entry, run: int | None) -> TimelineEntry:
    return TimelineEntry(
        what=entry.what,
        at=iso(entry.at),
        by=shown_text(entry.by) or None,
        attempt=entry.attempt or None,
        run=run,
        start=_iso(entry.start),
        seconds=entry.seconds,
        kind=shown_text(entry.kind) or None,
        error_class=shown_text(entry.error_class) or None,
        code=shown_text(entry.code) or None,
        error=shown_text(entry.error) or None,
        again=_iso(entry.again),
        why=shown_text(entry.why) or None,
    )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)
