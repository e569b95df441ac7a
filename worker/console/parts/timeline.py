"""The timeline of an item: its runs drawn over time, and all that happened to it line by line."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.console.parts.boxes import badge, box
from worker.console.parts.texts import text
from worker.console.parts.times import exact, moment
from worker.management.items.timeline import ItemHistoryResponse, TimelineEntry
from worker.openiap.fields import moment_of

TONES: Final = {
    "pushed": "",
    "running": "busy",
    "succeeded": "good",
    "failed": "bad",
    "retry": "wait",
    "handed back": "wait",
    "waits": "",
    "taken over": "bad",
    "cancelled": "bad",
}
"""Of what happened; what an operator did has that of ``busy``."""
WORDS: Final = {
    "pushed": "Pushed",
    "running": "Runs",
    "succeeded": "Done",
    "failed": "Failed",
    "retry": "To be tried again",
    "handed back": "Handed back",
    "waits": "Waits",
    "taken over": "Taken over from a worker that was gone",
    "put back": "Put back",
    "edited": "Payload edited",
    "moved": "Moved",
    "priority": "Priority changed",
    "signalled": "Told",
    "cancelled": "Cancelled",
}
LEAST: Final = 0.6
"""Percent of the picture's width that a run has at least, so that it is seen."""


@dataclass(frozen=True)
class Bar:
    """A run as it is drawn: where it begins and how wide it is, in percent."""

    left: float
    width: float
    tone: str
    words: str


def timeline(found: ItemHistoryResponse) -> None:
    """Show it."""
    bars, first, last = picture_of(found.entries, datetime.now(UTC))
    if bars and first is not None and last is not None:
        with box("picture") as whole:
            whole.props.update({"role": "img", "aria-label": "Runs of the item over time"})
            with box("track"):
                for bar in bars:
                    shown = box(f"bar {bar.tone}")
                    shown.style(f"left: {bar.left:.2f}%; width: {bar.width:.2f}%")
                    shown.props["title"] = bar.words
            with box("ends quiet"):
                text(exact(first))
                text(span_of((last - first).total_seconds()))
                text(exact(last))
    with box("events"):
        for place, entry in enumerate(found.entries):
            if found.left_out and place == (found.left_out_before or 0):
                text(f"{found.left_out:,} entries are not kept", "div", "event quiet")
            _event(entry)
        if not found.entries:
            text("Nothing is known of it.", "p", "quiet")


def picture_of(
    entries: Sequence[TimelineEntry], now: datetime
) -> tuple[list[Bar], datetime | None, datetime | None]:
    """Return the bars, and the moments at which the picture begins and ends. Pure.

    Args:
        now: until when a run that goes on has lasted.
    """
    marks: list[tuple[datetime, datetime, TimelineEntry]] = []
    for entry in entries:
        at = moment_of(entry.at)
        if at is None:
            continue
        start = moment_of(entry.start) or at
        seconds = entry.seconds
        end = now if entry.what == "running" else at
        if seconds is not None and 0 <= seconds < 366 * 86_400 and entry.what != "running":
            with suppress(OverflowError):
                end = start + timedelta(seconds=seconds)
        marks.append((start, max(start, end), entry))
    if not marks:
        return [], None, None
    first, last = min(one[0] for one in marks), max(one[1] for one in marks)
    whole = (last - first).total_seconds()
    bars = []
    for start, end, entry in marks:
        width = 100 * (end - start).total_seconds() / whole if whole > 0 else 0.0
        width = min(100.0, max(LEAST, width))
        left = 100 * (start - first).total_seconds() / whole if whole > 0 else 0.0
        words = f"{WORDS.get(entry.what, 'Changed')} {exact(start)}"
        if end > start:
            words += f", {span_of((end - start).total_seconds())}"
        tone = TONES.get(entry.what, "busy") or "mark"
        bars.append(Bar(min(left, 100 - width), width, tone, words))
    return bars, first, last


def span_of(seconds: float) -> str:
    """Return a span in two units at most: "0.12 s", "3 min 20 s", "5 h 2 min", "2 d 3 h"."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for unit, name, below, small in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min")):
        if whole >= unit:
            return f"{whole // unit:,} {name} {whole % unit // below} {small}"
    return f"{whole // 60} min {whole % 60} s"


def _event(entry: TimelineEntry) -> None:
    with box("event"):
        with box("when"):
            moment(entry.start or entry.at)
        with box("what"):
            with box("row-words"):
                tone = TONES.get(entry.what, "busy")
                badge(WORDS.get(entry.what, entry.what), tone)
                for words in _facts(entry):
                    text(words, "span", "quiet", most=300)
            said = _said(entry)
            if said:
                text(said, "div", "said", most=600)
            again = moment_of(entry.again)
            if again is not None:
                with box("quiet"):
                    text("again ")
                    moment(again)


def _facts(entry: TimelineEntry) -> list[str]:
    found = []
    if entry.attempt is not None:
        run = f", run {entry.run}" if entry.run is not None and entry.run > 1 else ""
        found.append(f"attempt {entry.attempt}{run}")
    if entry.seconds is not None:
        found.append(span_of(entry.seconds))
    if entry.by:
        found.append(f"by {entry.by}")
    return found


def _said(entry: TimelineEntry) -> str:
    parts = []
    if entry.error or entry.code or entry.error_class:
        error = entry.error or ""
        if entry.error_class and not error.startswith(entry.error_class):
            error = f"{entry.error_class}: {error}" if error else entry.error_class
        parts.append(f"[{entry.code}] {error}" if entry.code else error)
    if entry.why:
        parts.append(entry.why)
    return "; ".join(parts)
