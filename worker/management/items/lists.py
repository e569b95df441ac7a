"""Items in an order, also those of a group of errors, which no query can tell."""

from typing import Any, Final

from worker.management.errors import said_by_openiap
from worker.management.items.errors import FilterError, QueueNotFoundError
from worker.management.items.filters import query_of
from worker.management.items.grouping import group_of
from worker.management.items.plan import require_group
from worker.management.items.store import LISTED, ItemStore
from worker.management.items.types import SORT_FIELDS, ItemFilter
from worker.management.paging import Direction
from worker.openiap.workitem import FAILED, JsonObject

MOST_IN_ORDER: Final = 10_000
"""Items of a group that can be put in order; so many are kept meanwhile."""


class ItemLists:
    """Lists of items with one client, and its user's rights."""

    def __init__(self, store: ItemStore) -> None:
        self._store = store

    async def require_queue(self, filter: ItemFilter) -> None:
        """Refuse a filter that names a queue that there is not.

        Raises:
            QueueNotFoundError: it does.
        """
        if filter.queue is not None and await self._store.get_queue(filter.queue) is None:
            raise QueueNotFoundError(filter.queue)

    async def sorted(
        self,
        filter: ItemFilter,
        sort_by: str,
        direction: Direction,
        *,
        limit: int,
        offset: int = 0,
    ) -> list[JsonObject]:
        """Return so many items in an order, without their payloads.

        Raises:
            FilterError: a part of the filter cannot be asked.
            QueueNotFoundError: it names a queue that there is not.
        """
        field, sign = SORT_FIELDS[sort_by], 1 if direction == "asc" else -1
        with said_by_openiap():
            if filter.group is not None:
                return (await self._first_of_group(filter, field, sign, offset + limit))[offset:]
            order = {field: sign, "_id": sign}
            found = await self._store.get_list(query_of(filter), order, limit=limit, offset=offset)
            if not found:
                await self.require_queue(filter)
        return found

    async def _first_of_group(
        self, filter: ItemFilter, field: str, sign: int, wanted: int
    ) -> list[JsonObject]:
        """Return the first items of a group in an order, with few more of them in memory."""
        if wanted > MOST_IN_ORDER:
            raise FilterError("group", filter.group, f"its first {MOST_IN_ORDER:,} items")
        found: list[JsonObject] = []
        async for page in self._store.stream(query_of(grouped(filter)), LISTED):
            found += [one for one in page if group_of(one) == filter.group]
            found.sort(key=lambda one: _place(one, field), reverse=sign < 0)
            del found[wanted:]
        if not found:
            await self.require_queue(filter)
        return found


def grouped(filter: ItemFilter) -> ItemFilter:
    """Return a filter of failed items where it names no state, as groups are of those."""
    require_group(filter)
    return filter if filter.states else filter.model_copy(update={"states": [FAILED]})


def _place(document: JsonObject, field: str) -> tuple[bool, str, Any, str]:
    value = document.get(field)
    kind = type(value).__name__ if isinstance(value, str | int | float) else ""
    return value is not None, kind, value if kind else "", str(document["_id"])
