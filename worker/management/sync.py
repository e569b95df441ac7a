"""The same for blocking code: scripts, notebooks, views of Django or Flask.

    from worker import sync
    from worker.management.sync import Items

    with sync.connect() as openiap:
        page = Items(openiap).get_plist(ItemsGetPListPayload())

A thread of its own holds the connection and an event loop; see ``worker.sync``.
"""

from worker.management.items.batch import OnProgress, nobody
from worker.management.items.service import Items as AsyncItems
from worker.management.items.types import (
    BatchPayload,
    BatchPreviewResponse,
    BatchResponse,
    ErrorGroupResponse,
    ItemDeletePayload,
    ItemDetailResponse,
    ItemFilter,
    ItemGetPayload,
    ItemResponse,
    ItemRetryPayload,
    ItemsDeleteBatchPayload,
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
from worker.producer.producer import Checks
from worker.producer.sync import OpenIAP

__all__ = ["Items"]


class Items:
    """``worker.management.Items``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
        contracts, namespace: as there.
    """

    def __init__(
        self, openiap: OpenIAP, *, contracts: Checks | None = None, namespace: str = ""
    ) -> None:
        self._openiap = openiap
        self._items = AsyncItems(openiap.present_client(), contracts=contracts, namespace=namespace)

    def get_one(self, payload: ItemGetPayload) -> ItemDetailResponse:
        """Return an item whole."""
        return self._openiap.wait(self._items.get_one(payload))

    def get_list(self, payload: ItemsGetListPayload) -> list[ItemResponse]:
        """Return the first so many items."""
        return self._openiap.wait(self._items.get_list(payload))

    def get_plist(self, payload: ItemsGetPListPayload) -> PaginatedResponse[ItemResponse]:
        """Return a page of items, and how many there are."""
        return self._openiap.wait(self._items.get_plist(payload))

    def get_count(self, filter: ItemFilter) -> int:
        """Return how many items there are."""
        return self._openiap.wait(self._items.get_count(filter))

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
