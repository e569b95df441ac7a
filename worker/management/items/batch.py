"""Many items changed, each once, and none that changed meanwhile.

1. Items come page by page, in the order of their ids; nothing is kept of those that are done, so
   10,000 take the room of 200.
2. With conditional updates each change is one step that meets the item as it was seen, or nothing.
   Without them the item is read right before; the answer says so.
3. Only items are touched that did not change after ``before``. What this changes, changes after it,
   so whoever is stopped in the middle and begins anew with the same moment changes each item once.
   Cancelled are those that were pushed before it: what was cancelled does not wait any more, and
   one that has begun to run meanwhile is no less to be ended.
4. A break of the link ends it; what one item refuses is noted, and the next ones go on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Literal

from worker.engine.delivery.carried import carried
from worker.item.history import USUAL, refused
from worker.management.errors import AppError, ForbiddenError, from_openiap
from worker.management.items.actions import Action, Cancel, Change, as_seen, still
from worker.management.items.cancelling import ItemCancelPayload, cancel
from worker.management.items.entries import Noted, entry_of
from worker.management.items.errors import ItemNotFoundError, ItemStateError
from worker.management.items.filters import query_of
from worker.management.items.grouping import group_of
from worker.management.items.store import ItemStore, user_name
from worker.management.items.types import BatchResponse, ItemFailure, ItemFilter
from worker.openiap.errors import (
    ItemNotFound,
    NotConnected,
    OpenIAPError,
    RateLimited,
    ServerError,
)
from worker.openiap.large import apart, is_large
from worker.openiap.values import iso, json_text
from worker.openiap.workitem import JsonObject, Workitem

PAGE: Final = 200
PAGE_OF_PAYLOADS: Final = 20
"""Payloads may be large."""
IN_FLIGHT: Final = 8
MOST_FAILURES: Final = 1_000
TRIES: Final = 3
REFUSED_FOR: Final = 1.0
"""Seconds; OpenIAP's window for messages."""
NO_MOMENTS: Final = ("$expr", "$toDate")
"""What a database that cannot compare moments names in its refusal."""

Ended = Literal["done", "changed"]
OnProgress = Callable[[BatchResponse], None]


def nobody(response: BatchResponse) -> None:
    """Tell nobody."""


class Batch:
    """Does one thing with all items of a filter.

    Args:
        before: see above.
        on_progress: told after each item.
        history: entries that an item's timeline keeps.
    """

    def __init__(
        self,
        store: ItemStore,
        action: Action,
        filter: ItemFilter,
        before: datetime,
        on_progress: OnProgress = nobody,
        *,
        history: int = USUAL,
    ) -> None:
        self._store = store
        self._action = action
        self._filter = filter
        self._before = before
        self._on_progress = on_progress
        self._history = history
        self._by = user_name(store.client)
        self._compares_moments = True
        self._able = store.client.capabilities.conditional_updates
        conditional = self._able and not isinstance(action, Cancel)
        self.response: Final = BatchResponse(before=before, conditional=conditional)
        self.error: AppError | None = None
        """What was wrong with the last item that failed."""

    @property
    def states(self) -> tuple[str, ...]:
        """Those of items that it touches."""
        return self._action.states

    async def count(self) -> int | None:
        """Return how many items it is about; None for a group, of which all would be read.

        Raises:
            OpenIAPError: the server does not say.
        """
        if self._filter.group is not None:
            return None
        return await self._store.count(self._query())

    async def run(self) -> BatchResponse:
        """Do it.

        Raises:
            AppError: the link broke, or the server refuses everything.
        """
        try:
            async for page in self.pages():
                for start in range(0, len(page), IN_FLIGHT):
                    ends = await asyncio.gather(
                        *(self._one(document) for document in page[start : start + IN_FLIGHT]),
                        return_exceptions=True,
                    )
                    for end in ends:
                        if isinstance(end, BaseException):
                            raise end
        except OpenIAPError as error:
            raise from_openiap(error) from error
        return self.response

    async def pages(self) -> AsyncIterator[list[JsonObject]]:
        """Yield the items that it is about, page by page.

        Raises:
            FilterError: a part of the filter cannot be asked.
        """
        query = self._query()
        projection = self._action.projection
        size = PAGE_OF_PAYLOADS if "payload" in projection else PAGE
        async for page in self._store.stream(query, projection, page=size):
            group = self._filter.group
            yield page if group is None else [one for one in page if group_of(one) == group]

    def _query(self) -> JsonObject:
        if isinstance(self._action, Cancel):
            return {**query_of(self._filter), "_created": {"$lte": iso(self._before)}}
        return query_of(self._filter, before=self._before)

    async def _one(self, document: JsonObject) -> None:
        try:
            ended = await self._patiently(document)
        except NotConnected:
            raise
        except OpenIAPError as error:
            if error.maybe_done:
                raise
            self._failed(document, from_openiap(error))
        except AppError as error:
            self._failed(document, error)
        else:
            self.response.done += ended == "done"
            self.response.changed += ended == "changed"
        self._on_progress(self.response)

    def _failed(self, document: JsonObject, error: AppError) -> None:
        self.response.failed += 1
        self.error = error
        if len(self.response.failures) < MOST_FAILURES:
            failure = ItemFailure(id=str(document["_id"]), reason=error.message)
            self.response.failures.append(failure)

    async def _patiently(self, document: JsonObject) -> Ended:
        """Do it with one item, again where the server had no time for it or the answer was lost."""
        for left in reversed(range(TRIES)):
            try:
                return await self._do(document)
            except RateLimited:
                if not left:
                    raise
                await asyncio.sleep(REFUSED_FOR)
            except OpenIAPError as error:
                if not error.maybe_done or not left:
                    raise
                # It may have been done. If it was, the item is not as it was seen any more.
                ended = await self._looked(document)
                if ended is not None:
                    return ended
        raise AssertionError("the last try returns or raises")

    async def _do(self, document: JsonObject) -> Ended:
        if self._action.deletes:
            return await self._delete(document)
        if isinstance(self._action, Cancel):
            return await self._cancel(document, self._action.reason)
        change = self._action.change(document)
        entry = entry_of(self._action, document, datetime.now(UTC), self._by)
        noted = Noted(str(document["_id"]), change, entry, self._history)
        text = await apart(is_large(document), json_text, noted.update())
        if not self._able or not carried(text):
            return await self._read_and_write(document, change, noted)
        if await self._changed(document, noted):
            return "done"
        return await self._why(document, "change")

    async def _changed(self, document: JsonObject, noted: Noted) -> bool:
        try:
            return await self._if_still(
                document, lambda it: self._store.update_if(it, noted.update())
            )
        except ServerError as error:
            if not refused(error.text, str(document["_id"])):
                raise
        return await self._if_still(
            document, lambda it: self._store.update_if(it, noted.update(anew=True))
        )

    async def _cancel(self, document: JsonObject, reason: str) -> Ended:
        # Not validated: others may have given an item an id that is longer than what the API takes.
        asked = ItemCancelPayload.model_construct(id=str(document["_id"]), reason=reason)
        try:
            found = await cancel(self._store, asked, self._history, self._filter.states)
        except ItemStateError:
            return "changed"
        except ItemNotFoundError:
            return await self._why(document, "cancel")
        self.response.stopping += found.result == "stopping"
        return "done"

    async def _delete(self, document: JsonObject) -> Ended:
        if not self._able:
            now = await self._store.get_one(str(document["_id"]))
            if now is None or not as_seen(document, now):
                return "changed"
            try:
                await self._store.delete_one(document)
            except ItemNotFound:
                return "changed"
            return "done"
        if await self._if_still(document, lambda it: self._store.delete_if(it, document)):
            return "done"
        return await self._why(document, "delete")

    async def _if_still(
        self, document: JsonObject, write: Callable[[JsonObject], Awaitable[bool]]
    ) -> bool:
        try:
            return await write(still(document, to_the_moment=self._compares_moments))
        except ServerError as error:
            if not self._compares_moments or not any(one in error.text for one in NO_MOMENTS):
                raise
            self._compares_moments = False
        return await write(still(document, to_the_moment=False))

    async def _read_and_write(self, document: JsonObject, change: Change, noted: Noted) -> Ended:
        now = await self._store.get_one(str(document["_id"]))
        if now is None or not as_seen(document, now):
            return "changed"
        if set(change.set) == {"payload"}:
            # Through the update of items, which leaves texts as they are.
            await self._store.client.update_workitem(
                Workitem(
                    id=str(document["_id"]),
                    payload=noted.payload(),
                    priority=int(now.get("priority") or 0),
                )
            )
        else:
            await self._store.replace_one(noted.on(now))
        return "done"

    async def _why(self, document: JsonObject, what: str) -> Ended:
        """Return why a condition met nothing.

        Raises:
            ForbiddenError: all is as it was, so it is the rights.
        """
        now = await self._store.get_one(str(document["_id"]))
        if now is None or not as_seen(document, now):
            return "changed"
        raise ForbiddenError(f"This user may not {what} it.")

    async def _looked(self, document: JsonObject) -> Ended | None:
        """Return how it ended that was asked for without an answer; None: it was not done."""
        now = await self._store.get_one(str(document["_id"]))
        if now is None:
            return "done" if self._action.deletes else "changed"
        if as_seen(document, now):
            return None
        if self._action.deletes or not self._action.change(document).stands_on(now):
            return "changed"
        return "done"
