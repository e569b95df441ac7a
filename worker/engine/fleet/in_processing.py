"""The items that are in processing, however many, and whatever somebody wrote into them.

A name may have megabytes, and an answer that is larger than the client carries breaks the link, at
every look. So after a break less is asked for; what breaks the link alone is left out for an hour:
it keeps nobody from the items beside it.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from worker.engine.delivery.fence import CLOSING
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import Misfit, Told, id_of
from worker.openiap.pool import Pool
from worker.openiap.workitem import PROCESSING, JsonObject
from worker.uptime import uptime

FIELDS: Final[JsonObject] = {
    "_id": 1,
    "name": 1,
    "state": 1,
    "retries": 1,
    "lastrun": 1,
    "username": 1,
    "priority": 1,
    "wiq": 1,
    "wiqid": 1,
    CLOSING: 1,
}
ITEM: Final = "work item"
PAGE: Final = 500
"""Items in one answer; OpenIAP gives no more."""
MOST: Final = 20 * PAGE
NARROWER: Final = 8
"""So many times less is asked for after a break."""
MOST_BREAKS: Final = 12
"""So many are borne in one look; the next one goes on with what was found out."""
LEFT_OUT_FOR: Final = 3600.0
"""Seconds; it may be another by then."""
PAUSE: Final = 0.05


class ItemsInProcessing:
    """Reads the items of queues that are in processing.

    Args:
        told: hears of items that are left out.
    """

    def __init__(self, pool: Pool, told: Told) -> None:
        self._pool = pool
        self._told = told
        self._top = PAGE
        self._left_out: dict[str, float] = {}
        """Until when (``uptime``), by id."""

    async def of(self, queues: Sequence[str]) -> list[JsonObject]:
        """Return all of them, oldest first: those that nobody may take over must not hide the
        others.

        Raises:
            OpenIAPError: they cannot be read.
        """
        now = uptime()
        self._left_out = {id: until for id, until in self._left_out.items() if until > now}
        found: dict[str, JsonObject] = {}
        read = breaks = alone = 0
        while read < MOST:
            top = self._top
            query = self._query(queues)
            try:
                page = await self._pool.call(partial(_page, query=query, skip=read, top=top))
            except OpenIAPError as error:
                breaks += 1
                if not error.maybe_done or breaks >= MOST_BREAKS:
                    raise
                self._top = max(1, top // NARROWER)
                alone += top == 1
                await asyncio.sleep(PAUSE)  # a link that breaks is ready for a moment yet
                await self._pool.wait_ready()
                if alone > 1:  # twice, so it is not the link's doing
                    await self._leave_out(queues, read)
                    alone = 0
                continue
            alone = 0
            self._top = min(PAGE, 2 * top)
            read += len(page)
            for document in page:
                if id := id_of(document):
                    found[id] = document
                else:
                    self._told(Misfit(ITEM, str(document.get("_id"))[:100], "_id is no text"))
            if len(page) < top:
                break
        return list(found.values())

    def _query(self, queues: Sequence[str]) -> JsonObject:
        query: JsonObject = {"wiq": {"$in": list(queues)}, "state": PROCESSING}
        return {**query, "_id": {"$nin": sorted(self._left_out)}} if self._left_out else query

    async def _leave_out(self, queues: Sequence[str], skip: int) -> None:
        """Ask for the id alone of the item that comes next, and leave it out from now on."""
        only: JsonObject = {"_id": 1}
        query = self._query(queues)
        for document in await self._pool.call(
            partial(_page, query=query, skip=skip, top=1, fields=only)
        ):
            id = str(document["_id"])
            self._left_out[id] = uptime() + LEFT_OUT_FOR
            self._told(Misfit(ITEM, id[:100], "it is larger than a link carries, without payload"))


async def _page(
    client: Client, query: JsonObject, skip: int, top: int, fields: JsonObject = FIELDS
) -> list[JsonObject]:
    return await client.query(
        "workitems", query, fields, orderby={"lastrun": 1, "_id": 1}, top=top, skip=skip
    )
