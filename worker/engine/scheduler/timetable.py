"""The schedules of one worker, checked against their handlers, and how far each has come."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from worker.app.checked import check_schedule
from worker.app.options import Handler
from worker.app.payload import item_name, payload_json
from worker.app.registry import Registered
from worker.app.schedule_options import Schedule
from worker.engine.scheduler.records import Record
from worker.engine.scheduler.switches import ScheduleKey
from worker.engine.scheduler.ticks import Due, due, missed_by
from worker.item.metadata import Metadata, joined
from worker.openiap.workitem import JsonObject


class Fireable(Protocol):
    """A schedule of which an item can be made at any moment.

    Attributes:
        key: its queue and name; ``name``: the same for people.
    """

    @property
    def key(self) -> ScheduleKey: ...
    @property
    def name(self) -> str: ...

    async def content(self, tick: datetime) -> tuple[JsonObject, str]:
        """Return payload and name of a tick's item.

        Raises:
            Exception: one cannot be made, or does not fit.
        """


@dataclass(slots=True)
class ScheduleEntry:
    """One schedule as this worker knows it.

    Attributes:
        record: how far it has come, as last read or done here.
        decided: until when all ticks are decided: done, or missed and let go.
        next: the first tick that is not.
        stored: whether ``record`` is stored as it is.
        seen: when ``record`` was last asked for, by the scheduler's own clock.
        share: a random share, 0 to 1, of the wait where the workers' order is not known.
        not_before: when it is looked at again, by the scheduler's own clock, in seconds.
        failing: the tick whose payload cannot be made, and since when, by the same clock.
    """

    handler: Handler[..., object]
    schedule: Schedule
    record: Record
    decided: datetime
    next: datetime
    stored: bool = True
    seen: float = 0.0
    share: float = 0.0
    not_before: float = 0.0
    failing: tuple[datetime, float] | None = None

    @property
    def key(self) -> ScheduleKey:
        """Its queue and name."""
        return (self.handler.options.queue, self.schedule.name)

    def due(self, now: datetime) -> Due:
        """Return the ticks to do, in the server's time."""
        return due(self.schedule.cron, self.record.cursor, now, self.schedule.missed)

    def missed(self, now: datetime) -> int:
        """Return how many ticks nobody did in time, in the server's time."""
        return missed_by(self.schedule.cron, self.record.cursor, now)

    @property
    def name(self) -> str:
        """Its queue and name for people."""
        return "/".join(self.key)

    def begin(self, stored: Record | None, now: datetime) -> None:
        """Begin with what is stored; one that is new, or declared otherwise, counts from now."""
        self.record = self._declared(stored or self.record)
        if stored is None or not self.declares(stored):
            self.record = replace(self.record, since=now)
        self.decided = self.record.cursor.done
        self.decide(self.decided)

    def learn(self, stored: Record) -> None:
        """Take what is stored now; what this process knows to be done stays done.

        A worker with another version of the code may have stored its own declaration: that decides
        for it, and not here.
        """
        mine, theirs = self.record.last, stored.last
        self.stored = mine is None or (theirs is not None and theirs >= mine)
        if not self.stored:
            stored = replace(stored, last=mine)
        if not self.declares(stored):
            stored = replace(self._declared(stored), since=self.record.since)
        self.record = stored
        self.decide(self.decided)

    def did(self, tick: datetime) -> None:
        """A tick is done."""
        self.record = replace(self.record, last=tick)
        self.stored = False
        self.failing = None
        self.decide(self.decided)

    def failed(self, tick: datetime, now: float) -> float:
        """Note that a tick's payload cannot be made; returns for how many seconds that is so."""
        if self.failing is None or self.failing[0] != tick:
            self.failing = (tick, now)
        return now - self.failing[1]

    def _declared(self, record: Record) -> Record:
        cron = self.schedule.cron
        return replace(record, expression=cron.expression, tz=cron.tz, missed=self.schedule.missed)

    def decide(self, until: datetime) -> None:
        """All ticks up to a moment are decided."""
        self.decided = max(self.decided, until)
        self.next = self.schedule.cron.after(max(self.decided, self.record.cursor.done))

    def declares(self, record: Record) -> bool:
        """Whether a stored record says what the code says."""
        cron = self.schedule.cron
        stored = (record.expression, record.tz, record.missed)
        return stored == (cron.expression, cron.tz, self.schedule.missed)

    async def content(self, tick: datetime) -> tuple[JsonObject, str]:
        """Return the payload of a tick's item, as the handler takes it, and the item's name: by the
        handler's own function, else the schedule's.

        Raises:
            Exception: one cannot be made, or does not fit.
        """
        made = _payload(self.handler, await self.schedule.payload_at(tick))
        name = item_name(self.handler, made) or self.schedule.name
        return joined(made, Metadata(headers=self.schedule.headers)), name


def timetable(handlers: Iterable[Registered], now: datetime) -> list[ScheduleEntry]:
    """Return the schedules of some handlers, beginning now.

    Raises:
        HandlerError: a payload that does not fit its handler, or a handler that needs files.
    """
    return [
        _entry(registered.handler, schedule, now)
        for registered in handlers
        for schedule in registered.handler.options.schedules
    ]


def _entry(handler: Handler[..., object], schedule: Schedule, now: datetime) -> ScheduleEntry:
    check_schedule(handler, schedule)
    cron = schedule.cron
    record = Record(
        handler.options.queue, schedule.name, cron.expression, cron.tz, schedule.missed, now
    )
    return ScheduleEntry(handler, schedule, record, now, cron.after(now))


def _payload(handler: Handler[..., object], made: object) -> JsonObject:
    return payload_json(handler, {} if made is None else made)
