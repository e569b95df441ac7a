"""The scheduler: puts the item of each tick into its queue, once.

1. A tick's item has an id that follows from the tick, and is inserted: whoever comes second, be it
   another worker or this one after a crash, finds the id taken. So nobody has to lead, and nobody's
   death in whatever moment loses a tick or doubles it.
2. To save the others the trouble, the leading worker of the queue (the live one with the lowest id,
   as the rescuer last saw them) acts at the tick, the one after it 2 s later, and so on. Where
   that is not known, each waits for a random moment within 3 s.
3. Before anyone acts it reads, in one message for all schedules that are due, how far they have
   come and whether they are paused: an item that was deleted does not come again, and a worker that
   was frozen finds out that it is late.
4. Between ticks nothing is sent; while something is paused, a look a minute.

A worker that is frozen right between that reading and its insertion, for as long as it takes to
delete the item, inserts it again. What was read is read again before an insertion once it is older
than some seconds, and an insertion that cannot be sent for as long is given up, so the moment is a
short one.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from worker.engine.fleet.leadership import Fleet
from worker.engine.scheduler.records import Record, Records
from worker.engine.scheduler.switches import ScheduleKey
from worker.engine.scheduler.ticks import GRACE, tick_id
from worker.engine.scheduler.timetable import ScheduleEntry
from worker.item.new_item import TickItem
from worker.openiap.client import Client
from worker.openiap.errors import (
    AccessDenied,
    OpenIAPError,
    QueueNotFound,
    ServerError,
)
from worker.openiap.fields import Told, ignored
from worker.openiap.workitem import JsonObject
from worker.producer.insert import KnownQueues, insert
from worker.service import Service
from worker.state.cells import COLLECTION
from worker.state.retrying import passes
from worker.telemetry.log import Log
from worker.uptime import uptime

STEP: Final = 2.0
"""Seconds that each worker leaves to the one before it."""
MOST_STEPS: Final = 15
"""However many seem to come first, a tick is not left to them for longer."""
UNRANKED: Final = 3.0
LOOK_AT_LEAST: Final = 30.0
"""Seconds; so often the time is asked, without a message: the machine may have slept."""
SHORTEST: Final = 0.005
PAUSED: Final = 60.0
"""Seconds between two looks at a schedule that is paused."""
FRESH: Final = 10.0
"""Seconds for which what was read is good enough to act on."""
STORED_WITHIN: Final = 60.0
"""Seconds after which how far a schedule has come is not written any more: others know better."""
SOON: Final = 1.0
LATER: Final = 15.0
AT_ONCE: Final = 4
BELIEVED_AFTER: Final = 60.0
"""Seconds for which the server may refuse to read the records before they are done without."""
PAYLOAD_TIMEOUT: Final = 10.0
"""Seconds that a payload may take: the other schedules of this worker wait for it."""
ID_FIELD: Final = "tick"


class Scheduler(Service):
    """Does the ticks of this worker's schedules.

    Args:
        entries: the schedules.
        client: the worker's own, which waits for a link and for its turn.
        namespace: see the setting of that name.
        misfits: hears of records that do not fit.
    """

    def __init__(
        self,
        entries: Sequence[ScheduleEntry],
        *,
        client: Client,
        fleet: Fleet,
        namespace: str,
        log: Log,
        chance: random.Random,
        misfits: Told = ignored,
    ) -> None:
        super().__init__(
            "scheduler", pause=LATER, on_error=partial(log.failed, "schedules have to wait")
        )
        self._entries = tuple(entries)
        self._client = client
        self._fleet = fleet
        self._records = Records(client, namespace, misfits=misfits)
        self._queues = KnownQueues(client)
        self._log = log
        self._chance = chance
        self.missed = 0
        """Ticks that nobody did in time, as far as this worker came to see to them."""
        self._readable = True
        """False where the rights for the records are missing."""
        self._begun: datetime | None = None
        self._refused_since = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        """Begin to watch the time, where there are schedules; returns at once."""
        if self._entries:
            await super().start()

    async def round(self) -> float:
        """Do what is due; returns the seconds until something else may be."""
        try:
            await self.push_due()
        except OpenIAPError as error:
            self._log.failed("schedules have to wait", error)
            return SOON * self._chance.uniform(0.5, 1.5) + self._until_due()
        return self._until_due()

    def next_tick(self) -> datetime | None:
        """Return the first tick that is not decided yet, in the server's time."""
        if self._begun is None:
            return None
        return min((entry.next for entry in self._entries if not entry.record.paused), default=None)

    def late(self) -> float:
        """Return for how many seconds the tick that waits longest has been due; 0 without one."""
        if self._begun is None:
            return 0.0
        now = self._fleet.server_now()
        waits = (now - entry.next for entry in self._entries if not entry.record.paused)
        return max(0.0, *(wait.total_seconds() for wait in waits), 0.0)

    async def push_due(self, *, at_once: bool = False) -> None:
        """Push the items of the ticks that are due, as far as that is this worker's to do.

        Args:
            at_once: whoever else there is, and whatever went wrong a moment ago.

        Raises:
            OpenIAPError: how far the schedules have come cannot be read or written.
        """
        async with self._one_at_a_time:
            if self._begun is None:
                await self._begin()
            now = self._fleet.server_now()
            due = [
                entry
                for entry in self._entries
                if (entry.next <= now or not entry.stored)
                and (at_once or entry.not_before <= uptime())
            ]
            acting = [entry for entry in due if at_once or self._acts_at(entry) <= now]
            if not acting:
                return
            if self._readable:
                await self._read_again(due)
            if any(self._fleet.rank(entry.key[0]) for entry in acting):
                self._chance.shuffle(acting)  # if several do the work of one, not in step
            await self._do_all(acting, now)

    def _until_due(self) -> float:
        """Return the seconds until something may be due."""
        now, up = self._fleet.server_now(), uptime()
        waits = (
            max((self._acts_at(entry) - now).total_seconds(), entry.not_before - up)
            for entry in self._entries
        )
        return min(LOOK_AT_LEAST, max(SHORTEST, min(waits)))

    def _acts_at(self, entry: ScheduleEntry) -> datetime:
        """Return when this worker sees to an entry's next tick, if nobody did before."""
        if not entry.stored:
            return entry.decided
        rank = self._fleet.rank(entry.key[0])
        wait = entry.share * UNRANKED if rank is None else min(rank, MOST_STEPS) * STEP
        since = entry.next if self._begun is None else max(entry.next, self._begun)
        return since + timedelta(seconds=wait)

    async def _begin(self) -> None:
        """Read how far all have come, and write what was never there or is declared anew."""
        now = self._fleet.server_now()
        with suppress(AccessDenied, ServerError):
            await self._fleet.peers()
        found: dict[ScheduleKey, Record] = {}
        try:
            found = await self._records.read([entry.key for entry in self._entries], now)
        except (AccessDenied, ServerError) as error:
            self._believe(error)
        for entry in self._entries:
            stored = found.get(entry.key)
            entry.begin(stored, now)
            try:
                if stored is None and self._readable:
                    await self._records.begin(entry.record, await self._acl(entry))
                elif stored is not None and not entry.declares(stored):
                    await self._records.store(entry.record)
            except (AccessDenied, ServerError) as error:
                self._believe(error)
        for entry in self._entries:
            entry.share = self._chance.random()
        self._begun = now

    async def _read_again(self, entries: Sequence[ScheduleEntry]) -> None:
        """Read how far some have come by now.

        Raises:
            OpenIAPError: it cannot be read.
        """
        asked = uptime()
        try:
            now = self._fleet.server_now()
            found = await self._records.read([entry.key for entry in entries], now)
            for entry in entries:
                entry.seen = asked
                stored = found.get(entry.key)
                if stored is None:  # deleted by hand
                    await self._records.begin(entry.record, await self._acl(entry))
                else:
                    entry.learn(stored)
        except AccessDenied as error:
            self._give_up(error)

    def _believe(self, error: OpenIAPError) -> None:
        """Do without the records for good: the right to them is missing, or they are refused for
        long.

        Raises:
            OpenIAPError: refused for a moment, as by a server whose database is away; without what
                is stored, ticks that were missed would not be made good.
        """
        if not isinstance(error, AccessDenied):
            self._refused_since = self._refused_since or uptime()
            if uptime() - self._refused_since < BELIEVED_AFTER:
                raise error
        self._give_up(error)

    def _give_up(self, error: OpenIAPError) -> None:
        self._readable = False
        self._log.warn(
            f"this user may not read and write the collection {COLLECTION} ({error.text}):"
            " schedules tick, but cannot be paused, and what is missed while no worker runs is not"
            " made good"
        )

    async def _acl(self, entry: ScheduleEntry) -> tuple[JsonObject, ...]:
        try:
            return (await self._queues.of(entry.key[0])).acl
        except QueueNotFound:  # it may come to be later
            return ()

    async def _do_all(self, entries: Sequence[ScheduleEntry], now: datetime) -> None:
        """Do the ticks of some entries, a few side by side."""
        free = asyncio.Semaphore(AT_ONCE)

        async def one(entry: ScheduleEntry) -> None:
            async with free:
                try:
                    await self._do(entry, now)
                    await self._store(entry)
                except OpenIAPError as error:
                    entry.not_before = uptime() + (SOON if passes(error) else LATER)
                    self._log.once_a_while(
                        f"schedule {entry.name}", f"schedule {entry.name} has to wait: {error}"
                    )
                except Exception as error:  # whatever is odd about one, the others tick
                    entry.not_before = uptime() + LATER
                    self._log.failed(f"schedule {entry.name} has to wait", error)

        await asyncio.gather(*(one(entry) for entry in entries))

    async def _do(self, entry: ScheduleEntry, now: datetime) -> None:
        """Do an entry's ticks, as far as can be.

        Raises:
            OpenIAPError: one could not be done, or may be.
        """
        if entry.record.paused:
            rank = self._fleet.rank(entry.key[0]) or 0
            entry.not_before = uptime() + PAUSED * (1 + rank)
            return
        due, missed = entry.due(now), entry.missed(now)
        if due.missed:
            self._log.info(
                f"schedule {entry.name}: {due.missed} missed ticks are made good, from"
                f" {shown(due.ticks[0])} on"
            )
        for tick in due.ticks:
            if not await self._push(entry, tick):
                return
        entry.decide(now)
        self.missed += missed
        entry.share = self._chance.random()

    async def _store(self, entry: ScheduleEntry) -> None:
        """Store how far an entry has come, unless that is long ago: then others know better.

        Raises:
            OpenIAPError: it could not be stored.
        """
        if entry.stored or uptime() - entry.seen > STORED_WITHIN:
            return
        if self._readable:
            try:
                await self._records.store(entry.record, await self._acl(entry))
            except AccessDenied as error:  # another user's document, for example
                self._give_up(error)
        entry.stored = True

    async def _push(self, entry: ScheduleEntry, tick: datetime) -> bool:
        """Do one tick; False when it has to wait, and with it those after it.

        Raises:
            OpenIAPError: it could not be done, or may be.
        """
        content = await self._content(entry, tick)
        if content is None:
            return entry.record.last == tick
        found = await self._queues.of(entry.key[0])
        item = TickItem(
            tick_id(self._records.namespace, *entry.key, tick),
            entry.key[0],
            content[0],
            name=content[1],
            nextrun=tick,
            wiqid=found.wiqid,
            acl=found.acl,
            schedule=entry.key[1],
            tick=tick,
        )
        if not await self._still_due(entry, tick):
            return False
        try:
            async with asyncio.timeout(FRESH):  # not once a link is back, whenever that may be
                placed = await insert(self._client, item, id_field=ID_FIELD)
        except TimeoutError:
            entry.not_before = uptime() + SOON
            return False
        if placed.fresh:
            self._log.verbose(
                f"schedule {entry.name}: pushed the item of {shown(tick)}", item=placed.id
            )
        entry.did(tick)
        return True

    async def _still_due(self, entry: ScheduleEntry, tick: datetime) -> bool:
        """Whether a tick is still to be done, by what was read a moment ago.

        Raises:
            OpenIAPError: it cannot be read.
        """
        if not self._readable:
            return True
        if (
            uptime() - entry.seen > FRESH
        ):  # a payload that took long, many ticks, or a frozen process
            await self._read_again([entry])
            if uptime() - entry.seen > FRESH:
                return False
        return not entry.record.paused and entry.record.cursor.done < tick

    async def _content(self, entry: ScheduleEntry, tick: datetime) -> tuple[JsonObject, str] | None:
        """Return payload and name of a tick's item; None when they cannot be made now."""
        try:
            async with asyncio.timeout(PAYLOAD_TIMEOUT):
                return await entry.content(tick)
        except Exception as error:  # a user's function, or a model's, may raise anything
            text = f"schedule {entry.name}: the payload for {shown(tick)} cannot be made"
            reason = f"{type(error).__name__}: {error}"
        if entry.failed(tick, uptime()) < GRACE.total_seconds():
            entry.not_before = uptime() + LATER
            self._log.warn(f"{text}, it is tried again ({reason})")
            return None
        self._log.error(f"{text}, its item is left out ({reason})")
        entry.did(tick)
        self.missed += 1
        return None


def shown(tick: datetime) -> str:
    """Return a tick for log lines."""
    return f"{tick:%Y-%m-%d %H:%M:%S} UTC"
