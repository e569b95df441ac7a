"""One item: where it stands and what happened to it, its payload, error, files, steps, relatives;
putting it back, editing, moving, deleting it."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

from nicegui.element import Element

from worker.console.item_actions import ItemActions
from worker.console.live import subjects
from worker.console.live.topics import Seen
from worker.console.page import Page
from worker.console.parts.boxes import Trouble, badge, box, card, facts, named_head
from worker.console.parts.commands import command
from worker.console.parts.json_tree import json_of, json_views
from worker.console.parts.states import TONES, WORDS, called
from worker.console.parts.texts import link, text, url_of
from worker.console.parts.timeline import timeline
from worker.console.parts.times import moment
from worker.console.visits import Visit
from worker.item.cancelled import CODE as CANCELLED
from worker.item.cancelled import MARK
from worker.item.error_text import coded
from worker.item.metadata import Metadata, taken_out
from worker.item.signals import KeptSignal, kept_signals
from worker.item.steps import Steps
from worker.management.items.links import ItemLink
from worker.management.items.timeline import ItemHistoryResponse
from worker.management.items.types import ItemDetailResponse
from worker.openiap.fields import moment_of, object_of
from worker.openiap.values import format_bytes

MOST_SOURCE: Final = 30_000
MOST_STEPS: Final = 200
RELATED: Final = {
    "chain": "Next in the chain",
    "dead letter": "Dead letter",
    "follow-up": "Follow-up",
    "schedule": "Schedule",
}
COMES_FROM: Final = {
    "chain": "Copied by the chain from",
    "dead letter": "Dead letter of",
    "follow-up": "Asked for by",
    "schedule": "Of the schedule",
}


async def build(visit: Visit) -> None:
    """Draw the page."""
    id = visit.query.get("id", "")
    head, title = named_head(id, kind="Item")
    actions = ItemActions(visit, id)
    with head:
        state = box("state")
        actions.draw()
    refused = Trouble()
    whole = box("grid")
    parts = _Parts(whole, id)

    def told(seen: Seen[ItemDetailResponse]) -> None:
        refused.set(seen.text if seen.value is None else "")
        whole.set_visibility(seen.value is not None)
        head.set_visibility(seen.value is not None)
        if seen.value is None:
            return
        title(called(seen.value.name, id))
        actions.know_whole(seen.value)
        parts.draw("state", state, seen.value.state, lambda: _state(seen.value))
        parts.detail(seen.value)

    def happened(seen: Seen[ItemHistoryResponse]) -> None:
        if seen.value is not None:
            parts.history(seen.value)

    visit.look(subjects.item(id), told)
    visit.look(subjects.history(id), happened)


def _state(item: ItemDetailResponse | None) -> None:
    if item is not None:
        name = item.state or ""
        badge(WORDS.get(name, name or "no state"), TONES.get(name, ""))


class _Parts:
    """The parts of the page; each is drawn anew when what it shows is another, and else left as it
    is, so that what is unfolded stays so."""

    def __init__(self, whole: Element, id: str) -> None:
        self._shown: dict[str, object] = {}
        with whole:
            with box("two-thirds stack"):
                self._error = box()
                with card("Timeline"):
                    self._timeline = box()
                with card("Payload"):
                    self._payload = box()
                self._steps = box()
                self._files = box()
            with box("third stack"):
                with card("Facts"):
                    self._facts = box()
                self._related = box()
                with card("Replay it here"):
                    text("Runs its handler on your machine; nothing is sent.", "p", "quiet")
                    command(f"openiap-worker replay {shlex.quote(id)}", "the command")

    def draw(self, name: str, place: Element, shown: object, draw: Callable[[], None]) -> None:
        """Draw a part, where what it shows is another."""
        if name in self._shown and self._shown[name] == shown:
            return
        self._shown[name] = shown
        place.clear()
        with place:
            draw()

    def detail(self, item: ItemDetailResponse) -> None:
        """Show an item."""
        payload, kept = taken_out(object_of(item.payload))
        shown = payload if isinstance(item.payload, dict) else item.payload
        error = (item.state, item.errormessage, item.errortype, item.errorsource)
        self.draw("error", self._error, error, lambda: _error(item))
        is_done = item.state == "successful"
        told = (json_of(shown), is_done)
        self.draw("payload", self._payload, told, lambda: _payload(shown, is_done=is_done))
        steps = (kept.steps, kept.progress, json_of(kept.checkpoint))
        self.draw("steps", self._steps, steps, lambda: _steps(item.id, kept))
        self.draw("files", self._files, item.files, lambda: _files(item))
        fact = item.model_dump(exclude={"payload", "errorsource", "errormessage"})
        self.draw("facts", self._facts, fact, lambda: _facts(item, kept))

    def history(self, found: ItemHistoryResponse) -> None:
        """Show its timeline and its relatives."""
        self.draw("timeline", self._timeline, found, lambda: timeline(found))
        related = (found.parent, found.children, found.more_children)
        self.draw("related", self._related, related, lambda: _related(found))


def _payload(payload: Any, *, is_done: bool) -> None:
    if is_done:
        text("What a handler returns is added to it.", "p", "quiet")
    json_views(payload)


def _error(item: ItemDetailResponse) -> None:
    if not item.errormessage and not item.errorsource:
        return
    cancelled = coded(item.errormessage or "")[0] == CANCELLED
    source = "" if (item.errorsource or "").startswith(MARK) else item.errorsource
    with card("Error" if item.state == "failed" else "Last error"):
        with box("row-words"):
            kind = "cancelled" if cancelled else item.errortype
            if kind:
                badge(kind, "bad" if item.state == "failed" else "")
            text(_meaning(item, cancelled=cancelled), "span", "quiet")
        text(item.errormessage or "(no message)", "pre", "said", most=MOST_SOURCE)
        if source:
            with Element("details").classes("more") as whole:
                whole.props["open"] = len(source) < 4_000
                text("Where it comes from", "summary")
                text(source, "pre", "code", most=MOST_SOURCE)


def _meaning(item: ItemDetailResponse, *, cancelled: bool) -> str:
    if item.state == "new":
        return "it is tried again"
    if cancelled:
        return "its handler is asked to end" if item.state == "processing" else "on purpose"
    if item.errortype == "business":
        return "the item itself is wrong; the same would happen again"
    return "something around it went wrong" if item.errortype == "application" else ""


def _facts(item: ItemDetailResponse, kept: Metadata) -> None:
    whole = facts([("Name", item.name)])
    with whole:
        text("Queue", "dt")
        with Element("dd"):
            link(item.queue or "-", url_of("/queue", name=item.queue))
        if item.worker is not None:
            text("Worker", "dt")
            with Element("dd"):
                link(item.worker.name, url_of("/worker", id=item.worker.name))
                text(f" on {item.worker.host}" if item.worker.host else "")
        for words, at in (
            ("Pushed", item.created),
            ("Changed", item.modified),
            ("Last run", item.lastrun),
            ("Due", item.nextrun if item.state == "new" else None),
        ):
            if at:
                text(words, "dt")
                with Element("dd"):
                    if words == "Due" and _is_due(item):
                        text("now")  # what is put back is given a moment that is long over
                    else:
                        moment(at)
        pairs: list[tuple[str, object]] = [
            ("Waits", item.waits),
            ("Attempts", item.attempts),
            ("Priority", item.priority),
            ("Trace", item.trace),
            ("Namespace", kept.namespace),
            ("Key", kept.unique),
        ]
        pairs += [(f"Header {name}"[:200], value) for name, value in item.headers.items()]
        for name, value in pairs:
            if value not in (None, ""):
                text(name, "dt")
                text(value, "dd")


def _is_due(item: ItemDetailResponse) -> bool:
    """Say whether it was due when it was changed last; else the browser tells since when it is."""
    due, changed = moment_of(item.nextrun), moment_of(item.modified)
    return due is not None and changed is not None and due <= changed


def _files(item: ItemDetailResponse) -> None:
    if not item.files:
        return
    with card("Files"), box("list"):
        for file in item.files:
            with box("line"):
                to = f"/api/v1/items/{_part(item.id)}/files/{_part(file.id)}"
                with box("what"):
                    link(file.name or file.id, to, "file")
                text("" if file.bytes is None else format_bytes(file.bytes), "span", "quiet")


def _part(value: str) -> str:
    return quote(value.encode("utf-8", "replace").decode(), safe="")


def _steps(id: str, kept: Metadata) -> None:
    if kept.steps is None and kept.progress is None and kept.checkpoint is None:
        return
    with card("Progress and steps"):
        if kept.progress is not None:
            _progress(kept.progress)
        steps = Steps(id, kept.steps)
        with box("list"):
            for sleep in steps.sleeps():
                with box("line"):
                    with box("what"):
                        text("Sleeps until ")
                        moment(sleep.until)
                    badge("sleep", "wait")
            for wait in kept_signals(steps)[:MOST_STEPS]:
                _wait(wait)
            for step in steps.steps()[:MOST_STEPS]:
                with box("line"):
                    with box("what"):
                        text(step.name, "b", most=200)
                        text(step.text, "div", "quiet mono clip", most=400)
                    moment(step.at)
        if kept.checkpoint is not None:
            with Element("details").classes("more"):
                text("Checkpoint", "summary")
                text(json_of(kept.checkpoint), "pre", most=MOST_SOURCE)


def _wait(wait: KeptSignal) -> None:
    with box("line"):
        with box("what"):
            text(wait.signal, "b", most=200)
            if wait.text is not None:
                text(f" by {wait.by or 'somebody'}", "span", "quiet", most=200)
                text(wait.text, "div", "quiet mono clip", most=400)
        if wait.waits:
            badge("waits for it", "wait")
        elif wait.timed_out:
            badge("did not come in time", "bad")
        moment(wait.since if wait.at is None else wait.at)


def _progress(found: dict[str, Any]) -> None:
    share = found.get("share")
    with box("progress"):
        if isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 1:
            with Element("progress") as bar:
                bar.props.update({"value": float(share), "max": 1, "aria-label": "Progress"})
            text(f"{share:.0%}")
        text(found.get("text") or "", "span", "quiet", most=300)
        if found.get("at"):
            moment(str(found["at"]))


def _related(found: ItemHistoryResponse) -> None:
    if found.parent is None and not found.children:
        return
    with card("Related items"):
        if found.parent is not None:
            text(COMES_FROM.get(found.parent.how, "Comes from"), "p", "quiet")
            _relative(found.parent, "")
        if found.children:
            _children(found.children)
        if found.more_children:
            text("and more", "p", "quiet")


def _children(children: Sequence[ItemLink]) -> None:
    with box("list"):
        for child in children:
            _relative(child, RELATED.get(child.how, ""))


def _relative(one: ItemLink, words: str) -> None:
    with box("line"):
        with box("what"):
            if one.id:
                link(called(one.name, one.id), url_of("/item", id=one.id))
            else:
                link(one.name or "-", "/schedules")
            with box("quiet"):
                text(" · ".join(part for part in (words, one.queue) if part), most=300)
                if one.tick:
                    text("tick ")
                    moment(one.tick)
        if one.state:
            badge(WORDS.get(one.state, one.state), TONES.get(one.state, ""))


PAGE = Page("/item", "Item", "items", build)
