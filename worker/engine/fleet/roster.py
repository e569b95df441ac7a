"""The roster: the documents of all workers of some queues, however many there are, and whatever
else somebody put among them.

An answer that is larger than the client carries breaks the link (server.md, Payload), and would
again at every look. So after a break less is asked for, and what no worker writes, being too
large, is found out and left out from then on.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Final

from worker.engine.fleet.presence import COLLECTION, FIELDS, KIND
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError, ServerError
from worker.openiap.fields import Misfit, Told, id_of, ignored
from worker.openiap.pool import Pool
from worker.openiap.values import json_text
from worker.openiap.workitem import JsonObject
from worker.state.retrying import passes
from worker.uptime import uptime

PAGE: Final = 500
"""Documents in one answer; OpenIAP gives no more unless it is asked to."""
MOST_PAGES: Final = 200
LARGEST: Final = 1_000_000
"""Characters; a worker that claims ``MAX_CLAIMS`` items writes fewer."""
NARROWER: Final = 8
"""So many times less is asked for after a break."""
MOST_ERRORS: Final = 16
"""So many are borne in one look; the next one goes on with what was found out."""
PAUSE: Final = 0.05
STRIKES: Final = 2
"""Breaks at one document, with answers in between, until it is the document's doing."""
REMEMBERED: Final = 3600.0
"""Seconds for which a document is left out; it may be another by then."""


class Roster:
    """Reads the documents of the workers of some queues.

    Args:
        queues: their names.
        told: hears of documents that are left out.
    """

    def __init__(self, pool: Pool, queues: Iterable[str], told: Told = ignored) -> None:
        self._pool = pool
        self._queues = list(queues)
        self._told = told
        self._top = PAGE
        self._left_out: dict[str, float] = {}
        """Until when (``uptime``)."""

    async def documents(self) -> list[JsonObject]:
        """Return all of them: one that is left out would seem dead.

        Raises:
            OpenIAPError: they cannot be read, or there are more than could be workers.
        """
        now = uptime()
        self._left_out = {id: until for id, until in self._left_out.items() if until > now}
        documents: list[JsonObject] = []
        after, errors, strikes, suspected = "", 0, 0, False
        while len(documents) < MOST_PAGES * PAGE:
            top = self._top
            try:
                if suspected:
                    suspected = False
                    await self._suspect(after, believed=strikes % STRIKES == 0)
                page = await self._pool.call(partial(_page, query=self._query(after), top=top))
            except OpenIAPError as error:
                errors += 1
                if not passes(error) or errors >= MOST_ERRORS:
                    raise
                if error.maybe_done:
                    self._top = max(1, top // NARROWER)
                    suspected = top == 1
                    strikes += suspected
                await asyncio.sleep(PAUSE)  # a link that breaks is ready for a moment yet
                await self._pool.wait_ready()
                continue
            strikes = 0
            documents += self._fitting(page, narrowed=top < PAGE)
            if len(page) < top:
                return documents
            after = page[-1]["_id"]
        raise ServerError(
            f"more than {MOST_PAGES * PAGE:,} worker documents name these queues; what no worker"
            f" wrote is to be deleted from {COLLECTION}",
            operation="query",
        )

    def _query(self, after: str) -> JsonObject:
        ids: JsonObject = {"$gt": after}
        if self._left_out:
            ids["$nin"] = sorted(self._left_out)
        return {"_type": "worker", "queues": {"$in": self._queues}, "_id": ids}

    async def _suspect(self, after: str, *, believed: bool) -> None:
        """Leave out the document that comes next, if it is believed to break the link; its id alone
        is asked for, which shows that the link carries that much.

        Raises:
            OpenIAPError: it does not.
        """
        query = self._query(after)
        found = await self._pool.call(partial(_page, query=query, top=1, fields={"_id": 1}))
        if found and believed:
            self._leave_out(str(found[0]["_id"]))

    def _fitting(self, page: list[JsonObject], *, narrowed: bool) -> list[JsonObject]:
        """Return the documents that a worker may have written, and ask for more again."""
        if not narrowed:
            return page
        fitting, size = list[JsonObject](), 1
        for document in page:
            length = len(json_text(document))
            if length > LARGEST:
                self._leave_out(str(document["_id"]))
                continue
            fitting.append(document)
            size += length
        # As many as are half of what any client carries, if the next are like these.
        self._top = min(PAGE, 2 * self._top, max(1, 2 * LARGEST * len(fitting) // size))
        return fitting

    def _leave_out(self, id: str) -> None:
        self._left_out[id] = uptime() + REMEMBERED
        self._told(Misfit(KIND, id_of({"_id": id}), "it is larger than a worker writes"))


async def _page(
    client: Client, query: JsonObject, top: int, fields: JsonObject = FIELDS
) -> list[JsonObject]:
    return await client.query(COLLECTION, query, fields, orderby={"_id": 1}, top=top)
