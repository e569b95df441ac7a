"""The same for blocking code: scripts, notebooks, views of Django or Flask.

    from worker import sync
    from worker.management.sync import Items

    with sync.connect() as openiap:
        page = Items(openiap).get_plist(ItemsGetPListPayload())

A thread of its own holds the connection and an event loop; see ``worker.sync``.
"""

from collections.abc import Sequence

from worker.engine.scheduler.timetable import ScheduleEntry
from worker.item.history import USUAL
from worker.management.items.batch import OnProgress, nobody
from worker.management.items.service import Items as AsyncItems
from worker.management.items.timeline import ItemHistoryResponse
from worker.management.items.types import (
    BatchPayload,
    BatchPreviewResponse,
    BatchResponse,
    ErrorGroupResponse,
    ItemDeletePayload,
    ItemDetailResponse,
    ItemGetHistoryPayload,
    ItemGetPayload,
    ItemResponse,
    ItemRetryPayload,
    ItemsDeleteBatchPayload,
    ItemsGetCountPayload,
    ItemsGetGroupsPayload,
    ItemsGetListPayload,
    ItemsGetPListPayload,
    ItemsMoveBatchPayload,
    ItemsRetryBatchPayload,
    ItemsUpdateBatchPayload,
)
from worker.management.items.types_of_changes import (
    ItemCreatedResponse,
    ItemCreatePayload,
    ItemMovePayload,
    ItemsCreateBatchPayload,
    ItemsCreateBatchResponse,
    ItemUpdatePayload,
)
from worker.management.paging import PaginatedResponse
from worker.management.queues.breakers import (
    BreakerResponse,
    BreakersGetListPayload,
    BreakersGetPListPayload,
    BreakerUpdatePayload,
)
from worker.management.queues.breakers import Breakers as AsyncBreakers
from worker.management.queues.service import OnGone
from worker.management.queues.service import Queues as AsyncQueues
from worker.management.queues.service import nobody as nobody_counts
from worker.management.queues.types import (
    QueueCreatePayload,
    QueueDeletePayload,
    QueueDetailResponse,
    QueueGetCountPayload,
    QueueGetPayload,
    QueuePausePayload,
    QueuePurgePayload,
    QueuePurgeResponse,
    QueueResponse,
    QueueResumePayload,
    QueuesGetListPayload,
    QueuesGetPListPayload,
    QueueUpdatePayload,
)
from worker.management.schedules.service import Schedules as AsyncSchedules
from worker.management.schedules.types import (
    FiredResponse,
    ScheduleFirePayload,
    ScheduleGetPayload,
    SchedulePausePayload,
    ScheduleResponse,
    ScheduleResumePayload,
    SchedulesGetListPayload,
    SchedulesGetPListPayload,
)
from worker.management.workers.service import Workers as AsyncWorkers
from worker.management.workers.types import (
    HourResponse,
    SteeredResponse,
    WorkerDetailResponse,
    WorkerGetPayload,
    WorkerResponse,
    WorkersGetHourPayload,
    WorkersGetListPayload,
    WorkersGetPListPayload,
    WorkersSteerBatchPayload,
    WorkersSteerBatchResponse,
    WorkerSteerPayload,
)
from worker.producer.producer import Checks
from worker.producer.sync import OpenIAP

__all__ = ["Breakers", "Items", "Queues", "Schedules", "Workers"]


class Items:
    """``worker.management.Items``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
        contracts, history, namespace: as there.
    """

    def __init__(
        self,
        openiap: OpenIAP,
        *,
        contracts: Checks | None = None,
        history: int = USUAL,
        namespace: str = "",
    ) -> None:
        self._openiap = openiap
        client = openiap.present_client()
        self._items = AsyncItems(client, contracts=contracts, history=history, namespace=namespace)

    def get_one(self, payload: ItemGetPayload) -> ItemDetailResponse:
        """Return an item whole."""
        return self._openiap.wait(self._items.get_one(payload))

    def get_history(self, payload: ItemGetHistoryPayload) -> ItemHistoryResponse:
        """Return an item's timeline, what it comes from and what came of it."""
        return self._openiap.wait(self._items.get_history(payload))

    def get_list(self, payload: ItemsGetListPayload) -> list[ItemResponse]:
        """Return the first so many items."""
        return self._openiap.wait(self._items.get_list(payload))

    def get_plist(self, payload: ItemsGetPListPayload) -> PaginatedResponse[ItemResponse]:
        """Return a page of items, and how many there are."""
        return self._openiap.wait(self._items.get_plist(payload))

    def get_count(self, payload: ItemsGetCountPayload) -> int:
        """Return how many items there are."""
        return self._openiap.wait(self._items.get_count(payload))

    def get_groups(self, payload: ItemsGetGroupsPayload) -> list[ErrorGroupResponse]:
        """Return the groups of errors, the largest first."""
        return self._openiap.wait(self._items.get_groups(payload))

    def retry_one(self, payload: ItemRetryPayload) -> ItemResponse:
        """Put an item back to new."""
        return self._openiap.wait(self._items.retry_one(payload))

    def delete_one(self, payload: ItemDeletePayload) -> None:
        """Delete an item and its files."""
        self._openiap.wait(self._items.delete_one(payload))

    def create_one(self, payload: ItemCreatePayload) -> ItemCreatedResponse:
        """Push an item, or find the one that has its key."""
        return self._openiap.wait(self._items.create_one(payload))

    def create_batch(self, payload: ItemsCreateBatchPayload) -> ItemsCreateBatchResponse:
        """Push items, and tell of each what became of it."""
        return self._openiap.wait(self._items.create_batch(payload))

    def update_one(self, payload: ItemUpdatePayload) -> ItemResponse:
        """Change the priority or the payload of a waiting or failed item."""
        return self._openiap.wait(self._items.update_one(payload))

    def move_one(self, payload: ItemMovePayload) -> ItemResponse:
        """Move a waiting or failed item to another queue."""
        return self._openiap.wait(self._items.move_one(payload))

    def preview_batch(self, payload: BatchPayload) -> BatchPreviewResponse:
        """Return what a change of many items would do."""
        return self._openiap.wait(self._items.preview_batch(payload))

    def retry_batch(
        self, payload: ItemsRetryBatchPayload, on_progress: OnProgress = nobody
    ) -> BatchResponse:
        """Put items back to new; ``on_progress`` is called in the connection's thread."""
        return self._openiap.wait(self._items.retry_batch(payload, on_progress))

    def delete_batch(
        self, payload: ItemsDeleteBatchPayload, on_progress: OnProgress = nobody
    ) -> BatchResponse:
        """Delete items and their files."""
        return self._openiap.wait(self._items.delete_batch(payload, on_progress))

    def move_batch(
        self, payload: ItemsMoveBatchPayload, on_progress: OnProgress = nobody
    ) -> BatchResponse:
        """Move waiting and failed items to another queue."""
        return self._openiap.wait(self._items.move_batch(payload, on_progress))

    def update_batch(
        self, payload: ItemsUpdateBatchPayload, on_progress: OnProgress = nobody
    ) -> BatchResponse:
        """Change the priority or the payload of waiting and failed items."""
        return self._openiap.wait(self._items.update_batch(payload, on_progress))

    def create_indexes(self) -> list[str]:
        """Make the indexes that help."""
        return self._openiap.wait(self._items.create_indexes())


class Queues:
    """``worker.management.Queues``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
    """

    def __init__(self, openiap: OpenIAP) -> None:
        self._openiap = openiap
        self._queues = AsyncQueues(openiap.present_client())

    def get_one(self, payload: QueueGetPayload) -> QueueDetailResponse:
        """Return a queue whole."""
        return self._openiap.wait(self._queues.get_one(payload))

    def get_list(self, payload: QueuesGetListPayload) -> list[QueueResponse]:
        """Return all queues that this user sees."""
        return self._openiap.wait(self._queues.get_list(payload))

    def get_plist(self, payload: QueuesGetPListPayload) -> PaginatedResponse[QueueResponse]:
        """Return a page of queues, and how many there are."""
        return self._openiap.wait(self._queues.get_plist(payload))

    def get_count(self, payload: QueueGetCountPayload) -> int:
        """Return how many items a queue holds."""
        return self._openiap.wait(self._queues.get_count(payload))

    def create_one(self, payload: QueueCreatePayload) -> QueueResponse:
        """Make a queue."""
        return self._openiap.wait(self._queues.create_one(payload))

    def update_one(self, payload: QueueUpdatePayload) -> QueueResponse:
        """Change a queue."""
        return self._openiap.wait(self._queues.update_one(payload))

    def delete_one(self, payload: QueueDeletePayload, on_gone: OnGone = nobody_counts) -> None:
        """Delete a queue with all its items; ``on_gone`` is called in the connection's thread."""
        self._openiap.wait(self._queues.delete_one(payload, on_gone))

    def purge_one(
        self, payload: QueuePurgePayload, on_gone: OnGone = nobody_counts
    ) -> QueuePurgeResponse:
        """Delete items of a queue and their files."""
        return self._openiap.wait(self._queues.purge_one(payload, on_gone))

    def pause_one(self, payload: QueuePausePayload) -> QueueResponse:
        """Have no worker of the fleet pop a queue."""
        return self._openiap.wait(self._queues.pause_one(payload))

    def resume_one(self, payload: QueueResumePayload) -> QueueResponse:
        """Let a queue be popped again."""
        return self._openiap.wait(self._queues.resume_one(payload))


class Breakers:
    """``worker.management.Breakers``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
    """

    def __init__(self, openiap: OpenIAP) -> None:
        self._openiap = openiap
        self._breakers = AsyncBreakers(openiap.present_client())

    def get_list(self, payload: BreakersGetListPayload) -> list[BreakerResponse]:
        """Return the breakers that workers have brought."""
        return self._openiap.wait(self._breakers.get_list(payload))

    def get_plist(self, payload: BreakersGetPListPayload) -> PaginatedResponse[BreakerResponse]:
        """Return a page of breakers, and how many there are."""
        return self._openiap.wait(self._breakers.get_plist(payload))

    def update_one(self, payload: BreakerUpdatePayload) -> list[BreakerResponse]:
        """Force a breaker, or leave it to itself."""
        return self._openiap.wait(self._breakers.update_one(payload))


class Workers:
    """``worker.management.Workers``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
    """

    def __init__(self, openiap: OpenIAP) -> None:
        self._openiap = openiap
        self._workers = AsyncWorkers(openiap.present_client())

    def get_one(self, payload: WorkerGetPayload) -> WorkerDetailResponse:
        """Return a worker whole."""
        return self._openiap.wait(self._workers.get_one(payload))

    def get_list(self, payload: WorkersGetListPayload) -> list[WorkerDetailResponse]:
        """Return workers whole."""
        return self._openiap.wait(self._workers.get_list(payload))

    def get_plist(self, payload: WorkersGetPListPayload) -> PaginatedResponse[WorkerResponse]:
        """Return a page of workers, and how many there are."""
        return self._openiap.wait(self._workers.get_plist(payload))

    def get_hour(self, payload: WorkersGetHourPayload) -> list[HourResponse]:
        """Return the last hour of each queue."""
        return self._openiap.wait(self._workers.get_hour(payload))

    def steer_one(self, payload: WorkerSteerPayload) -> SteeredResponse:
        """Tell a worker to do something, and wait for its answer."""
        return self._openiap.wait(self._workers.steer_one(payload))

    def steer_batch(self, payload: WorkersSteerBatchPayload) -> WorkersSteerBatchResponse:
        """Tell workers to do something, and wait for their answers."""
        return self._openiap.wait(self._workers.steer_batch(payload))


class Schedules:
    """``worker.management.Schedules``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
        namespace, entries: as there.
    """

    def __init__(
        self,
        openiap: OpenIAP,
        *,
        namespace: str = "",
        entries: Sequence[ScheduleEntry] | None = None,
    ) -> None:
        self._openiap = openiap
        client = openiap.present_client()
        self._schedules = AsyncSchedules(client, namespace=namespace, entries=entries)

    def get_list(self, payload: SchedulesGetListPayload) -> list[ScheduleResponse]:
        """Return all schedules."""
        return self._openiap.wait(self._schedules.get_list(payload))

    def get_one(self, payload: ScheduleGetPayload) -> ScheduleResponse:
        """Return a schedule."""
        return self._openiap.wait(self._schedules.get_one(payload))

    def get_plist(self, payload: SchedulesGetPListPayload) -> PaginatedResponse[ScheduleResponse]:
        """Return a page of schedules, and how many there are."""
        return self._openiap.wait(self._schedules.get_plist(payload))

    def pause_one(self, payload: SchedulePausePayload) -> ScheduleResponse:
        """Let no tick happen until it is resumed."""
        return self._openiap.wait(self._schedules.pause_one(payload))

    def resume_one(self, payload: ScheduleResumePayload) -> ScheduleResponse:
        """Let it go on."""
        return self._openiap.wait(self._schedules.resume_one(payload))

    def fire_one(self, payload: ScheduleFirePayload) -> FiredResponse:
        """Push one item as the schedule would, now."""
        return self._openiap.wait(self._schedules.fire_one(payload))
