"""The items that are in processing, however many, and whatever somebody wrote into them.

A name may have megabytes: of an item that is too large with it, only what its rescue takes is read.
"""

from collections.abc import Sequence
from typing import Final

from worker.engine.delivery.fence import CLOSING
from worker.openiap.fields import Misfit, Told, id_of
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.reader import PAGE, Reader, is_bare
from worker.openiap.workitem import PROCESSING, JsonObject

NEEDED: Final[JsonObject] = {
    "_id": 1,
    "state": 1,
    "retries": 1,
    "lastrun": 1,
    "priority": 1,
    "wiq": 1,
    "wiqid": 1,
}
FIELDS: Final[JsonObject] = {**NEEDED, "name": 1, "username": 1, CLOSING: 1}
ITEM: Final = "work item"
MOST: Final = 20 * PAGE


class ItemsInProcessing:
    """Reads the items of queues that are in processing.

    Args:
        told: hears of items of which not all that was asked for could be read.
    """

    def __init__(self, pool: Pool, told: Told) -> None:
        self._told = told
        self._reader = Reader(pooled_client(pool), ITEM, told)

    async def of(self, queues: Sequence[str]) -> list[JsonObject]:
        """Return all of them, oldest first: those that nobody may take over must not hide the
        others.

        Raises:
            OpenIAPError: they cannot be read.
        """
        # All indexes that OpenIAP itself has of items begin with their type.
        query: JsonObject = {"_type": "workitem", "wiq": {"$in": list(queues)}, "state": PROCESSING}
        found: dict[str, JsonObject] = {}
        order = {"lastrun": 1, "_id": 1}
        for read in range(0, MOST, PAGE):
            page = await self._reader.query(
                "workitems", query, FIELDS, order, top=PAGE, skip=read, needed=NEEDED
            )
            for document in page:
                if id := id_of(document):
                    found[id] = document
                else:
                    self._told(Misfit(ITEM, str(document.get("_id"))[:100], "_id is no text"))
            if len(page) < PAGE:
                break
        return [document for document in found.values() if not is_bare(document)]
