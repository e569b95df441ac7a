"""What pages look at: the topics that more than one page shares, and how often each is asked."""

from collections.abc import Callable, Mapping
from typing import Final

from worker.console.live.services import Services
from worker.console.live.topics import ITEMS, QUEUES, Topic
from worker.management.items.timeline import ItemHistoryResponse
from worker.management.items.types import (
    ErrorGroupResponse,
    ItemDetailResponse,
    ItemFilter,
    ItemGetHistoryPayload,
    ItemGetPayload,
    ItemResponse,
    ItemsGetGroupsPayload,
    ItemsGetListPayload,
    ItemsGetPListPayload,
)
from worker.management.paging import PaginatedResponse
from worker.management.queues.breakers import BreakerResponse, BreakersGetListPayload
from worker.management.queues.types import (
    QueueItemsResponse,
    QueueResponse,
    QueuesGetListPayload,
)
from worker.management.schedules.types import ScheduleResponse, SchedulesGetListPayload
from worker.management.workers.types import (
    HourResponse,
    WorkerDetailResponse,
    WorkerFilter,
    WorkerGetPayload,
    WorkersGetHourPayload,
    WorkersGetListPayload,
)
from worker.openiap.types import WatchEvent

SELDOM: Final = 10.0
"""Seconds between two questions for what is dear, or seldom another."""
ABOUT_ITEMS: Final = frozenset({ITEMS})
ABOUT_QUEUES: Final = frozenset({QUEUES})


def _of(id: str) -> Callable[[WatchEvent], bool]:
    """Return whether a change is one of this document; an event's own id is the watch's."""
    return lambda event: event.document.get("_id") == id


def counts() -> Topic[Mapping[str, QueueItemsResponse]]:
    """How many items each queue holds, by state: one message, so it is asked at every change."""

    async def ask(services: Services) -> Mapping[str, QueueItemsResponse]:
        return await services.queues.get_counts()

    return Topic(("counts",), ask, ABOUT_ITEMS)


def queues() -> Topic[list[QueueResponse]]:
    """All queues: four messages, so changes of items alone do not ask for it."""

    async def ask(services: Services) -> list[QueueResponse]:
        return await services.queues.get_list(QueuesGetListPayload())

    return Topic(("queues",), ask, ABOUT_QUEUES)


def workers() -> Topic[list[WorkerDetailResponse]]:
    """All workers, with what each does now and did in the last hour."""

    async def ask(services: Services) -> list[WorkerDetailResponse]:
        return await services.workers.get_list(WorkersGetListPayload())

    return Topic(("workers",), ask)


def worker(id: str) -> Topic[WorkerDetailResponse]:
    """One worker whole."""

    async def ask(services: Services) -> WorkerDetailResponse:
        return await services.workers.get_one(WorkerGetPayload.model_construct(id=id))

    return Topic(("worker", id), ask)


def hour_of_worker(id: str) -> Topic[HourResponse]:
    """The last hour of one worker, all its queues together."""
    asked = WorkersGetHourPayload(filter=WorkerFilter.model_construct(ids=[id]))

    async def ask(services: Services) -> HourResponse:
        return await services.workers.get_hour_of_all(asked)

    return Topic(("hour of worker", id), ask, every=SELDOM)


def hour(queue: str | None = None) -> Topic[HourResponse]:
    """The last hour of a queue, or of all together, minute by minute."""

    async def ask(services: Services) -> HourResponse:
        if queue is None:
            return await services.workers.get_hour_of_all(WorkersGetHourPayload())
        asked = WorkersGetHourPayload(filter=WorkerFilter.model_construct(queue=queue))
        found = await services.workers.get_hour(asked)
        return found[0] if found else HourResponse(queue=queue)

    return Topic(("hour", queue), ask, every=SELDOM)


def groups(filter: ItemFilter | None = None) -> Topic[list[ErrorGroupResponse]]:
    """Groups of errors, the largest first. All failed items are read for it."""
    wanted = filter or ItemFilter()

    async def ask(services: Services) -> list[ErrorGroupResponse]:
        return await services.items.get_groups(ItemsGetGroupsPayload(filter=wanted))

    return Topic(("groups", wanted.model_dump_json()), ask, ABOUT_ITEMS, every=SELDOM)


def breakers() -> Topic[list[BreakerResponse]]:
    """How breakers stand, for each queue that needs them."""

    async def ask(services: Services) -> list[BreakerResponse]:
        return await services.breakers.get_list(BreakersGetListPayload())

    return Topic(("breakers",), ask, ABOUT_QUEUES, every=SELDOM)


def schedules() -> Topic[list[ScheduleResponse]]:
    """All schedules."""

    async def ask(services: Services) -> list[ScheduleResponse]:
        return await services.schedules.get_list(SchedulesGetListPayload())

    return Topic(("schedules",), ask)


def items(asked: ItemsGetPListPayload) -> Topic[PaginatedResponse[ItemResponse]]:
    """A page of items: two messages, for a group of errors many."""

    async def ask(services: Services) -> PaginatedResponse[ItemResponse]:
        return await services.items.get_plist(asked)

    return Topic(("items", asked.model_dump_json()), ask, ABOUT_ITEMS)


def item_in_list(id: str) -> Topic[ItemResponse | None]:
    """What lists show of one item: one message, so it is there before all the rest is."""
    asked = ItemsGetListPayload(filter=ItemFilter.model_construct(ids=[id]), limit=1)

    async def ask(services: Services) -> ItemResponse | None:
        found = await services.items.get_list(asked)
        return found[0] if found else None

    return Topic(("item in list", id), ask, ABOUT_ITEMS, concerns=_of(id))


def history(id: str) -> Topic[ItemHistoryResponse]:
    """The timeline of an item; asked again when the item changes."""

    async def ask(services: Services) -> ItemHistoryResponse:
        return await services.items.get_history(ItemGetHistoryPayload.model_construct(id=id))

    return Topic(("history", id), ask, ABOUT_ITEMS, concerns=_of(id))


def item(id: str) -> Topic[ItemDetailResponse]:
    """One item whole; asked again when it itself changes."""

    async def ask(services: Services) -> ItemDetailResponse:
        return await services.items.get_one(ItemGetPayload.model_construct(id=id))

    return Topic(("item", id), ask, ABOUT_ITEMS, concerns=_of(id))
