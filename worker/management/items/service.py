"""Items for operators: looked at, counted, grouped by error, and changed one by one or by many."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from worker.item.history import USUAL
from worker.management.errors import said_by_openiap
from worker.management.items.batch import Batch, OnProgress, nobody
from worker.management.items.cancelling import ItemCancelledResponse, ItemCancelPayload, cancel
from worker.management.items.creation import Creation, made
from worker.management.items.errors import ItemNotFoundError, ItemStateError, QueueNotFoundError
from worker.management.items.filters import query_of
from worker.management.items.grouping import Groups, group_of
from worker.management.items.indexes import make_indexes
from worker.management.items.lists import ItemLists, grouped
from worker.management.items.looks import ItemLooks, whole
from worker.management.items.plan import Plan
from worker.management.items.preview import preview_of
from worker.management.items.putting_back import put_back
from worker.management.items.signalling import ItemSignalledResponse, ItemSignalPayload, signal
from worker.management.items.store import ItemStore
from worker.management.items.timeline import ItemHistoryResponse, timeline_of
from worker.management.items.types import (
    BatchPayload,
    BatchPreviewResponse,
    BatchResponse,
    ErrorGroupResponse,
    ItemDeletePayload,
    ItemDetailResponse,
    ItemFilter,
    ItemGetHistoryPayload,
    ItemGetPayload,
    ItemResponse,
    ItemRetryPayload,
    ItemsCancelBatchPayload,
    ItemsDeleteBatchPayload,
    ItemsGetCountPayload,
    ItemsGetGroupsPayload,
    ItemsGetListPayload,
    ItemsGetPListPayload,
    ItemsMoveBatchPayload,
    ItemsRetryBatchPayload,
    ItemsUpdateBatchPayload,
    ItemsWatchPayload,
)
from worker.management.items.types_of_changes import (
    ItemCreatedResponse,
    ItemCreatePayload,
    ItemMovePayload,
    ItemsCreateBatchPayload,
    ItemsCreateBatchResponse,
    ItemUpdatePayload,
)
from worker.management.items.views import item_of
from worker.management.items.watching import changes
from worker.management.paging import PaginatedResponse
from worker.openiap.client import Client
from worker.openiap.errors import ItemNotFound, QueueNotFound
from worker.openiap.fields import text_of
from worker.openiap.workitem import NEW, PROCESSING, JsonObject
from worker.producer.producer import Checks


class Items:
    """What operators do with items, with the rights of a client's user.

    Args:
        client: signed in.
        contracts: what payloads are held to that are made or patched.
        history: entries that an item's timeline keeps; see the setting of that name.
        namespace: whose items those are that are made; see the setting of that name.
    """

    def __init__(
        self,
        client: Client,
        *,
        contracts: Checks | None = None,
        history: int = USUAL,
        namespace: str = "",
    ) -> None:
        self._store = ItemStore(client)
        self.looks: Final = ItemLooks(self._store, namespace)
        self._lists = ItemLists(self._store)
        self._plan = Plan(self._store, contracts, history)
        self._history = history
        self._creation = Creation(client, namespace, contracts)

    async def get_one(self, payload: ItemGetPayload) -> ItemDetailResponse:
        """Return an item whole.

        Raises:
            ItemNotFoundError: there is none, or none for this user.
        """
        document = await self.looks.get_document(payload.id)
        around = await self.looks.get_around(document)
        return whole(document, await self.looks.get_children(payload.id), around)

    async def get_history(self, payload: ItemGetHistoryPayload) -> ItemHistoryResponse:
        """Return an item's timeline, what it comes from and what came of it.

        Raises:
            ItemNotFoundError: there is none, or none for this user.
        """
        document = await self.looks.get_document(payload.id)
        children = await self.looks.get_children(payload.id)
        return timeline_of(document, children.found, more=children.more)

    async def get_list(self, payload: ItemsGetListPayload) -> list[ItemResponse]:
        """Return the first so many items.

        Raises:
            FilterError: a part of the filter cannot be asked.
            QueueNotFoundError: it names a queue that there is not.
        """
        found = await self._lists.sorted(
            payload.filter, payload.sort_by, payload.sort_direction, limit=payload.limit
        )
        return [item_of(document) for document in found]

    async def get_plist(self, payload: ItemsGetPListPayload) -> PaginatedResponse[ItemResponse]:
        """Return a page of items, and how many there are.

        Raises: as ``get_list``.
        """
        total = await self.get_count(ItemsGetCountPayload(filter=payload.filter))
        found = await self.get_page(payload) if total else []
        return PaginatedResponse(
            items=found, total=total, limit=payload.limit, offset=payload.offset
        )

    async def get_page(self, payload: ItemsGetPListPayload) -> list[ItemResponse]:
        """Return a page of items, and not how many there are: one message, where it has some.

        Raises: as ``get_list``.
        """
        found = await self._lists.sorted(
            payload.filter,
            payload.sort_by,
            payload.sort_direction,
            limit=payload.limit,
            offset=payload.offset,
        )
        return [item_of(document) for document in found]

    async def get_count(self, payload: ItemsGetCountPayload) -> int:
        """Return how many items there are.

        Raises: as ``get_list``.
        """
        filter = payload.filter
        with said_by_openiap():
            if filter.group is None:
                count = await self._store.count(query_of(filter))
            else:
                seen = {"errormessage": 1}
                count = 0
                async for page in self._store.stream(query_of(grouped(filter)), seen):
                    count += sum(group_of(one) == filter.group for one in page)
            if not count:
                await self._lists.require_queue(filter)
        return count

    async def get_groups(self, payload: ItemsGetGroupsPayload) -> list[ErrorGroupResponse]:
        """Return the groups of errors, the largest first.

        All items of the filter are read once, page by page, without what is not needed for it.

        Raises: as ``get_list``.
        """
        filter = grouped(payload.filter)
        groups = Groups()
        seen: JsonObject = {"errormessage": 1, "wiq": 1, "_modified": 1}
        with said_by_openiap():
            async for page in self._store.stream(query_of(filter), seen):
                for document in page:
                    if filter.group is None or group_of(document) == filter.group:
                        groups.add(document)
            if not groups.found():
                await self._lists.require_queue(filter)
        return groups.found()

    def watch(self, payload: ItemsWatchPayload) -> AsyncIterator[ItemResponse]:
        """Yield items whenever they change, until nobody asks any more.

        Raises:
            FilterError: a part of the filter cannot be asked.
            OpenIAPError: the link broke.
        """
        return changes(self._store, payload.filter)

    async def retry_one(self, payload: ItemRetryPayload) -> ItemResponse:
        """Put an item back to new, whatever its queue's limit of attempts says.

        Raises:
            ItemNotFoundError: there is none, or none for this user.
            ItemStateError: it is new, or somebody works it.
        """
        id = payload.id
        with said_by_openiap():
            document = await self._found(id)
            state = str(document.get("state", ""))
            if state == NEW:
                raise ItemStateError(f"Item {id} is new already; nothing to do.", {"state": state})
            if state == PROCESSING and not payload.force:
                raise ItemStateError(
                    f"Item {id} is being processed by {document.get('username') or 'somebody'}; a"
                    " retry now would run it twice. If nobody works it any more, add --force.",
                    {"state": state},
                )
            await put_back(self._store, document, self._history)
            return item_of(await self._found(id))

    async def signal_one(self, payload: ItemSignalPayload) -> ItemSignalledResponse:
        """Tell an item something that it waits for, now or later.

        Raises:
            ItemNotFoundError: there is none, or none for this user.
            ItemStateError: it has ended.
            ValidationError: name or value cannot be sent.
        """
        with said_by_openiap():
            return await signal(self._store, payload, self._creation.contracts)

    async def cancel_one(self, payload: ItemCancelPayload) -> ItemCancelledResponse:
        """Have an item that waits fail, and one that runs be asked to end.

        Raises:
            ItemNotFoundError: there is none, or none for this user.
            ItemStateError: it has ended.
        """
        with said_by_openiap():
            return await cancel(self._store, payload, self._history)

    async def delete_one(self, payload: ItemDeletePayload) -> None:
        """Delete an item and its files.

        Raises:
            ItemNotFoundError: there is none, or none for this user.
        """
        with said_by_openiap():
            try:
                await self._store.delete_one(
                    await self._store.get_one(payload.id) or {"_id": payload.id}
                )
            except ItemNotFound as error:
                raise ItemNotFoundError(payload.id) from error

    async def create_one(self, payload: ItemCreatePayload) -> ItemCreatedResponse:
        """Push an item, or find the one that has its key.

        Raises:
            ValidationError: it cannot be pushed, or does not fit its contract.
            QueueNotFoundError: there is no such queue.
            UnavailableError: the answer was lost; with a key it can be sent again.
        """
        push = self._creation.push_of(payload.queue, payload)
        with said_by_openiap():
            try:
                return made(await self._creation.one(push))
            except QueueNotFound as error:
                raise QueueNotFoundError(payload.queue) from error

    async def create_batch(self, payload: ItemsCreateBatchPayload) -> ItemsCreateBatchResponse:
        """Push items, and tell of each what became of it; refusals are no errors here."""
        ends = await self._creation.many(payload.queue, payload.items)
        counts = Counter(one.result for one in ends)
        return ItemsCreateBatchResponse(
            created=counts["created"],
            existing=counts["existing"],
            refused=counts["refused"],
            unknown=counts["unknown"],
            items=ends,
        )

    async def update_one(self, payload: ItemUpdatePayload) -> ItemResponse:
        """Change the priority or the payload of a waiting or failed item.

        Raises:
            ItemNotFoundError: there is none, or none for this user.
            ConflictError: it is in another state, has these values, or was changed meanwhile.
            ValidationError: it cannot be done.
            ForbiddenError: this user may not.
        """
        change = ItemsUpdateBatchPayload(
            filter=ItemFilter(ids=[payload.id]), priority=payload.priority, patch=payload.patch
        )
        return await self._alone(payload.id, change)

    async def move_one(self, payload: ItemMovePayload) -> ItemResponse:
        """Move a waiting or failed item to another queue.

        Raises: as ``update_one``; QueueNotFoundError: there is no such queue.
        """
        change = ItemsMoveBatchPayload(filter=ItemFilter(ids=[payload.id]), to=payload.to)
        return await self._alone(payload.id, change)

    async def plan_batch(self, payload: BatchPayload, on_progress: OnProgress = nobody) -> Batch:
        """Return what changes many items once it is run; nothing is done yet.

        Raises: as ``retry_batch``.
        """
        with said_by_openiap():
            return await self._plan.batch(payload, on_progress)

    async def preview_batch(self, payload: BatchPayload) -> BatchPreviewResponse:
        """Return what a change of many items would do, and change nothing.

        Raises: as the change itself.
        """
        with said_by_openiap():
            batch = await self._plan.batch(payload, nobody)
            preview = await preview_of(
                self._store,
                batch,
                retries=isinstance(payload, ItemsRetryBatchPayload),
                cancels=isinstance(payload, ItemsCancelBatchPayload),
            )
            if not preview.count:
                await self._lists.require_queue(payload.filter)
        return preview

    async def retry_batch(
        self, payload: ItemsRetryBatchPayload, on_progress: OnProgress = nobody
    ) -> BatchResponse:
        """Put items back to new; failed ones where the filter names no state.

        Raises:
            FilterError: nothing is asked for, or something that cannot be.
            UnavailableError: the link broke; the same again goes on where it was.
        """
        return await self._run(payload, on_progress)

    async def cancel_batch(
        self, payload: ItemsCancelBatchPayload, on_progress: OnProgress = nobody
    ) -> BatchResponse:
        """Have items that wait fail, and those that run be asked to end. Raises: as
        ``retry_batch``."""
        return await self._run(payload, on_progress)

    async def delete_batch(
        self, payload: ItemsDeleteBatchPayload, on_progress: OnProgress = nobody
    ) -> BatchResponse:
        """Delete items and their files; none that somebody works. Raises: as ``retry_batch``."""
        return await self._run(payload, on_progress)

    async def move_batch(
        self, payload: ItemsMoveBatchPayload, on_progress: OnProgress = nobody
    ) -> BatchResponse:
        """Move waiting and failed items to another queue; they keep their ids and take its rights.

        Raises:
            QueueNotFoundError: there is no such queue.
            ForbiddenError: this user may not push there.
            AppError: as ``retry_batch``.
        """
        return await self._run(payload, on_progress)

    async def update_batch(
        self, payload: ItemsUpdateBatchPayload, on_progress: OnProgress = nobody
    ) -> BatchResponse:
        """Change the priority or the payload of waiting and failed items. Raises: as
        ``retry_batch``; a payload that would not fit its contract is one of the failures."""
        return await self._run(payload, on_progress)

    async def create_indexes(self) -> list[str]:
        """Make the indexes that help, and return the names of those that were not there.

        Raises:
            ForbiddenError: this user may not; the message says which they are.
        """
        return await make_indexes(self._store)

    async def _run(self, payload: BatchPayload, on_progress: OnProgress) -> BatchResponse:
        return await (await self.plan_batch(payload, on_progress)).run()

    async def _alone(self, id: str, payload: BatchPayload) -> ItemResponse:
        with said_by_openiap():
            state = text_of((await self._found(id)).get("state"))
        batch = await self.plan_batch(payload)
        if state not in batch.states:
            raise ItemStateError(
                f"Item {id} is {state}; allowed: {', '.join(batch.states)}.", {"state": state}
            )
        response = await batch.run()
        if batch.error is not None:
            raise batch.error
        if not response.done:
            raise ItemStateError(f"Item {id} was changed meanwhile; nothing was done.")
        with said_by_openiap():
            return item_of(await self._found(id))

    async def _found(self, id: str) -> JsonObject:
        found = await self._store.get_one(id)
        if found is None:
            raise ItemNotFoundError(id)
        return found
