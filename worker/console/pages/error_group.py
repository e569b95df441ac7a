"""One group of errors: what went wrong, where, since when, a sample of it; retrying all of it."""

from collections.abc import Awaitable, Callable
from typing import Final

from nicegui import ui
from nicegui.element import Element

from worker.console.live import subjects
from worker.console.live.topics import Seen
from worker.console.page import Page
from worker.console.parts.actions import action
from worker.console.parts.boxes import Number, badge, box, card, empty, page_head, problem
from worker.console.parts.bulk import What, changed_in_bulk
from worker.console.parts.jobs import JobStrip
from worker.console.parts.states import called
from worker.console.parts.texts import link, text, url_of
from worker.console.parts.times import moment, set_moment
from worker.console.visits import Visit
from worker.management.items.types import ErrorGroupResponse, ItemDetailResponse, ItemFilter

MOST_SOURCE: Final = 30_000


async def build(visit: Visit) -> None:
    """Draw the page."""
    id, queue = visit.query.get("id", ""), visit.query.get("queue") or None
    filter = ItemFilter.model_construct(group=id, queue=queue)
    head = page_head("Failed items of one kind", kind="Error group")
    jobs = JobStrip(visit)
    with head:
        _Buttons(visit, filter, jobs).draw()
        link("All its items", url_of("/items", group=id, queue=queue), "action-link")
    refused = box()
    reading = text("Reading the failed items…", "p", "quiet")
    whole = box("stack")
    with whole:
        with card("What"):
            what = box()
        with box("numbers"):
            count = Number("Failed items", url_of("/items", group=id, queue=queue), "bad")
            with box("number"):
                first = moment(None, "value")
                text("since", "span", "name")
            with box("number"):
                last = moment(None, "value")
                text("last", "span", "name")
        with box("grid"):
            with box("third"), card("Where"):
                where = box()
            with box("two-thirds"), card("Sample"):
                sample = box()
    shown: dict[str, object] = {}
    looked: list[Callable[[], None]] = []

    def draw(name: str, place: Element, value: object, act: Callable[[], None]) -> None:
        if name not in shown or shown[name] != value:
            shown[name] = value
            place.clear()
            with place:
                act()

    def show(seen: Seen[list[ErrorGroupResponse]]) -> None:
        refused.clear()
        reading.set_visibility(False)
        group = seen.value[0] if seen.value else None
        whole.set_visibility(group is not None)
        head.set_visibility(group is not None)
        if group is None:
            with refused:
                _none(seen)
            return
        count.set(f"{group.count:,}")
        set_moment(first, group.first)
        set_moment(last, group.last)
        draw("what", what, (group.message, group.code), lambda: _what(group))
        draw("where", where, group.queues, lambda: _where(group))
        if shown.get("sample") != group.sample.id:
            shown["sample"] = group.sample.id
            for leave in looked:
                leave()
            looked[:] = [visit.look(subjects.item(group.sample.id), sampled)]

    def sampled(seen: Seen[ItemDetailResponse]) -> None:
        item = seen.value
        key = None if item is None else (item.id, item.errormessage, item.errorsource)
        draw("source", sample, (key, seen.text if item is None else ""), lambda: _sample(seen))

    whole.set_visibility(False)
    head.set_visibility(False)
    topic = subjects.groups(filter)
    # All failed items are read for it; the page does not wait for that.
    ui.timer(0.01, lambda: visit.look(topic, show), once=True)


class _Buttons:
    """What can be done with all of the group."""

    def __init__(self, visit: Visit, filter: ItemFilter, jobs: JobStrip) -> None:
        self._visit = visit
        self._filter = filter
        self._jobs = jobs

    def draw(self) -> None:
        """Show them."""
        visit = self._visit
        action(visit, "Retry all", self._doing("retry"), icon="replay", tone="main")
        action(visit, "Move all", self._doing("move"), icon="drive_file_move")
        action(visit, "Delete all", self._doing("delete"), icon="delete", tone="danger")

    def _doing(self, what: What) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            filter = self._filter.model_copy(update={"states": ["failed"]})
            job = await changed_in_bulk(self._visit, what, filter)
            if job is not None:
                self._jobs.add(job)

        return do


def _none(seen: Seen[list[ErrorGroupResponse]]) -> None:
    if seen.value is None:
        problem(seen.text)
        return
    empty(
        "No item has failed in this way any more.",
        "They were retried, moved or deleted, or have succeeded.",
        to=("All errors", "/errors"),
    )


def _what(group: ErrorGroupResponse) -> None:
    if group.code:
        badge(group.code, "bad")
    text(group.message, "p", "mono strong")
    text("Where a word stands in <…> the messages differ.", "p", "quiet")


def _where(group: ErrorGroupResponse) -> None:
    with box("list"):
        for name, count in sorted(group.queues.items(), key=lambda one: (-one[1], one[0])):
            with box("line"):
                with box("what"):
                    link(name, url_of("/items", group=group.id, queue=name))
                badge(f"{count:,}", "bad")


def _sample(seen: Seen[ItemDetailResponse]) -> None:
    item = seen.value
    if item is None:
        text(seen.text or "Reading…", "p", "quiet")
        return
    with box("row-words"):
        link(called(item.name, item.id), url_of("/item", id=item.id))
        if item.errortype:
            badge(item.errortype)
        if item.worker is not None:
            text("by ", "span", "quiet")
            link(item.worker.name, url_of("/worker", id=item.worker.name))
    text(item.errormessage or "(no message)", "pre", "said", most=MOST_SOURCE)
    if item.errorsource:
        text(item.errorsource, "pre", "code", most=MOST_SOURCE)


PAGE = Page("/error-group", "Error group", "errors", build)
