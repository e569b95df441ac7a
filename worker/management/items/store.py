"""Items in OpenIAP: its documents and calls, and nothing else; errors go through."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from worker.engine.fleet.presence import COLLECTION as WORKERS
from worker.item.history import FIELD as HISTORY
from worker.item.metadata import KEY, ORIGIN
from worker.item.new_item import PARENT, PARENT_FIELD
from worker.openiap.client import Client
from worker.openiap.item_deletion import delete_files, file_ids
from worker.openiap.reader import Reader
from worker.openiap.workitem import RETRY, JsonObject, Workitem

COLLECTION: Final = "workitems"
QUEUES: Final = "mq"
FILES: Final = "fs.files"
LISTED: Final[JsonObject] = {"payload": 0, "errorsource": 0, "_acl": 0, HISTORY: 0}
NEEDED: Final[JsonObject] = dict.fromkeys(
    ("wiq", "state", "priority", "retries", "nextrun", "lastrun", "_created", "_modified"), 1
)
"""What is shown of an item that is too large for a list."""
LINKED: Final[JsonObject] = dict.fromkeys(
    ("name", "state", "wiq", PARENT_FIELD, f"payload.{KEY}.{ORIGIN}", f"payload.{KEY}.{PARENT}"), 1
)
PAGE: Final = 500
"""A server gives no more than this to a query that names no limit (server.md, Documents)."""
MOST_FILES: Final = 1_000
INDEX_WITHIN: Final = 600.0
"""Seconds; all items are read for an index."""


def user_name(client: Client) -> str:
    """Return who a client is signed in as."""
    user = client.user
    return "" if user is None else user.name or user.username


class ItemStore:
    """Reads and writes items with one client, and its user's rights."""

    def __init__(self, client: Client) -> None:
        self.client: Final = client
        self._reader = Reader(client, "work item")

    async def get_one(self, id: str) -> JsonObject | None:
        """Return an item's whole document, or None."""
        found = await self.client.query(COLLECTION, {"_id": id}, top=1)
        return found[0] if found else None

    async def get_list(
        self, query: JsonObject, order: JsonObject, *, limit: int, offset: int = 0
    ) -> list[JsonObject]:
        """Return so many items without their payloads; the order should be a total one."""
        found: list[JsonObject] = []
        while len(found) < limit:
            top = min(PAGE, limit - len(found))
            page = await self._reader.query(
                COLLECTION, query, LISTED, order, skip=offset + len(found), top=top, needed=NEEDED
            )
            found += page
            if len(page) < top:
                break
        return found

    async def count(self, query: JsonObject) -> int:
        """Return how many items there are."""
        return await self.client.count(COLLECTION, query)

    async def stream(
        self, query: JsonObject, projection: JsonObject, *, page: int = PAGE
    ) -> AsyncIterator[list[JsonObject]]:
        """Yield all items page by page, by their ids; what a page costs does not grow.

        Args:
            projection: which fields; ``_id`` comes along.
        """
        last = ""
        while True:
            behind: JsonObject = {"_id": {"$gt": last}} if last else {}
            if "_id" in query and behind:
                behind = {"_id": {**query["_id"], **behind["_id"]}}
            found = await self._reader.query(
                COLLECTION, {**query, **behind}, projection, {"_id": 1}, top=page, needed=NEEDED
            )
            if found:
                yield found
                last = str(found[-1]["_id"])
            if len(found) < page:
                return

    async def get_children(self, id: str, top: int) -> list[JsonObject]:
        """Return what a chain made of an item, and itself where it bears its own mark; the items
        that it asked for, and copies of those."""
        origin = f"payload.{KEY}.{ORIGIN}"
        names = (f"{origin}.id", f"{origin}.before.id", PARENT_FIELD, f"payload.{KEY}.{PARENT}")
        query = {"$or": [{name: id} for name in names]}
        return await self.client.query(COLLECTION, query, LINKED, {"_id": 1}, top=top)

    async def get_queue(self, name: str) -> JsonObject | None:
        """Return a queue's document, or None."""
        found = await self.client.query(QUEUES, {"_type": "workitemqueue", "name": name}, top=1)
        return found[0] if found else None

    async def get_worker(self, query: JsonObject) -> JsonObject | None:
        """Return ``_id`` and ``host`` of a worker's document, or None."""
        found = await self.client.query(WORKERS, query, {"host": 1}, top=1)
        return found[0] if found else None

    async def get_attempts(self) -> dict[str, Any]:
        """Return how many attempts an item of each queue has, by the queue's name."""
        found = await self.client.query(
            QUEUES, {"_type": "workitemqueue"}, {"name": 1, "maxretries": 1}, top=PAGE
        )
        return {str(one.get("name")): one.get("maxretries") for one in found}

    async def get_sizes(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the stored sizes of files in bytes by id; what cannot be read is left out."""
        if not ids:
            return {}
        found = await self.client.query(
            FILES, {"_id": {"$in": list(ids)}}, {"length": 1}, top=MOST_FILES
        )
        return {
            str(one["_id"]): one["length"]
            for one in found
            if isinstance(one.get("length"), int) and not isinstance(one["length"], bool)
        }

    async def retry_one(self, id: str, priority: int) -> None:
        """Put an item back to new, whatever its queue's limit of attempts says."""
        item = Workitem(id=id, payload=None, state=RETRY, priority=priority)
        await self.client.update_workitem(item, ignoremaxretries=True)

    async def delete_one(self, document: JsonObject) -> None:
        """Delete an item and its files; ``document`` has ``_id`` and, if it has any, ``files``."""
        await self.client.delete_workitem(str(document["_id"]))
        await delete_files(self.client, file_ids(document.get("files")))

    async def delete_if(self, condition: JsonObject, document: JsonObject) -> bool:
        """Delete an item and its files if it still meets a condition, and say whether it did."""
        gone = await self.client.delete_many(COLLECTION, condition)
        if gone:
            await delete_files(self.client, file_ids(document.get("files")))
        return gone > 0

    async def update_if(self, condition: JsonObject, change: JsonObject) -> bool:
        """Change an item in one step if it still meets a condition, and say whether it did."""
        result = await self.client.update_document(COLLECTION, condition, change)
        return result.matched > 0

    async def replace_one(self, document: JsonObject) -> None:
        """Write an item's whole document over it."""
        await self.client.update_one(COLLECTION, document)

    async def create_index(self, keys: JsonObject, name: str, *, sparse: bool = False) -> None:
        """Make an index of items, unless it is there.

        Args:
            sparse: of those alone that have the field.
        """
        options = {"sparse": True} if sparse else None
        await self.client.create_index(COLLECTION, keys, options, name, timeout=INDEX_WITHIN)

    async def get_indexes(self) -> list[JsonObject]:
        """Return the indexes of items."""
        return await self.client.get_indexes(COLLECTION)
