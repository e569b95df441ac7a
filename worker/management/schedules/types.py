"""Schedules: what is asked for, and what is answered."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.app.cron import Cron
from worker.engine.scheduler.records import Record
from worker.engine.scheduler.ticks import missed_by
from worker.management.paging import Direction, PaginationParams

ScheduleState = Literal["active", "paused"]
SortBy = Literal["name", "next", "last"]
MOST_TEXT = 500


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScheduleFilter(_Asked):
    """What schedules fulfil; all that is given must hold."""

    queue: str | None = Field(default=None, max_length=MOST_TEXT)
    states: list[ScheduleState] = Field(default=[], max_length=2)


class _Named(_Asked):
    name: str = Field(max_length=MOST_TEXT)


class ScheduleGetPayload(_Named):
    """One schedule: its name, or queue/name."""


class SchedulePausePayload(_Named):
    """A schedule whose ticks are not to happen."""


class ScheduleResumePayload(_Named):
    """A schedule that is to go on."""


class ScheduleFirePayload(_Named):
    """A schedule of which one item is to be pushed now."""


class SchedulesGetListPayload(_Asked):
    """All schedules that this user sees, by queue and name."""

    filter: ScheduleFilter = ScheduleFilter()


class SchedulesGetPListPayload(PaginationParams[ScheduleFilter, SortBy]):
    """A page of schedules."""

    filter: ScheduleFilter = ScheduleFilter()
    sort_by: SortBy = "name"
    sort_direction: Direction = "asc"


class ScheduleResponse(BaseModel):
    """A schedule that workers have brought.

    Attributes:
        missed: what becomes of ticks that nobody did in time.
        since: when it was declared as it is; last: its last tick that is done.
        next: None while it is paused, or where this machine cannot tell.
        missed_ticks: that nobody has done in time so far, at most 1,000; 0 while it is paused.
    """

    queue: str
    name: str
    expression: str
    tz: str
    missed: str
    state: ScheduleState
    since: datetime
    last: datetime | None
    next: datetime | None
    missed_ticks: int

    @property
    def full_name(self) -> str:
        """Queue and name."""
        return f"{self.queue}/{self.name}"


class FiredResponse(BaseModel):
    """The item that was pushed."""

    queue: str
    schedule: str
    id: str


def schedule_of(record: Record, now: datetime) -> ScheduleResponse:
    """Return a schedule as it is answered; ``now`` is the server's time."""
    next_run, missed = None, 0
    try:
        cron = Cron(record.expression, record.tz)
        if not record.paused:
            next_run, missed = cron.after(now), missed_by(cron, record.cursor, now)
    except (ValueError, LookupError, OverflowError):
        pass  # another version's expression, or a zone that is not known here
    return ScheduleResponse(
        queue=record.queue,
        name=record.name,
        expression=record.expression,
        tz=record.tz,
        missed=record.missed,
        state="paused" if record.paused else "active",
        since=record.since,
        last=record.last,
        next=next_run,
        missed_ticks=missed,
    )
