"""Schedules: when each ran and runs next, what was missed; pausing, resuming, firing."""

from typing import Final

from nicegui import ui

from worker.console.live import subjects
from worker.console.live.topics import Seen
from worker.console.page import Page
from worker.console.parts.actions import action
from worker.console.parts.boxes import Trouble, badge, box, empty, page_head
from worker.console.parts.commands import command
from worker.console.parts.dialogs import confirmed
from worker.console.parts.texts import clean, link, text, url_of
from worker.console.parts.times import exact, moment, set_moment
from worker.console.visits import Visit
from worker.management.schedules.types import (
    ScheduleFirePayload,
    SchedulePausePayload,
    ScheduleResponse,
    ScheduleResumePayload,
)

MISSED: Final = {
    "skip": "left out",
    "last": "the last one is made good",
    "all": "all are made good",
}
MOST_MISSED: Final = 1_000
"""More are not counted by the service."""


async def build(visit: Visit) -> None:
    """Draw the page."""
    with page_head("Schedules"):
        search = ui.input(placeholder="Search").props("outlined dense clearable")
        search.props('aria-label="Search schedules" data-search')
    refused = Trouble()
    with box("card") as whole, box("card-body"):
        lines = box("list")
        none = empty(
            "No schedule yet.",
            "A handler declares it, and a worker that runs the handler brings it here:",
            '@schedule("0 3 * * *", name="nightly", payload={})',
        )
        unknown = empty("No schedule has that in its name.")
    if not visit.read_only and visit.api.schedules is None:
        text(
            "The code of their handlers makes the payloads. To fire schedules from here start the"
            " console with --handlers MODULE; from a terminal:",
            "p",
            "quiet after",
        )
        command("openiap-worker schedules fire NAME --handlers MODULE", "the command")
    shown: dict[str, _Line] = {}

    def sift() -> None:
        wanted = (search.value or "").strip().lower()
        for name, line in shown.items():
            line.box.set_visibility(wanted in name.lower())
        none.set_visibility(not shown)
        unknown.set_visibility(bool(shown) and not any(one.box.visible for one in shown.values()))

    def show(seen: Seen[list[ScheduleResponse]]) -> None:
        refused.set(seen.text if seen.value is None else "")
        whole.set_visibility(seen.value is not None)
        found = {one.full_name: one for one in seen.value or []}
        if list(found) != list(shown):
            lines.clear()
            shown.clear()
            with lines:
                shown.update({name: _Line(visit, one) for name, one in found.items()})
        for name, one in found.items():
            shown[name].set(one)
        sift()

    search.on_value_change(sift)
    visit.look(subjects.schedules(), show)


class _Line:
    """A schedule; ``set`` shows in place what is another."""

    def __init__(self, visit: Visit, schedule: ScheduleResponse) -> None:
        self._visit = visit
        self._schedule = schedule
        self._name = schedule.full_name
        self._shown: ScheduleResponse | None = None
        with box("line schedule") as self.box:
            with box("what"):
                text(schedule.name, "b")
                self._paused = badge("paused", "wait")
                self._missed = badge("", "bad")
                with box("quiet"):
                    link(schedule.queue, url_of("/queue", name=schedule.queue))
                    text(" · ")
                    self._when = text("", "span", "mono")
                    self._rule = text("")
                with box("quiet"):
                    text("Next ")
                    self._next = moment(None, never="none")
                    text(" · last ")
                    self._last = moment(None, never="none yet")
            with box("actions"):
                self._pause = action(visit, "Pause", self._pausing, icon="pause")
                self._resume = action(
                    visit, "Resume", self._resuming, icon="play_arrow", tone="main"
                )
                if visit.api.schedules is not None:
                    action(visit, "Fire now", self._firing, icon="bolt")

    def set(self, schedule: ScheduleResponse) -> None:
        """Show it as it is now."""
        if schedule == self._shown:
            return
        self._shown = self._schedule = schedule
        paused, missed = schedule.state == "paused", schedule.missed_ticks
        self._paused.set_visibility(paused)
        more = " or more" if missed >= MOST_MISSED else ""
        self._missed.text = f"{missed:,}{more} missed"
        self._missed.set_visibility(bool(missed))
        self._when.text = clean(f"{schedule.expression} {schedule.tz}", 200)
        rule = MISSED.get(schedule.missed, clean(schedule.missed, 200))
        self._rule.text = f" · missed runs: {rule}"
        set_moment(self._next, schedule.next, "none")
        set_moment(self._last, schedule.last, "none yet")
        if self._pause is not None and self._resume is not None:
            self._pause.set_visibility(not paused)
            self._resume.set_visibility(paused)

    async def _pausing(self) -> None:
        asked = SchedulePausePayload.model_construct(name=self._name)
        done = await self._visit.do(
            f"pause schedule {self._name!r}", lambda s: s.schedules.pause_one(asked)
        )
        if done is not None:
            self._visit.tell("The schedule is paused.", undo=self._resuming)

    async def _resuming(self) -> None:
        asked = ScheduleResumePayload.model_construct(name=self._name)
        done = await self._visit.do(
            f"resume schedule {self._name!r}", lambda s: s.schedules.resume_one(asked)
        )
        if done is not None:
            when = exact(done.next)
            self._visit.tell(f"The schedule goes on{f', next at {when}' if when else ''}.")

    async def _firing(self) -> None:
        sure = await confirmed(
            "Fire this schedule now?",
            f"One item is pushed to {clean(self._schedule.queue, 200)}, as the schedule would."
            " Its runs in time stay as they are.",
            "Fire it",
            danger=False,
        )
        if not sure:
            return
        asked = ScheduleFirePayload.model_construct(name=self._name)
        done = await self._visit.do(
            f"fire schedule {self._name!r}", lambda s: s.schedules.fire_one(asked)
        )
        if done is not None:
            self._visit.tell(f"Item {done.id} is pushed.")


PAGE = Page("/schedules", "Schedules", "schedules", build)
