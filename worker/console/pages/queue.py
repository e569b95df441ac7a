"""One queue: what it holds, its last hour, what fails in it; pausing, changing, emptying it."""

from collections.abc import Mapping
from typing import Final

from nicegui import ui

from worker.console.live import subjects
from worker.console.live.services import Services
from worker.console.live.topics import Seen
from worker.console.page import Page
from worker.console.parts.actions import action
from worker.console.parts.boxes import Number, badge, box, card, empty, facts, page_head, problem
from worker.console.parts.dialogs import confirmed
from worker.console.parts.hour import hour_charts
from worker.console.parts.pause import asked_for_pause
from worker.console.parts.sections import section
from worker.console.parts.states import STATES
from worker.console.parts.texts import clean, link, text, url_of
from worker.console.parts.times import duration, exact, moment
from worker.console.queue_form import asked_for_changes
from worker.console.visits import Visit
from worker.management.items.types import ErrorGroupResponse, ItemFilter
from worker.management.queues.errors import QueueNotFoundError
from worker.management.queues.types import (
    QueueDeletePayload,
    QueueItemsResponse,
    QueuePurgePayload,
    QueueResponse,
    QueueResumePayload,
    QueuesGetListPayload,
)

MOST_LISTED: Final = 8
NO_WORKER: Final = "Items wait, and no worker was heard of in the last minute that works them."


async def build(visit: Visit) -> None:
    """Draw the page."""
    name = visit.query.get("name", "")
    head = page_head(name, kind="Queue")
    warning = box()
    with box("numbers") as counts:
        numbers = {
            state: Number(words, url_of("/items", queue=name, state=state), tone)
            for state, words, tone in STATES
        }
    with box("grid") as whole:
        hour_charts(visit, subjects.hour(name))
        with box("half"), card("Settings"):
            settings = box()
        with box("half"):
            section(
                visit, "Errors", subjects.groups(ItemFilter.model_construct(queue=name)), _errors
            )
    buttons = _Buttons(visit, name)
    with head:
        buttons.draw()
    shown: list[object] = []

    def counted(seen: Seen[Mapping[str, QueueItemsResponse]]) -> None:
        if seen.value is not None:
            held = seen.value.get(name, QueueItemsResponse())
            for state, number in numbers.items():
                number.set(f"{getattr(held, state):,}")

    def listed(seen: Seen[QueueResponse | None]) -> None:
        found = seen.value
        missing = str(QueueNotFoundError(name)) if seen.at else seen.text
        if found is not None:
            waits = found.oldest_waiting
            due = "none is due" if waits is None else f"oldest due for {duration(waits)}"
            numbers["new"].note(due)
            buttons.know(found)
        for part in (head, counts, whole):  # of a queue that is not there nothing is zero
            part.set_visibility(found is not None)
        new = missing if found is None else _without_numbers(found)
        if shown == [new]:
            return
        shown[:] = [new]
        warning.clear()
        settings.clear()
        with warning:
            if found is None:
                problem(missing)
            else:
                _warnings(found)
        with settings:
            if found is not None:
                _settings(found)

    visit.look(subjects.counts(), counted)
    visit.look(subjects.queue(name), listed)


def _without_numbers(queue: QueueResponse) -> QueueResponse:
    """Return what is drawn of a queue; what changes all the time is set in place."""
    return queue.model_copy(update={"items": None, "oldest_waiting": queue.oldest_waiting and 1.0})


def _warnings(queue: QueueResponse) -> None:
    if queue.paused is not None:
        pause = queue.paused
        with box("warning"):
            text(f"Paused by {pause.by or 'somebody'} ")
            moment(pause.since)
            text(f": {pause.reason or 'no reason given'}.")
            text(" It ends " if pause.until else " It lasts until somebody resumes it.")
            if pause.until:
                moment(pause.until)
    elif queue.oldest_waiting is not None and not queue.workers:
        text(NO_WORKER, "p", "warning")


def _settings(queue: QueueResponse) -> None:
    facts(
        [
            ("Attempts in all", queue.max_retries),
            ("Until the next attempt", duration(queue.retry_delay)),
            ("Until the first", duration(queue.initial_delay)),
            ("Message queue", queue.amqp_queue),
            ("Done items go to", queue.success_queue),
            ("Failed items go to", queue.failed_queue),
            ("Workers", f"{queue.workers or 0:,} with {queue.slots or 0:,} slots"),
        ]
    )
    for advice in queue.advice:
        text(advice, "p", "quiet")


def _errors(groups: list[ErrorGroupResponse]) -> None:
    if not groups:
        empty("No failed item.")
        return
    with box("list"):
        for group in groups[:MOST_LISTED]:
            with box("line"):
                with box("what"):
                    link(
                        group.message,
                        url_of("/error-group", id=group.id, queue=next(iter(group.queues), None)),
                        "clip",
                    )
                    with box("quiet"):
                        text("last ")
                        moment(group.last)
                badge(f"{group.count:,}", "bad")


class _Buttons:
    """What can be done with the queue."""

    def __init__(self, visit: Visit, name: str) -> None:
        self._visit = visit
        self._name = name
        self._queue: QueueResponse | None = None
        self._pause: ui.button | None = None
        self._resume: ui.button | None = None

    def draw(self) -> None:
        """Show them."""
        visit = self._visit
        self._pause = action(visit, "Pause", self._pausing, icon="pause")
        self._resume = action(visit, "Resume", self._resuming, icon="play_arrow", tone="main")
        action(visit, "Settings", self._changing, icon="tune")
        action(visit, "Empty", self._emptying, icon="delete_sweep", tone="danger")
        action(visit, "Delete", self._deleting, icon="delete", tone="danger")
        if self._resume is not None:
            self._resume.set_visibility(False)

    def know(self, queue: QueueResponse) -> None:
        """Take note of how the queue is."""
        self._queue = queue
        if self._pause is not None and self._resume is not None:
            self._pause.set_visibility(queue.paused is None)
            self._resume.set_visibility(queue.paused is not None)

    async def _pausing(self) -> None:
        asked = await asked_for_pause(self._name)
        if asked is None:
            return
        done = await self._visit.do(
            f"pause queue {self._name!r}", lambda s: s.queues.pause_one(asked)
        )
        if done is not None:
            self._visit.tell("The queue is paused; what runs finishes.", undo=self._resuming)

    async def _resuming(self) -> None:
        before = self._queue.paused if self._queue is not None else None
        done = await self._visit.do(
            f"resume queue {self._name!r}",
            lambda s: s.queues.resume_one(QueueResumePayload.model_construct(name=self._name)),
        )
        if done is not None:
            until = "" if before is None or before.until is None else exact(before.until)
            would = f" It would have ended {until}." if until else ""
            self._visit.tell(f"The queue is popped again.{would}")

    async def _changing(self) -> None:
        if self._queue is None:
            return
        found = await self._visit.ask(lambda s: s.queues.get_list(QueuesGetListPayload()))
        others = [one.name for one in found if one.name != self._name]
        asked = await asked_for_changes(self._queue, others)
        if asked is None:
            return
        done = await self._visit.do(
            f"change queue {self._name!r}", lambda s: s.queues.update_one(asked)
        )
        if done is not None:
            self._visit.tell("The queue is changed.")

    async def _emptying(self) -> None:
        asked = QueuePurgePayload.model_construct(name=self._name)
        preview = await self._visit.do(
            f"look what would be deleted of queue {self._name!r}",
            lambda s: s.queues.preview_purge(asked),
        )
        if preview is None:
            return
        if not preview.count:
            self._visit.tell("The queue is empty already.")
            return
        sure = await confirmed(
            "Delete all items of this queue?",
            f"{preview.count:,} items of {clean(self._name, 200)} and their files are deleted,"
            " those that run included. This cannot be undone.",
            "Delete them",
            typed=f"delete {preview.count}",
        )
        if not sure:
            return
        done = await self._visit.do(
            f"empty queue {self._name!r}", lambda s: s.queues.purge_one(asked)
        )
        if done is not None:
            self._visit.tell(f"{done.deleted:,} items were deleted.")

    async def _deleting(self) -> None:
        asked = QueueDeletePayload.model_construct(name=self._name)
        preview = await self._visit.do(
            f"look what would go with queue {self._name!r}",
            lambda s: s.queues.preview_delete(asked),
        )
        if preview is None:
            return
        sure = await confirmed(
            "Delete this queue?",
            f"Queue {clean(self._name, 200)} goes with its {preview.count:,} items and their files."
            " This cannot be undone.",
            "Delete it",
            typed=f"delete {preview.count}",
        )
        if not sure:
            return

        async def delete(services: Services) -> bool:
            await services.queues.delete_one(asked)
            return True

        if await self._visit.do(f"delete queue {self._name!r}", delete):
            self._visit.browser.open("/queues")


PAGE = Page("/queue", "Queue", "queues", build)
