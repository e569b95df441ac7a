"""Items as they change.

1. What changed since the last look is one query, in the order in which it changed. A watch tells
   when to look; where there is none, and besides, it is looked every two seconds.
2. Nothing is kept but the moment up to which was seen, and the last few thousand of what was shown.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.management.items.filters import query_of
from worker.management.items.store import COLLECTION, ItemStore
from worker.management.items.types import ItemFilter, ItemResponse
from worker.management.items.views import item_of
from worker.openiap.errors import AccessDenied, OpenIAPError
from worker.openiap.fields import id_of, moment_of
from worker.openiap.types import WatchEvent
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject
from worker.state.server_clock import ServerClock

EVERY: Final = 2.0
"""Seconds between two looks."""
AT_MOST: Final = 0.25
"""Seconds: however much changes, it is looked no more often."""
OVERLAP: Final = timedelta(seconds=5)
"""What is written by the server's clock may come to be seen later."""
KEPT: Final = 5_000
PAGE: Final = 500
CHANGED: Final = "$.*.wiq"
"""A watch's path: documents that have this field. Comparisons cost the server a hundred times as
much."""


async def changes(store: ItemStore, filter: ItemFilter) -> AsyncIterator[ItemResponse]:
    """Yield items whenever they change, until nobody asks any more.

    Raises:
        FilterError: a part of the filter cannot be asked.
        OpenIAPError: the link broke.
    """
    query = query_of(filter)
    told = asyncio.Event()

    def changed(event: WatchEvent) -> None:
        told.set()

    try:
        since = await ServerClock(store.client).now()
    except AccessDenied:
        since = datetime.now(UTC)
    begun = since
    watch = ""
    with suppress(OpenIAPError):
        watch = await store.client.watch(COLLECTION, CHANGED, changed)
    seen: OrderedDict[tuple[str, ...], None] = OrderedDict()
    try:
        while True:
            told.clear()
            async for document in _changed_since(store, query, since - OVERLAP):
                at = _at(document)
                if at is None or at < begun or not _new(seen, document):
                    continue
                since = max(since, at)
                yield item_of(document)
            await asyncio.sleep(AT_MOST)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY - AT_MOST):
                    await told.wait()
    finally:
        if watch:
            with suppress(OpenIAPError):
                await store.client.unwatch(watch)


async def _changed_since(
    store: ItemStore, query: JsonObject, since: datetime
) -> AsyncIterator[JsonObject]:
    """Yield what changed, or was popped: a pop moves ``lastrun`` alone."""
    moment = iso(since)
    wanted: JsonObject = {
        "$and": [query, {"$or": [{"_modified": {"$gte": moment}}, {"lastrun": {"$gte": moment}}]}]
    }
    if not query:
        wanted = wanted["$and"][1]
    offset = 0
    while True:
        page = await store.get_list(wanted, {"_modified": 1, "_id": 1}, limit=PAGE, offset=offset)
        for document in page:
            yield document
        if len(page) < PAGE:
            return
        offset += PAGE


def _new(seen: "OrderedDict[tuple[str, ...], None]", document: JsonObject) -> bool:
    names = ("state", "retries", "_modified", "lastrun")
    key = (id_of(document), *(str(document.get(name)) for name in names))
    if key in seen:
        return False
    seen[key] = None
    if len(seen) > KEPT:
        seen.popitem(last=False)
    return True


def _at(document: JsonObject) -> datetime | None:
    moments = (moment_of(document.get("_modified")), moment_of(document.get("lastrun")))
    return max((one for one in moments if one is not None), default=None)
