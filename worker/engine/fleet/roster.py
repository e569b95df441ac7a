"""The roster: the documents of all workers of some queues, however many there are, and whatever
else somebody put among them.
"""

from collections.abc import Iterable
from typing import Final

from worker.engine.fleet.presence import COLLECTION, FIELDS, KIND
from worker.openiap.errors import ServerError
from worker.openiap.fields import Told, ignored
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.reader import PAGE, Reader, is_bare
from worker.openiap.workitem import JsonObject

MOST_PAGES: Final = 200


class Roster:
    """Reads the documents of the workers of some queues.

    Args:
        queues: their names.
        told: hears of documents that are left out: no worker writes what is so large.
    """

    def __init__(self, pool: Pool, queues: Iterable[str], told: Told = ignored) -> None:
        self._reader = Reader(pooled_client(pool), KIND, told)
        self._queues = list(queues)

    async def documents(self) -> list[JsonObject]:
        """Return all of them: one that is left out would seem dead.

        Raises:
            OpenIAPError: they cannot be read, or there are more than could be workers.
        """
        documents: list[JsonObject] = []
        after = ""
        for _ in range(MOST_PAGES):
            query = {"_type": "worker", "queues": {"$in": self._queues}, "_id": {"$gt": after}}
            page = await self._reader.query(COLLECTION, query, FIELDS, {"_id": 1}, top=PAGE)
            documents += (document for document in page if not is_bare(document))
            if len(page) < PAGE:
                return documents
            after = page[-1]["_id"]
        raise ServerError(
            f"more than {MOST_PAGES * PAGE:,} worker documents name these queues; what no worker"
            f" wrote is to be deleted from {COLLECTION}",
            operation="query",
        )
