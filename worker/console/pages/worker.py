"""One worker: what it runs now, its queues and its last hour; steering it."""

from typing import Any, Final

from worker.console.live import subjects
from worker.console.live.topics import Seen
from worker.console.page import Page
from worker.console.parts.boxes import Number, badge, box, card, facts, page_head, problem
from worker.console.parts.halts import breakers, pauses
from worker.console.parts.hour import hour_charts
from worker.console.parts.tables import Column, Table
from worker.console.parts.texts import text, url_of
from worker.console.parts.times import moment
from worker.console.parts.worker_buttons import WorkerButtons
from worker.console.parts.worker_states import TONES
from worker.console.visits import Visit
from worker.management.queues.breakers import BreakerResponse
from worker.management.queues.types import QueueResponse
from worker.management.workers.types import (
    AnswerResponse,
    WorkerDetailResponse,
    WorkerItem,
    WorkerQueue,
)

RUNS: Final = (
    Column("id", "Item", "link"),
    Column("queue", "Queue", "link"),
    Column("attempt", "Attempt", "number", wide=True),
    Column("since", "Since", "moment"),
    Column("progress", "Progress", rest=True),
    Column("deadline", "Timeout", "moment", wide=True),
)
QUEUES: Final = (
    Column("name", "Queue", "link"),
    Column("handler", "Handler", wide=True),
    Column("concurrency", "Slots", "number"),
    Column("in_flight", "Running", "number"),
    Column("per_second", "Items/s", "number", wide=True),
    Column("successful", "Done", "number", wide=True),
    Column("retried", "Retried", "number", wide=True),
    Column("failed", "Failed", "number", wide=True),
    Column("trouble", "What is amiss", rest=True),
)


async def build(visit: Visit) -> None:
    """Draw the page."""
    id = visit.query.get("id", "")
    head = page_head(id, kind="Worker")
    state = box("above")
    with box("numbers"):
        running, pace = Number("Items running", tone="busy"), Number("Items/s")
        free, outbox = Number("Free slots"), Number("Not settled yet")
    with box("grid"):
        with card("Runs now"):
            runs = Table("Items that run now", RUNS)
            idle = text("Nothing runs.", "p", "quiet within")
            stacks = box("within")
        hour_charts(visit, subjects.hour_of_worker(id))
        with card("Queues, since the worker's start"):
            queues = Table("Queues of the worker", QUEUES, key="name")
        with box("third"), card("About it"):
            about = box()
        with box("third"), card("Paused and broken"):
            halts = box()
        with box("third"), card("What it was told"):
            told = box()
    buttons = WorkerButtons(visit, id, stacks)
    with head:
        buttons.draw()
    shown: list[object] = []
    halted = _Halts(halts)

    def show(seen: Seen[WorkerDetailResponse | None]) -> None:
        worker = seen.value
        if worker is not None:
            running.set(f"{worker.in_flight:,}")
            pace.set(f"{worker.per_second:,.1f}", "over the last minute")
            free.set(f"{sum(one.free for one in worker.queues):,}", _slots(worker))
            outbox.set(f"{worker.outbox:,}", "on its disk")
            runs.set([_run(one) for one in worker.items])
            queues.set([_queue(one) for one in worker.queues])
            buttons.know(worker)
            halted.know(worker)
        idle.set_visibility(worker is not None and not worker.items)
        runs.element.set_visibility(worker is not None and bool(worker.items))
        new: object = seen.text if worker is None else _drawn(worker)
        if shown == [new]:
            return
        shown[:] = [new]
        for place in (state, about, told):
            place.clear()
        with state:
            if worker is None:
                problem(seen.text)
            else:
                _state(worker)
        if worker is not None:
            with about:
                _about(worker)
            with told:
                _told(worker.answers)

    visit.look(subjects.worker(id), show)
    visit.look(subjects.queue_settings(), halted.know_queues)
    visit.look(subjects.breakers(), halted.know_breakers)


class _Halts:
    """Pauses and open breakers of the worker's queues."""

    def __init__(self, place: Any) -> None:
        self._place = place
        self._names: frozenset[str] = frozenset()
        self._queues: list[QueueResponse] = []
        self._breakers: list[BreakerResponse] = []
        self._shown: object = None

    def know(self, worker: WorkerDetailResponse) -> None:
        self._names = frozenset(one.name for one in worker.queues)
        self._draw()

    def know_queues(self, seen: Seen[list[QueueResponse]]) -> None:
        self._queues = seen.value or []
        self._draw()

    def know_breakers(self, seen: Seen[list[BreakerResponse]]) -> None:
        self._breakers = seen.value or []
        self._draw()

    def _draw(self) -> None:
        halted = [one for one in self._queues if one.name in self._names and one.paused]
        broken = [one for one in self._breakers if one.queue in self._names]
        new = ([(one.name, one.paused) for one in halted], broken)
        if new == self._shown:
            return
        self._shown = new
        self._place.clear()
        with self._place:
            pauses(halted)
            breakers(broken)


def _drawn(worker: WorkerDetailResponse) -> object:
    """Return what is drawn of a worker; what changes all the time is set in place."""
    return worker.model_dump(
        include={"state", "trouble", "quiet", "log_level", "not_ready", "answers", "steerable"}
        | {"host", "pid", "version", "namespace", "since"}
        | ({"seen"} if worker.state in ("dead", "gone") else set())
    )


def _slots(worker: WorkerDetailResponse) -> str:
    return f"of {sum(one.concurrency for one in worker.queues):,}"


def _state(worker: WorkerDetailResponse) -> None:
    badge(worker.state, TONES[worker.state])
    if worker.state == "gone":
        with box("warning"):
            text("It has ended; last heard of ")
            moment(worker.seen)
            text(".")
    elif worker.state == "quiet":
        text(f"It takes no more items, {worker.quiet}; what runs goes on.", "p", "warning")
    if worker.trouble:
        problem(worker.trouble)


def _about(worker: WorkerDetailResponse) -> None:
    facts(
        [
            ("Host", worker.host),
            ("Process", worker.pid),
            ("Version", worker.version),
            ("Namespace", worker.namespace),
            ("Log level", worker.log_level),
            *((f"Not ready: {name}", why) for name, why in worker.not_ready.items()),
        ]
    )
    with box("quiet"):
        text("Started ")
        moment(worker.since)
    if worker.state in ("working", "quiet") and not worker.steerable:
        text("It takes no commands.", "p", "quiet")


def _told(answers: list[AnswerResponse]) -> None:
    if not answers:
        text("Nobody has told it anything since its start.", "p", "quiet")
        return
    with box("list"):
        for answer in reversed(answers):
            with box():
                text(answer.action.replace("_", " "), "b")
                badge("done" if answer.done else "not done", "good" if answer.done else "bad")
                with box("quiet"):
                    text(f"by {answer.by or 'somebody'} ")
                    moment(answer.at)
                if answer.action != "stacks":
                    text(answer.text, "div", "clip")


def _run(item: WorkerItem) -> dict[str, Any]:
    share = "" if item.progress is None else f"{item.progress:.0%} "
    return {
        "id": item.id,
        "id_to": url_of("/item", id=item.id),
        "queue": item.queue,
        "queue_to": url_of("/queue", name=item.queue),
        "attempt": item.attempt,
        "since": item.since,
        "progress": share + item.text,
        "deadline": item.deadline,
    }


def _queue(queue: WorkerQueue) -> dict[str, Any]:
    return {
        "name": queue.name,
        "name_to": url_of("/queue", name=queue.name),
        "handler": queue.handler,
        "concurrency": queue.concurrency,
        "in_flight": queue.in_flight,
        "per_second": round(queue.per_second, 1),
        **{name: queue.counts.get(name, 0) for name in ("successful", "retried", "failed")},
        "trouble": queue.trouble,
    }


PAGE = Page("/worker", "Worker", "workers", build)
