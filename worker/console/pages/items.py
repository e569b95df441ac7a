"""Items: those of a view that stands in the address, chosen one by one or all, and changed."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from nicegui import ui
from nicegui.element import Element

from worker.console.item_filter_form import asked_for_filter
from worker.console.live import subjects
from worker.console.live.topics import Seen
from worker.console.page import Page
from worker.console.parts.actions import action
from worker.console.parts.boxes import Trouble, box, empty, page_head, problem
from worker.console.parts.bulk import What, changed_in_bulk
from worker.console.parts.item_view import NAMES, ON_PAGE, ItemView, searched, view_of
from worker.console.parts.jobs import JobStrip
from worker.console.parts.states import STATES, TONES, WORDS, called
from worker.console.parts.tables import Column, Table
from worker.console.parts.texts import attribute, link, text, url_of
from worker.console.visits import Visit
from worker.management.errors import AppError
from worker.management.items.types import ItemFilter, ItemResponse, ItemsGetPListPayload, SortBy
from worker.management.paging import PaginatedResponse
from worker.management.queues.types import QueueItemsResponse

SORTED: Final[Mapping[str, SortBy]] = {
    "queue": "queue",
    "state": "state",
    "priority": "priority",
    "attempts": "retries",
    "error": "errormessage",
    "created": "created",
    "modified": "modified",
}
COUNTED: Final = frozenset({"queue", "state"})
"""Filters of which the counts of queues tell how many there are."""
SLOW: Final = frozenset({"group"})
"""Filters that no query can tell: the rows follow the page."""


async def build(visit: Visit) -> None:
    """Draw the page."""
    head = page_head("Items")
    try:
        view, wrong = view_of(_given(visit)), ""
        filter = view.filter()
    except AppError as error:
        view, filter, wrong = ItemView(), ItemFilter(), error.message
    with head:
        _search(visit, view)
    jobs = JobStrip(visit)
    _tabs(visit, view)
    _chips(visit, view)
    if wrong:
        problem(wrong)
        return
    _List(visit, view, filter, jobs).draw()


def _given(visit: Visit) -> list[tuple[str, str]]:
    request = visit.browser.request
    return list(visit.query.items()) if request is None else request.query_params.multi_items()


def _search(visit: Visit, view: ItemView) -> None:
    search = ui.input(placeholder="Id, error text, or payload.customer=acme")
    search.props('outlined dense clearable data-search aria-label="Search items"')
    search.classes("search")

    def go() -> None:
        found = searched(search.value or "")
        if not found:
            return
        (name, value) = found[0]
        if name == "id":
            visit.browser.open(url_of("/item", id=value))
        else:
            more = view.all_of("where") if name == "where" else []
            visit.browser.open(view.with_part(name, *more, value).url)

    search.on("keydown.enter", go, args=[])

    async def more() -> None:
        asked = await asked_for_filter(view)
        if asked is not None:
            visit.browser.open(asked.url)

    ui.button("Filter", icon="filter_list", on_click=more, color=None).props(
        "dense no-caps outline"
    ).classes("action plain")


def _tabs(visit: Visit, view: ItemView) -> None:
    """Show the states as tabs, with how many items of the queue are in each where that is known."""
    chosen, queue = view.all_of("state"), view.one_of("queue")
    counted = {name for name, _ in view.parts} <= COUNTED
    with Element("nav").classes("tabs") as whole:
        whole.props["aria-label"] = "States"
        _tab("All", view.with_part("state"), not chosen)
        numbers = {
            state: _tab(words, view.with_part("state", state), chosen == [state])
            for state, words, _ in STATES
        }
    if not counted:
        return

    def show(seen: Seen[Mapping[str, QueueItemsResponse]]) -> None:
        if seen.value is None:
            return
        of = [seen.value.get(queue, QueueItemsResponse())] if queue else list(seen.value.values())
        for state, number in numbers.items():
            number.text = f"{sum(getattr(one, state) for one in of):,}"

    visit.look(subjects.counts(), show)


def _tab(words: str, view: ItemView, current: bool) -> Any:
    with Element("a") as tab:
        tab.props["href"] = view.url
        if current:
            tab.props["aria-current"] = "page"
        text(words)
        return text("", "span", "count")


def _chips(visit: Visit, view: ItemView) -> None:
    """Show what the view is narrowed by; a click takes a part away."""
    shown = [part for part in view.parts if part[0] != "state"]
    if not shown:
        return
    with box("chips"):
        for part in shown:
            name, value = part
            with Element("a").classes("chip") as chip:
                chip.props["href"] = view.without(part).url
                attribute(chip, "aria-label", f"Without {NAMES[name]}: {value[:100]}")
                text(f"{NAMES[name]}: ", "span", "quiet")
                text(value, most=100)
                ui.icon("close").props('aria-hidden="true"')
        link("Clear all", ItemView().url)


class _List:
    """The rows, which of them are chosen, and what is done with those."""

    def __init__(self, visit: Visit, view: ItemView, filter: ItemFilter, jobs: JobStrip) -> None:
        self._visit = visit
        self._view = view
        self._filter = filter
        self._jobs = jobs
        self._chosen: list[str] = []
        self._all = False
        self._ids: list[str] = []
        self._is_empty = False
        self._total = 0
        self._held: Seen[PaginatedResponse[ItemResponse]] | None = None

    def draw(self) -> None:
        """Show all of it."""
        visit, view = self._visit, self._view
        self._bar()
        self._refused = Trouble()
        with box("card") as self._card:
            self._table = Table(
                "Items",
                [self._column(one) for one in self._columns()],
                select=None if visit.read_only else self._choose,
            )
            self._none = box()
            with box("pager"):
                self._range = text("", "span", "quiet")
                self._range.props["role"] = "status"
                self._before = link("Previous", view.at(max(1, view.page - 1)).url, "page-link")
                self._next = link("Next", view.at(view.page + 1).url, "page-link")
                self._before.set_visibility(False)
                self._next.set_visibility(False)
        self._range.text = "Reading…"
        payload = ItemsGetPListPayload(
            filter=self._filter,
            limit=ON_PAGE,
            offset=(view.page - 1) * ON_PAGE,
            sort_by=view.sort_by,
            sort_direction=view.direction,
        )
        topic = subjects.items(payload)
        if SLOW & {name for name, _ in view.parts}:
            ui.timer(0.01, lambda: visit.look(topic, self._show), once=True)
        else:
            visit.look(topic, self._show)

    def _columns(self) -> list[Column]:
        found = [Column("item", "Item", "link", sortable=False)]
        if not self._view.one_of("queue"):
            found.append(Column("queue", "Queue", "link"))
        return [
            *found,
            Column("state", "State", "badge"),
            Column("attempts", "Attempts", "number", wide=True),
            Column("priority", "Priority", "number", wide=True),
            Column("error", "Error", wide=True, rest=True),
            Column("created", "Pushed", "moment", wide=True),
            Column("modified", "Changed", "moment", wide=True),
        ]

    def _column(self, column: Column) -> Column:
        field = SORTED.get(column.name)
        if field is None:
            return column
        order = self._view.direction if field == self._view.sort_by else ""
        return Column(
            column.name,
            column.label,
            column.kind,
            column.wide,
            column.rest,
            to=self._view.sorted_by(field).url,
            order=order,
        )

    def _bar(self) -> None:
        """Show what can be done with what is chosen."""
        visit = self._visit
        with box("chosen") as self._tools:
            self._words = text("", "b")
            self._words.props["role"] = "status"
            self._rest = action(visit, "Select all that match", self._choose_all)
            with box("actions"):
                action(visit, "Retry", self._doing("retry"), icon="replay", tone="main")
                action(visit, "Move", self._doing("move"), icon="drive_file_move")
                action(visit, "Priority", self._doing("priority"), icon="low_priority")
                action(visit, "Payload", self._doing("payload"), icon="edit")
                action(visit, "Cancel items", self._doing("cancel"), icon="block", tone="danger")
                action(visit, "Delete", self._doing("delete"), icon="delete", tone="danger")
                action(visit, "Clear", self._clear)
        self._tools.set_visibility(False)

    def _doing(self, what: What) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            filter = self._filter if self._all else ItemFilter(ids=list(self._chosen))
            job = await changed_in_bulk(self._visit, what, filter)
            if job is not None:
                self._jobs.add(job)
                await self._clear()

        return do

    def _choose(self, ids: list[str]) -> None:
        self._chosen, self._all = ids, False
        self._show_chosen()

    async def _choose_all(self) -> None:
        self._all = True
        self._show_chosen()

    async def _clear(self) -> None:
        self._table.element.selected = []
        self._table.element.update()
        self._choose([])

    def _show_chosen(self) -> None:
        count = len(self._chosen)
        self._tools.set_visibility(bool(count))
        if self._all:
            self._words.text = f"All {self._total:,} that match are selected"
        else:
            self._words.text = f"{count:,} selected"
        whole = count == len(self._ids) and self._total > count and not self._filter.is_empty
        if self._rest is not None:
            self._rest.set_visibility(whole and not self._all)
            self._rest.set_text(f"Select all {self._total:,} that match")
        if not count and self._held is not None:
            held, self._held = self._held, None
            self._show(held)

    def _show(self, seen: Seen[PaginatedResponse[ItemResponse]]) -> None:
        if self._chosen:
            self._held = seen  # rows that are chosen do not move under the hand
            return
        found = seen.value
        self._refused.set(seen.text if found is None else "")
        self._card.set_visibility(found is not None)
        if found is None:
            return
        self._total, self._ids = found.total, [one.id for one in found.items]
        self._table.set([_row(one) for one in found.items])
        self._table.element.set_visibility(bool(found.items))
        self._pages(found)
        if self._is_empty is bool(found.items):
            self._is_empty = not found.items
            self._none.clear()
            if not found.items:
                with self._none:
                    _nothing(self._view)

    def _pages(self, found: PaginatedResponse[ItemResponse]) -> None:
        first, last = found.offset + 1, found.offset + len(found.items)
        self._range.text = f"{first:,} to {last:,} of {found.total:,}" if found.items else ""
        self._before.set_visibility(self._view.page > 1)
        self._next.set_visibility(last < found.total and bool(found.items))


def _row(item: ItemResponse) -> dict[str, Any]:
    state = item.state or ""
    return {
        "id": item.id,
        "item": called(item.name, item.id),
        "item_to": url_of("/item", id=item.id),
        "queue": item.queue,
        "queue_to": url_of("/queue", name=item.queue),
        "state": "Parked" if item.waits else WORDS.get(state, state),
        "state_tone": TONES.get(state, ""),
        "attempts": item.attempts,
        "priority": item.priority,
        "error": (item.errormessage or "").strip().partition("\n")[0][:200],
        "created": item.created,
        "modified": item.modified,
    }


def _nothing(view: ItemView) -> None:
    if view.page > 1:
        empty(
            "This page is empty.",
            "There are fewer items by now.",
            to=("First page", view.at(1).url),
        )
    elif view.parts:
        empty("No item matches.", "Take a part of the filter away.", to=("All items", "/items"))
    else:
        empty(
            "No item yet.",
            "Push one:",
            'openiap-worker push orders --payload \'{"customer": "acme"}\'',
        )


PAGE = Page("/items", "Items", "items", build)
