"""Workers: who is there, what each does, and what is amiss."""

from typing import Any, Final

from nicegui import ui

from worker.console.live import subjects
from worker.console.live.topics import Seen
from worker.console.page import Page
from worker.console.parts.boxes import Number, Trouble, box, empty, page_head
from worker.console.parts.tables import Column, Table
from worker.console.parts.texts import url_of
from worker.console.parts.worker_states import STATES, TONES
from worker.console.visits import Visit
from worker.management.workers.types import WorkerDetailResponse

COLUMNS: Final = (
    Column("id", "Worker", "link"),
    Column("state", "", "badge"),
    Column("queues", "Queues", wide=True, rest=True),
    Column("in_flight", "Running", "number"),
    Column("per_second", "Items/s", "number", wide=True),
    Column("host", "Host", wide=True),
    Column("since", "Started", "moment", wide=True),
    Column("seen", "Heard of", "moment", wide=True),
    Column("trouble", "What is amiss", rest=True),
)
MOST_QUEUES: Final = 5


async def build(visit: Visit) -> None:
    """Draw the page."""
    with page_head("Workers"):
        search = ui.input(placeholder="Search").props("outlined dense clearable")
        search.props('aria-label="Search workers" data-search')
    with box("numbers"):
        numbers = {state: Number(words, tone=tone) for state, words, tone in STATES}
        running, pace = Number("Items running", tone="busy"), Number("Items/s")
    numbers["dead"].note("silent for long")
    numbers["gone"].note("in the last hour")
    refused = Trouble()
    with box("card") as whole:
        table = Table("Workers", COLUMNS)
        none = empty(
            "No worker was heard of in the last hour.",
            "Start one where your handlers are:",
            "openiap-worker run --handlers MODULE",
        )
    search.on_value_change(lambda: table.element.set_filter(search.value or ""))

    def show(seen: Seen[list[WorkerDetailResponse]]) -> None:
        refused.set(seen.text if seen.value is None else "")
        whole.set_visibility(seen.value is not None)
        found = seen.value or []
        if seen.value is not None:
            for state, number in numbers.items():
                number.set(f"{sum(one.state == state for one in found):,}")
            running.set(f"{sum(one.in_flight for one in found if _lives(one)):,}")
            pace.set(f"{sum(one.per_second for one in found):,.1f}", "over the last minute")
        none.set_visibility(not found)
        table.element.set_visibility(bool(found))
        table.set([_row(one) for one in sorted(found, key=_place)])

    visit.look(subjects.workers(), show)


def _lives(worker: WorkerDetailResponse) -> bool:
    return worker.state in ("working", "quiet")


def _place(worker: WorkerDetailResponse) -> tuple[bool, bool, str]:
    """Those with trouble first, those that have ended last."""
    return worker.state == "gone", not worker.trouble, worker.id


def _row(worker: WorkerDetailResponse) -> dict[str, Any]:
    names = [one.name for one in worker.queues]
    more = f" and {len(names) - MOST_QUEUES:,} more" if len(names) > MOST_QUEUES else ""
    return {
        "id": worker.id,
        "id_to": url_of("/worker", id=worker.id),
        "state": worker.state,
        "state_tone": TONES[worker.state],
        "queues": ", ".join(names[:MOST_QUEUES]) + more,
        "in_flight": worker.in_flight,
        "per_second": round(worker.per_second, 1),
        "host": worker.host,
        "since": worker.since,
        "seen": worker.seen,
        "trouble": worker.trouble,
    }


PAGE = Page("/workers", "Workers", "workers", build)
