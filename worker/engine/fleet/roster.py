"""The roster: the documents of all workers of some queues, however many there are."""

from collections.abc import Iterable
from functools import partial
from typing import Final

from worker.engine.fleet.presence import COLLECTION, FIELDS
from worker.openiap.client import Client
from worker.openiap.errors import ServerError
from worker.openiap.pool import Pool
from worker.openiap.workitem import JsonObject

PAGE: Final = 500
"""Documents in one answer; OpenIAP gives no more unless it is asked to."""
MOST_PAGES: Final = 200


async def documents_of_workers(pool: Pool, queues: Iterable[str]) -> list[JsonObject]:
    """Return all of them: one that is left out would seem dead.

    Raises:
        OpenIAPError: they cannot be read, or there are more than could be workers.
    """
    query: JsonObject = {
        "_type": "worker",
        "queues": {"$in": list(queues)},
        "_id": {"$gt": ""},
    }
    documents: list[JsonObject] = []
    for _ in range(MOST_PAGES):
        page = await pool.call(partial(_page, query=query))
        documents += page
        if len(page) < PAGE:
            return documents
        query = {**query, "_id": {"$gt": page[-1]["_id"]}}
    raise ServerError(
        f"more than {MOST_PAGES * PAGE:,} worker documents name these queues; what no worker wrote"
        f" is to be deleted from {COLLECTION}",
        operation="query",
    )


async def _page(client: Client, query: JsonObject) -> list[JsonObject]:
    return await client.query(COLLECTION, query, FIELDS, orderby={"_id": 1}, top=PAGE)
