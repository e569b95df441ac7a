"""Error groups: failed items by what went wrong, the largest group first."""

from typing import Any, Final

from nicegui import ui

from worker.console.live import subjects
from worker.console.live.topics import Seen
from worker.console.page import Page
from worker.console.parts.boxes import Trouble, box, empty, page_head
from worker.console.parts.tables import Column, Table
from worker.console.parts.texts import link, text, url_of
from worker.console.visits import Visit
from worker.management.items.grouping import OTHER
from worker.management.items.types import ErrorGroupResponse, ItemFilter

COLUMNS: Final = (
    Column("message", "Error", "link", rest=True),
    Column("code", "Code", wide=True),
    Column("count", "Items", "number"),
    Column("queues", "Queues", wide=True),
    Column("first", "Since", "moment", wide=True),
    Column("last", "Last", "moment"),
)


async def build(visit: Visit) -> None:
    """Draw the page."""
    queue = visit.query.get("queue") or None
    with page_head("Errors"):
        search = ui.input(placeholder="Search").props("outlined dense clearable")
        search.props('aria-label="Search errors" data-search').classes("search")
    if queue is not None:
        with box("chips"):
            text("Of queue ", "span", "quiet")
            link(queue, url_of("/queue", name=queue))
            link("All queues", "/errors")
    refused = Trouble()
    reading = text("Reading the failed items…", "p", "quiet")
    with box("card") as whole:
        table = Table("Groups of errors", COLUMNS, page=50)
        none = empty(
            "No failed item.",
            "What fails is grouped here: errors that differ only in ids, numbers and the like"
            " are one.",
            to=("All items", "/items"),
        )
    whole.set_visibility(False)
    search.on_value_change(lambda: table.element.set_filter(search.value or ""))

    def show(seen: Seen[list[ErrorGroupResponse]]) -> None:
        refused.set(seen.text if seen.value is None else "")
        reading.set_visibility(False)
        whole.set_visibility(seen.value is not None)
        if seen.value is None:
            return
        none.set_visibility(not seen.value)
        table.element.set_visibility(bool(seen.value))
        table.set([_row(one, queue) for one in seen.value])

    topic = subjects.groups(ItemFilter.model_construct(queue=queue) if queue else None)
    # All failed items are read for it; the page does not wait for that.
    ui.timer(0.01, lambda: visit.look(topic, show), once=True)


def _row(group: ErrorGroupResponse, queue: str | None) -> dict[str, Any]:
    own = group.id != OTHER
    return {
        "id": group.id,
        "message": group.message,
        "message_to": url_of("/error-group", id=group.id, queue=queue) if own else "",
        "code": group.code,
        "count": group.count,
        "queues": ", ".join(sorted(group.queues)),
        "first": group.first,
        "last": group.last,
    }


PAGE = Page("/errors", "Errors", "errors", build)
