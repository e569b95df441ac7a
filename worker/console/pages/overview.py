"""Overview: how much waits, runs, is done and failed; the last hour; what needs somebody."""

from collections.abc import Mapping
from typing import Final

from worker.console.live import subjects
from worker.console.live.topics import Seen
from worker.console.page import Page
from worker.console.parts.boxes import Number, badge, box, card, empty, page_head
from worker.console.parts.halts import breakers, pauses
from worker.console.parts.hour import hour_charts
from worker.console.parts.sections import redrawn, section
from worker.console.parts.states import STATES
from worker.console.parts.texts import link, text, url_of
from worker.console.parts.times import duration, moment
from worker.console.visits import Visit
from worker.management.items.types import ErrorGroupResponse
from worker.management.queues.types import QueueItemsResponse, QueueResponse
from worker.management.workers.types import WorkerDetailResponse

MOST_LISTED: Final = 5
MOST_QUEUES: Final = 8


async def build(visit: Visit) -> None:
    """Draw the page."""
    page_head("Overview")
    _numbers(visit)
    with box("grid"):
        hour_charts(visit, subjects.hour())
        with box("two-thirds stack"):
            section(visit, "Errors", subjects.groups(), _errors, head=lambda _: _all("/errors"))
            queues = subjects.queues_and_workers()
            section(visit, "Queues", queues, _queues, head=lambda _: _all("/queues"))
        with box("third stack"):
            with card("Paused and broken"):
                redrawn(visit, subjects.queue_settings(), pauses)
                redrawn(visit, subjects.breakers(), breakers)
            section(visit, "Workers", subjects.workers(), _workers, head=lambda _: _all("/workers"))


def _all(to: str) -> None:
    link("All", to)


def _numbers(visit: Visit) -> None:
    with box("numbers"):
        shown = {
            state: Number(words, url_of("/items", state=state), tone)
            for state, words, tone in STATES
        }
        pace = Number("Items/s")
        alive = Number("Workers", "/workers")

    def counted(seen: Seen[Mapping[str, QueueItemsResponse]]) -> None:
        if seen.value is not None:
            for state, number in shown.items():
                number.set(f"{sum(getattr(one, state) for one in seen.value.values()):,}")

    def waited(seen: Seen[list[QueueResponse]]) -> None:
        if seen.value is not None:
            waits = [one.oldest_waiting for one in seen.value if one.oldest_waiting is not None]
            shown["new"].note(f"oldest due for {duration(max(waits))}" if waits else "none is due")

    def worked(seen: Seen[list[WorkerDetailResponse]]) -> None:
        if seen.value is not None:
            living = [one for one in seen.value if one.state in ("working", "quiet")]
            amiss = sum(bool(one.trouble) for one in seen.value)
            pace.set(f"{sum(one.per_second for one in living):,.1f}", "as workers tell")
            well = "all well" if living else "none runs"
            alive.set(f"{len(living):,}", f"{amiss:,} with trouble" if amiss else well)

    visit.look(subjects.counts(), counted)
    visit.look(subjects.queues_and_workers(), waited)
    visit.look(subjects.workers(), worked)


def _errors(groups: list[ErrorGroupResponse]) -> None:
    if not groups:
        empty("No failed item.", "What fails is grouped here by its error.")
        return
    with box("list"):
        for group in groups[:MOST_LISTED]:
            with box("line"):
                with box("what"):
                    link(group.message, url_of("/error-group", id=group.id), "clip")
                    with box("quiet"):
                        text(", ".join(sorted(group.queues)), most=200)
                        text(" · last ")
                        moment(group.last)
                badge(f"{group.count:,}", "bad")


def _queues(queues: list[QueueResponse]) -> None:
    if not queues:
        empty(
            "No queue yet.",
            "A worker's handlers name their queues; make one there, or here under Queues.",
            "openiap-worker queues create orders",
        )
        return
    busy = sorted(queues, key=_load, reverse=True)[:MOST_QUEUES]
    with box("list"):
        for queue in busy:
            held = queue.items or QueueItemsResponse()
            with box("line"):
                with box("what"):
                    link(queue.name, url_of("/queue", name=queue.name))
                    text(_told(queue), "div", "quiet")
                for number, words, tone in (
                    (held.new, "waiting", "wait"),
                    (held.processing, "running", "busy"),
                    (held.failed, "failed", "bad"),
                ):
                    if number:
                        badge(f"{number:,} {words}", tone)


def _load(queue: QueueResponse) -> tuple[int, int]:
    held = queue.items or QueueItemsResponse()
    return held.new + held.processing, held.failed


def _told(queue: QueueResponse) -> str:
    workers = f"{queue.workers or 0} workers" if queue.workers != 1 else "1 worker"
    if queue.paused is not None:
        return f"{workers} · paused"
    if not queue.workers and queue.items is not None and queue.items.new:
        return "items wait, and no worker works it"
    return workers


def _workers(workers: list[WorkerDetailResponse]) -> None:
    if not any(one.state != "gone" for one in workers):
        empty(
            "No worker runs.",
            "Start one where your handlers are:",
            "openiap-worker run --handlers MODULE",
        )
        return
    troubled = [one for one in workers if one.trouble]
    if not troubled:
        text("No worker has trouble.", "p", "quiet")
    with box("list"):
        for worker in troubled[:MOST_LISTED]:
            with box("line"):
                with box("what"):
                    link(worker.id, url_of("/worker", id=worker.id))
                    text(worker.trouble, "div", "quiet clip")
                badge(worker.state, "bad" if worker.state == "dead" else "wait")
        if len(troubled) > MOST_LISTED:
            text(f"and {len(troubled) - MOST_LISTED:,} more", "p", "quiet")


PAGE = Page("/", "Overview", "overview", build)
