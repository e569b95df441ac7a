"""Queues: all that this user sees, and making one."""

from datetime import timedelta
from typing import Any, Final

from nicegui import ui

from worker.console.live import subjects
from worker.console.live.topics import Seen
from worker.console.page import Page
from worker.console.parts.actions import action
from worker.console.parts.boxes import Trouble, box, empty, page_head
from worker.console.parts.tables import Column, Table
from worker.console.parts.texts import url_of
from worker.console.queue_form import asked_for_queue
from worker.console.visits import Visit
from worker.management.queues.types import QueueItemsResponse, QueueResponse, QueuesGetListPayload

COLUMNS: Final = (
    Column("name", "Queue", "link"),
    Column("state", "", "badge"),
    Column("new", "Waiting", "number"),
    Column("oldest", "Oldest due", "moment", wide=True),
    Column("processing", "Running", "number"),
    Column("failed", "Failed", "number"),
    Column("successful", "Done", "number", wide=True),
    Column("workers", "Workers", "number", wide=True),
)


async def build(visit: Visit) -> None:
    """Draw the page."""
    with page_head("Queues"):
        search = ui.input(placeholder="Search").props("outlined dense clearable")
        search.props('aria-label="Search queues" data-search')

        async def make() -> None:
            await _make(visit)

        action(visit, "New queue", make, icon="add", tone="main")
    refused = Trouble()
    with box("card") as whole:
        table = Table("Queues", COLUMNS, key="name")
        none = empty(
            "No queue yet.",
            "A worker's handlers name their queues; make one above, or in a terminal:",
            "openiap-worker queues create orders",
        )
    search.on_value_change(lambda: table.element.set_filter(search.value or ""))

    def show(seen: Seen[list[QueueResponse]]) -> None:
        refused.set(seen.text if seen.value is None else "")
        whole.set_visibility(seen.value is not None)
        found = seen.value or []
        none.set_visibility(not found)
        table.element.set_visibility(bool(found))
        table.set([_row(one, seen) for one in found])

    visit.look(subjects.queues(), show)


def _row(queue: QueueResponse, seen: Seen[list[QueueResponse]]) -> dict[str, Any]:
    held = queue.items or QueueItemsResponse()
    word, tone = _state(queue, held.new)
    waits, oldest = queue.oldest_waiting, None
    if waits is not None and seen.at is not None:
        oldest = seen.at - timedelta(seconds=waits)
    return {
        "name": queue.name,
        "name_to": url_of("/queue", name=queue.name),
        "state": word,
        "state_tone": tone,
        "new": held.new,
        "oldest": oldest,
        "processing": held.processing,
        "failed": held.failed,
        "successful": held.successful,
        "workers": queue.workers or 0,
    }


def _state(queue: QueueResponse, waiting: int) -> tuple[str, str]:
    if queue.paused is not None:
        return "paused", "wait"
    if waiting and not queue.workers:
        return "no worker", "bad"
    return "", ""


async def _make(visit: Visit) -> None:
    names = [
        one.name for one in await visit.ask(lambda s: s.queues.get_list(QueuesGetListPayload()))
    ]
    asked = await asked_for_queue(names)
    if asked is None:
        return
    made = await visit.do(f"make queue {asked.name!r}", lambda s: s.queues.create_one(asked))
    if made is not None:
        visit.tell(f"Queue {made.name} is there.")


PAGE = Page("/queues", "Queues", "queues", build)
