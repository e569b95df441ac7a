"""Steering a worker: buttons, what each asks first, and what the worker answered."""

from datetime import UTC, datetime
from typing import Final

from nicegui import ui
from nicegui.element import Element

from worker.console.parts.actions import action
from worker.console.parts.boxes import box
from worker.console.parts.dialogs import confirmed
from worker.console.parts.texts import clean, text
from worker.console.parts.times import exact
from worker.console.parts.worker_dialogs import asked_for_level, asked_for_slots
from worker.console.visits import Visit
from worker.engine.fleet.report import MOST_STACKS
from worker.management.workers.types import (
    Action,
    SteeredResponse,
    WorkerDetailResponse,
    WorkerQueue,
    WorkerSteerPayload,
)

WITHIN: Final = 15.0
"""Seconds after which a command is not done any more."""


class WorkerButtons:
    """What can be done with a worker.

    Args:
        stacks: where the stacks of what runs are shown.
    """

    def __init__(self, visit: Visit, id: str, stacks: Element) -> None:
        self._visit = visit
        self._id = id
        self._stacks = stacks
        self._worker: WorkerDetailResponse | None = None
        self._quiet: ui.button | None = None
        self._resume: ui.button | None = None
        self._others: list[ui.button | None] = []

    def draw(self) -> None:
        """Show them; they stay away until a worker is known that takes commands."""
        visit = self._visit
        self._others = [action(visit, "Stacks", self._looking, icon="manage_search")]
        self._quiet = action(visit, "Quiet", self._quieting, icon="pause")
        self._resume = action(visit, "Resume", self._resuming, icon="play_arrow", tone="main")
        self._others += [
            action(visit, "Concurrency", self._widening, icon="tune"),
            action(visit, "Log level", self._logging, icon="notes"),
            action(visit, "Stop", self._stopping, icon="stop", tone="danger"),
        ]
        self._show(steerable=False, quiet=False)

    def know(self, worker: WorkerDetailResponse) -> None:
        """Take note of how the worker is."""
        self._worker = worker
        self._show(steerable=worker.steerable, quiet=worker.state == "quiet")

    def _show(self, *, steerable: bool, quiet: bool) -> None:
        wanted = [
            (self._quiet, steerable and not quiet),
            (self._resume, steerable and quiet),
            *((one, steerable) for one in self._others),
        ]
        for button, there in wanted:
            if button is not None:
                button.set_visibility(there)

    def _queues(self) -> list[WorkerQueue]:
        return [] if self._worker is None else self._worker.queues

    async def _told(
        self, action: Action, *, queue: str = "", value: int | str | None = None
    ) -> SteeredResponse | None:
        """Tell the worker, and return what it answered where it did it."""
        asked = WorkerSteerPayload.model_construct(
            id=self._id, action=action, queue=queue, value=value, within=WITHIN
        )
        more = f" {queue!r} {value}" if queue else "" if value is None else f" {value}"
        done = await self._visit.do(
            f"{action} of worker {self._id!r}{more}", lambda s: s.workers.steer_one(asked)
        )
        if done is not None and not done.done:
            self._visit.tell(f"The worker did not do it: {done.text}.", "error")
            return None
        return done

    async def _quieting(self) -> None:
        if await self._told("quiet"):
            self._visit.tell(
                "The worker takes no more items; what runs goes on.", undo=self._resuming
            )

    async def _resuming(self) -> None:
        if await self._told("resume"):
            self._visit.tell("The worker takes items again.")

    async def _stopping(self) -> None:
        runs = self._worker.in_flight if self._worker is not None else 0
        sure = await confirmed(
            "Stop this worker?",
            f"{clean(self._id, 200)} takes no more items, finishes the {runs:,} that run, and"
            " ends. From here it cannot be started again: what runs it may do that.",
            "Stop it",
        )
        if sure and await self._told("stop"):
            self._visit.tell("The worker finishes what it has and ends.")

    async def _looking(self) -> None:
        found = await self._told("stacks")
        if found is None:
            return
        self._stacks.clear()
        with self._stacks:
            text("Where the handlers are", "h3")
            with box("quiet"):
                text(f"asked {exact(datetime.now(UTC))}")
            text(found.text, "pre", most=2 * MOST_STACKS)

    async def _widening(self) -> None:
        asked = await asked_for_slots(self._queues())
        if asked is None:
            return
        queue, slots = asked
        before = next((one.concurrency for one in self._queues() if one.name == queue), None)

        async def back() -> None:
            if before is not None and await self._told("concurrency", queue=queue, value=before):
                self._visit.tell(f"It works {_items(before)} of the queue at once again.")

        if await self._told("concurrency", queue=queue, value=slots):
            self._visit.tell(
                f"It works {_items(slots)} of the queue at once, until it ends.",
                undo=None if before is None else back,
            )

    async def _logging(self) -> None:
        level = await asked_for_level(self._worker.log_level if self._worker else "")
        if level is not None and await self._told("log_level", value=level):
            self._visit.tell(f"It logs at level {level}, until it ends.")


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count:,} items"
