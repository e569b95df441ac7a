"""What pages look at, and how often it is asked for.

Each topic is one question, or one where there are not hundreds of what it is about. What pages show
is made of topics that others share, so that a change costs the question for what has changed.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from worker.console.live.services import Services
from worker.console.live.topics import ITEMS, QUEUES, Joined, Topic
from worker.management.items.links import came_of
from worker.management.items.looks import Around, Children, whole
from worker.management.items.timeline import ItemHistoryResponse, timeline_of
from worker.management.items.types import (
    ErrorGroupResponse,
    ItemDetailResponse,
    ItemFilter,
    ItemResponse,
    ItemsGetCountPayload,
    ItemsGetGroupsPayload,
    ItemsGetPListPayload,
)
from worker.management.paging import PaginatedResponse
from worker.management.queues.breakers import BreakerResponse, breakers_of
from worker.management.queues.decisions import counted, listed
from worker.management.queues.store import STATES
from worker.management.queues.types import QueueItemsResponse, QueueResponse
from worker.management.schedules.types import ScheduleResponse, SchedulesGetListPayload
from worker.management.workers.errors import WorkerNotFoundError
from worker.management.workers.fleet import Fleet
from worker.management.workers.types import HourResponse, WorkerDetailResponse
from worker.openiap.fields import text_of
from worker.openiap.types import WatchEvent
from worker.openiap.workitem import JsonObject

SELDOM: Final = 10.0
"""Seconds between two times that something is made that is dear to make, or seldom another."""
ABOUT_ITEMS: Final = frozenset({ITEMS})
ABOUT_QUEUES: Final = frozenset({QUEUES})


def _of(id: str) -> Callable[[WatchEvent], bool]:
    """Return whether a change is one of this document; an event's own id is the watch's."""
    return lambda event: event.document.get("_id") == id


def counts() -> Topic[Mapping[str, QueueItemsResponse]]:
    """How many items each queue holds, by state."""

    async def ask(services: Services) -> Mapping[str, QueueItemsResponse]:
        return await services.queues.get_counts()

    return Topic(("counts",), ask, ABOUT_ITEMS)


def _queue_documents() -> Topic[list[JsonObject]]:
    """All queues as they are stored."""

    async def ask(services: Services) -> list[JsonObject]:
        return await services.queues.get_documents()

    return Topic(("queue documents",), ask, ABOUT_QUEUES)


def _waiting() -> Topic[Mapping[str, datetime]]:
    """Since when the oldest due item of each queue waits."""

    async def ask(services: Services) -> Mapping[str, datetime]:
        return await services.queues.get_waiting()

    return Topic(("waiting",), ask, ABOUT_ITEMS, can_wait=True)


def _slots() -> Topic[list[JsonObject]]:
    """Which queues the living workers work: less than a fleet tells, for pages without one."""

    async def ask(services: Services) -> list[JsonObject]:
        return await services.queues.get_workers()

    return Topic(("slots",), ask)


def _fleet(queue: str | None = None) -> Topic[Fleet]:
    """All workers, or those of a queue."""

    async def ask(services: Services) -> Fleet:
        return await services.workers.get_fleet(queue=queue)

    return Topic(("fleet", queue), ask)


def _fleet_of_one(id: str) -> Topic[Fleet]:
    """One worker."""

    async def ask(services: Services) -> Fleet:
        found = await services.workers.get_fleet(id=id)
        if not found.documents:
            raise WorkerNotFoundError(id)
        return found

    return Topic(("fleet of one", id), ask)


def queues() -> Joined[list[QueueResponse]]:
    """All queues, by name."""

    def join(parts: Sequence[Any]) -> list[QueueResponse]:
        return _counted(*parts)

    return Joined(("queues",), (_queue_documents(), counts(), _waiting(), _slots()), join, needed=4)


def queues_and_workers() -> Joined[list[QueueResponse]]:
    """All queues, by name, for a page that shows all workers as well."""

    def join(parts: Sequence[Any]) -> list[QueueResponse]:
        documents, held, waiting, fleet = parts
        return _counted(documents, held, waiting, fleet.living)

    parts = (_queue_documents(), counts(), _waiting(), _fleet())
    return Joined(("queues and workers",), parts, join, needed=4)


def queue(name: str) -> Joined[QueueResponse | None]:
    """One queue; None where there is none, or none for this user."""

    def join(parts: Sequence[Any]) -> QueueResponse | None:
        documents, held, waiting, fleet = parts
        own = [one for one in documents if text_of(one.get("name")) == name]
        return next(iter(_counted(own, held, waiting, fleet.living)), None)

    parts = (_queue_documents(), counts(), _waiting(), _fleet(name))
    return Joined(("queue", name), parts, join, needed=4)


def _counted(
    documents: Sequence[JsonObject],
    held: Mapping[str, QueueItemsResponse],
    waiting: Mapping[str, datetime],
    workers: Sequence[JsonObject],
) -> list[QueueResponse]:
    now = datetime.now(UTC)
    items = {name: one.model_dump() for name, one in held.items()}
    return counted(listed(documents, now), items, waiting, workers, now)


def queue_settings() -> Joined[list[QueueResponse]]:
    """All queues, by name, without what they hold: pauses and settings."""

    def join(parts: Sequence[Any]) -> list[QueueResponse]:
        return listed(parts[0], datetime.now(UTC))

    return Joined(("queue settings",), (_queue_documents(),), join)


def breakers() -> Joined[list[BreakerResponse]]:
    """How breakers stand, for each queue that needs them."""

    def join(parts: Sequence[Any]) -> list[BreakerResponse]:
        return breakers_of(parts[0], datetime.now(UTC))

    return Joined(("breakers",), (_queue_documents(),), join)


def workers() -> Joined[list[WorkerDetailResponse]]:
    """All workers, with what each does now."""

    def join(parts: Sequence[Any]) -> list[WorkerDetailResponse]:
        fleet, documents = parts
        return cast(Fleet, fleet).workers(_names(documents))

    return Joined(("workers",), (_fleet(), _queue_documents()), join, needed=2)


def worker(id: str) -> Joined[WorkerDetailResponse | None]:
    """One worker whole; None for one that is not readable."""

    def join(parts: Sequence[Any]) -> WorkerDetailResponse | None:
        fleet, documents = parts
        return next(iter(cast(Fleet, fleet).workers(_names(documents))), None)

    return Joined(("worker", id), (_fleet_of_one(id), _queue_documents()), join, needed=2)


def hour_of_worker(id: str) -> Joined[HourResponse]:
    """The last hour of one worker, all its queues together."""

    def join(parts: Sequence[Any]) -> HourResponse:
        fleet, documents = parts
        return cast(Fleet, fleet).hour_of_all(_names(documents))

    parts = (_fleet_of_one(id), _queue_documents())
    return Joined(("hour of worker", id), parts, join, needed=2, pace=SELDOM)


def hour(queue: str | None = None) -> Joined[HourResponse]:
    """The last hour of a queue, or of all together, minute by minute."""

    def join(parts: Sequence[Any]) -> HourResponse:
        fleet, names = cast(Fleet, parts[0]), _names(parts[1])
        return fleet.hour_of_all(names) if queue is None else fleet.hour(names, queue)

    parts = (_fleet(queue), _queue_documents())
    return Joined(("hour", queue), parts, join, needed=2, pace=SELDOM)


def _names(documents: Sequence[JsonObject]) -> set[str]:
    return {text_of(one.get("name")) for one in documents}


def groups(filter: ItemFilter | None = None) -> Topic[list[ErrorGroupResponse]]:
    """Groups of errors, the largest first. All failed items are read for it, 500 in a message."""
    wanted = filter or ItemFilter()

    async def ask(services: Services) -> list[ErrorGroupResponse]:
        return await services.items.get_groups(ItemsGetGroupsPayload(filter=wanted))

    key = ("groups", wanted.model_dump_json())
    return Topic(key, ask, ABOUT_ITEMS, can_wait=True)


def schedules() -> Topic[list[ScheduleResponse]]:
    """All schedules."""

    async def ask(services: Services) -> list[ScheduleResponse]:
        return await services.schedules.get_list(SchedulesGetListPayload())

    return Topic(("schedules",), ask)


def items(
    asked: ItemsGetPListPayload,
) -> Topic[PaginatedResponse[ItemResponse]] | Joined[PaginatedResponse[ItemResponse]]:
    """A page of items.

    How many there are is known from the counts of queues, where the filter is of nothing else, and
    else asked for behind the rows. Of a group of errors all of it is one long question.
    """
    key, filter = asked.model_dump_json(), asked.filter
    if filter.group is not None:

        async def ask(services: Services) -> PaginatedResponse[ItemResponse]:
            return await services.items.get_plist(asked)

        return Topic(("items of a group", key), ask, ABOUT_ITEMS, can_wait=True)

    async def ask_rows(services: Services) -> list[ItemResponse]:
        return await services.items.get_page(asked)

    async def ask_total(services: Services) -> int:
        return await services.items.get_count(ItemsGetCountPayload(filter=filter))

    def join(parts: Sequence[Any]) -> PaginatedResponse[ItemResponse]:
        rows, told = parts
        total = told if isinstance(told, int) else _held(told, filter)
        return _page(rows, total, asked)

    rows = Topic(("rows", key), ask_rows, ABOUT_ITEMS)
    total: Topic[Any] = Topic(
        ("total", filter.model_dump_json()), ask_total, ABOUT_ITEMS, can_wait=True
    )
    if is_counted(filter):
        total = counts()
    return Joined(("items", key), (rows, total), join, needed=2)


def is_counted(filter: ItemFilter) -> bool:
    """Say whether the counts of queues tell how many items there are."""
    return filter == ItemFilter.model_construct(queue=filter.queue, states=filter.states)


def _held(counted: Mapping[str, QueueItemsResponse], filter: ItemFilter) -> int:
    wanted = filter.states or STATES
    of = [one for name, one in counted.items() if filter.queue in (None, name)]
    return sum(getattr(one, state) for one in of for state in wanted)


def _page(
    rows: list[ItemResponse], total: int, asked: ItemsGetPListPayload
) -> PaginatedResponse[ItemResponse]:
    """Return a page; its rows, asked for at another moment, may tell more of the total."""
    total = max(total, asked.offset + len(rows) if rows else 0)
    if len(rows) < asked.limit and (rows or not asked.offset):
        total = asked.offset + len(rows)
    return PaginatedResponse(items=rows, total=total, limit=asked.limit, offset=asked.offset)


def _document(id: str) -> Topic[JsonObject]:
    """An item as it is stored. A watch tells it whole, so it is not asked for then."""

    async def ask(services: Services) -> JsonObject:
        return await services.items.looks.get_document(id)

    return Topic(("document", id), ask, ABOUT_ITEMS, concerns=_of(id), take=_whole_in)


def _whole_in(event: WatchEvent) -> JsonObject | None:
    """Return the item that a change tells of; None where it does not tell all of it."""
    document = event.document
    is_there = event.operation != "delete" and "state" in document and "payload" in document
    return document if is_there else None


def _children(id: str) -> Topic[Children]:
    """What came of an item; asked again when one of those changes."""

    async def ask(services: Services) -> Children:
        return await services.items.looks.get_children(id)

    def concerns(event: WatchEvent) -> bool:
        return came_of(event.document, id)

    return Topic(("children", id), ask, ABOUT_ITEMS, concerns=concerns)


def _around(id: str) -> Topic[Around]:
    """What of an item stands elsewhere, a message for each that there is."""

    async def ask(services: Services) -> Around:
        looks = services.items.looks
        return await looks.get_around(await looks.get_document(id))

    return Topic(("around", id), ask, ABOUT_ITEMS, concerns=_of(id), can_wait=True)


def item(id: str) -> Joined[ItemDetailResponse]:
    """One item whole."""

    def join(parts: Sequence[Any]) -> ItemDetailResponse:
        return whole(*parts)

    return Joined(("item", id), (_document(id), _children(id), _around(id)), join)


def history(id: str) -> Joined[ItemHistoryResponse]:
    """The timeline of an item."""

    def join(parts: Sequence[Any]) -> ItemHistoryResponse:
        document, found = parts
        children = cast(Children, found or Children([]))
        return timeline_of(document, children.found, more=children.more)

    return Joined(("history", id), (_document(id), _children(id)), join)
