"""Schedules: when each runs, pausing it, and pushing one item now."""

from collections.abc import Sequence
from datetime import UTC, datetime

from worker.engine.scheduler.switches import ScheduleKey
from worker.engine.scheduler.timetable import Fireable
from worker.management.errors import said_by_openiap
from worker.management.paging import PaginatedResponse
from worker.management.schedules.errors import (
    NoHandlersError,
    PayloadError,
    ScheduleAmbiguousError,
    ScheduleForbiddenError,
    ScheduleNotFoundError,
)
from worker.management.schedules.store import ScheduleStore
from worker.management.schedules.types import (
    FiredResponse,
    ScheduleFilter,
    ScheduleFirePayload,
    ScheduleGetPayload,
    SchedulePausePayload,
    ScheduleResponse,
    ScheduleResumePayload,
    SchedulesGetListPayload,
    SchedulesGetPListPayload,
    schedule_of,
)
from worker.openiap.client import Client
from worker.openiap.workitem import JsonObject

BROUGHT = "that a worker has brought"
NEVER = datetime.max.replace(tzinfo=UTC)


class Schedules:
    """What operators see and do with schedules, with one client and its user's rights.

    Args:
        namespace: of the workers that bring them.
        entries: the schedules of the handlers at hand, which make what is fired; None: none are.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str = "",
        entries: Sequence[Fireable] | None = None,
    ) -> None:
        self._store = ScheduleStore(client, namespace)
        self._entries = entries

    async def get_list(self, payload: SchedulesGetListPayload) -> list[ScheduleResponse]:
        """Return all schedules, by queue and name."""
        with said_by_openiap():
            now = await self._store.now()
            found = [schedule_of(record, now) for record in await self._store.get_list()]
        return [one for one in found if _fits(one, payload.filter)]

    async def get_one(self, payload: ScheduleGetPayload) -> ScheduleResponse:
        """Return a schedule.

        Raises:
            ScheduleNotFoundError: there is none.
            ScheduleAmbiguousError: there are several.
        """
        every = await self.get_list(SchedulesGetListPayload())
        found = {(one.queue, one.name): one for one in every}
        return found[_one(payload.name, list(found), BROUGHT)]

    async def get_plist(
        self, payload: SchedulesGetPListPayload
    ) -> PaginatedResponse[ScheduleResponse]:
        """Return a page of schedules, and how many there are."""
        found = await self.get_list(SchedulesGetListPayload(filter=payload.filter))
        by, backwards = payload.sort_by, payload.sort_direction == "desc"
        if by == "name":
            found.sort(key=lambda one: (one.queue, one.name), reverse=backwards)
        else:
            found.sort(key=lambda one: getattr(one, by) or NEVER, reverse=backwards)
        return PaginatedResponse(
            items=found[payload.offset : payload.offset + payload.limit],
            total=len(found),
            limit=payload.limit,
            offset=payload.offset,
        )

    async def pause_one(self, payload: SchedulePausePayload) -> ScheduleResponse:
        """Let no tick happen until it is resumed.

        Raises:
            ScheduleForbiddenError: this user may not update its queue.
            AppError: as ``get_one``.
        """
        return await self._switched(payload.name, paused=True)

    async def resume_one(self, payload: ScheduleResumePayload) -> ScheduleResponse:
        """Let it go on; what it missed is made good as it is declared. Raises: as ``pause_one``."""
        return await self._switched(payload.name, paused=False)

    async def fire_one(self, payload: ScheduleFirePayload) -> FiredResponse:
        """Push one item as the schedule would, now, whatever its ticks and whether it is paused.

        It is pushed with this user's rights: whether that may be, the server checks.

        Raises:
            NoHandlersError: there are no handlers at hand.
            PayloadError: its payload cannot be made.
            AppError: as ``get_one``; this user may not push.
        """
        if self._entries is None:
            raise NoHandlersError(payload.name)
        known = {entry.key: entry for entry in self._entries}
        meant = [key for key in known if _is(payload.name, key)] or list(known)
        with said_by_openiap():  # of queues that this user does not see no name is told
            seen = await self._store.seen({queue for queue, _ in meant})
        keys = [key for key in meant if key[0] in seen]
        entry = known[_one(payload.name, keys, "in these handlers, on a queue of this user's")]
        made, name = await _content(entry)
        with said_by_openiap():
            id = await self._store.push(entry.key[0], made, name)
        return FiredResponse(queue=entry.key[0], schedule=entry.key[1], id=id)

    async def _switched(self, name: str, *, paused: bool) -> ScheduleResponse:
        found = await self.get_one(ScheduleGetPayload(name=name))
        if (found.state == "paused") == paused:
            return found
        key = (found.queue, found.name)
        with said_by_openiap():
            now = await self._store.now()
            if not await self._store.switch(key, paused=paused, now=now):
                raise ScheduleForbiddenError(found.full_name, found.queue)
            record = await self._store.get_one(key)
        return found if record is None else schedule_of(record, now)


def _fits(schedule: ScheduleResponse, wanted: ScheduleFilter) -> bool:
    of_queue = wanted.queue in (None, schedule.queue)
    return of_queue and (not wanted.states or schedule.state in wanted.states)


async def _content(entry: Fireable) -> tuple[JsonObject, str]:
    try:
        return await entry.content(datetime.now(UTC))
    except PayloadError:
        raise
    except Exception as error:  # a function of the user's makes it: it may raise anything
        raise PayloadError(
            f"The payload of schedule {entry.name} cannot be made: {type(error).__name__}: {error}."
        ) from error


def _is(name: str, key: ScheduleKey) -> bool:
    return name in (key[1], "/".join(key))


def _one(name: str, keys: Sequence[ScheduleKey], where: str) -> ScheduleKey:
    """Return the schedule that is meant.

    Raises:
        ScheduleNotFoundError, ScheduleAmbiguousError: there is none, or there are several.
    """
    found = [key for key in keys if _is(name, key)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ScheduleAmbiguousError(name, ["/".join(key) for key in found])
    raise ScheduleNotFoundError(name, where, sorted("/".join(key) for key in keys))
