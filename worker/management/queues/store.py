"""Queues in OpenIAP: their documents and calls, and nothing else; errors go through.

The official library has no queue administration (client.md, trap 14), but a queue is a document
like any other (server.md, Documents), so with it the document is written. Success and failed queues
are always written into the document: over the protocol they never arrive (server.md, Update).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from worker.engine.fleet.presence import COLLECTION as WORKERS
from worker.engine.maintenance.autoscale import Load
from worker.engine.maintenance.queue_load import load_of
from worker.management.items.store import PAGE
from worker.openiap.client import Client
from worker.openiap.fields import moment_of, number, object_of, text_of
from worker.openiap.item_deletion import delete_with_files
from worker.openiap.values import iso
from worker.openiap.workitem import NEW, JsonObject, WorkItemQueue

COLLECTION: Final = "mq"
TYPE: Final = "workitemqueue"
ITEMS: Final = "workitems"
AN_ITEM: Final[JsonObject] = {"_type": "workitem"}
"""Stands in each question about items, although all are such: all indexes that OpenIAP has of them
begin with it, and without it every item is read (openflow, source)."""
BATCH: Final = 200
STATES: Final = ("new", "processing", "successful", "failed")
FRESH: Final[JsonObject] = {"maxretries": 3, "retrydelay": 0, "initialdelay": 0, "amqpqueue": ""}
MOST_WORKERS: Final = 500
MOST_GROUPS: Final = 20_000
"""Queues times states. Without a limit OpenIAP gives the first 500."""


class QueueStore:
    """Reads and writes queues with one client, and its user's rights."""

    def __init__(self, client: Client) -> None:
        self.client: Final = client

    async def get_list(self) -> list[JsonObject]:
        """Return the documents of all queues, in the server's own order."""
        found: list[JsonObject] = []
        while True:
            page = await self.client.query(COLLECTION, {"_type": TYPE}, skip=len(found), top=PAGE)
            found += page
            if len(page) < PAGE:
                return found

    async def get_one(self, name: str) -> JsonObject | None:
        """Return the document that OpenIAP takes for a queue: the first of its name; or None."""
        found = await self.client.query(COLLECTION, {"_type": TYPE, "name": name}, top=1)
        return found[0] if found else None

    async def count(self, name: str) -> dict[str, int]:
        """Return how many items a queue holds, by state."""
        return {s: await self._count({"wiq": name, "state": s}) for s in STATES}

    async def tally(self) -> dict[str, dict[str, int]]:
        """Return how many items each queue holds, by state: one message for all of them."""
        asked = {"_id": {"wiq": "$wiq", "state": "$state"}, "count": {"$sum": 1}}
        found: dict[str, dict[str, int]] = {}
        for group in await self._grouped({}, asked):
            queue, state = (text_of(object_of(group["_id"]).get(n)) for n in ("wiq", "state"))
            if state in STATES:
                found.setdefault(queue, dict.fromkeys(STATES, 0))[state] = number(group["count"])
        return found

    async def waiting(self, now: datetime) -> dict[str, datetime]:
        """Return since when the oldest due item of each queue waits, in one message; queues without
        one are left out."""
        since = {"$min": {"$max": ["$nextrun", "$_created"]}}  # made as a document: due before that
        found = await self._grouped(
            {"state": NEW, "nextrun": {"$lte": iso(now)}},
            {"_id": {"wiq": "$wiq"}, "since": since},
        )
        pairs = ((object_of(one["_id"]).get("wiq"), moment_of(one.get("since"))) for one in found)
        return {text_of(queue): moment for queue, moment in pairs if moment is not None}

    async def _count(self, query: JsonObject) -> int:
        return await self.client.count(ITEMS, {**AN_ITEM, **query})

    async def _grouped(self, match: JsonObject, group: JsonObject) -> list[JsonObject]:
        match = {**AN_ITEM, **match}
        stages = [{"$match": match}, {"$group": group}, {"$limit": MOST_GROUPS}]
        return await self.client.aggregate(ITEMS, stages)

    async def ended_within(self, name: str, now: datetime, span: timedelta) -> int:
        """Return how many items of a queue ended in the time before now."""
        ended: JsonObject = {"$in": ["successful", "failed"]}
        since: JsonObject = {"$gte": iso(now - span)}
        return await self._count({"wiq": name, "state": ended, "_modified": since})

    async def load(self, name: str, now: datetime) -> Load:
        """Return what waits and runs."""
        return await load_of(self.client, name, now=now)

    async def get_workers(self, since: datetime) -> list[JsonObject]:
        """Return the documents of the workers that were heard of since then."""
        query: JsonObject = {"_type": "worker", "_modified": {"$gte": iso(since)}}
        return await self.client.query(
            WORKERS, query, {"items": 0, "_acl": 0}, {"_modified": -1}, top=MOST_WORKERS
        )

    async def get_principal(self, name: str) -> JsonObject | None:
        """Return the document of a role or a user, by name."""
        for field in ("name", "username"):
            found = await self.client.query("users", {field: name}, top=1)
            if found:
                return found[0]
        return None

    @property
    def administers(self) -> bool:
        """Whether the client has calls of the protocol's for queues."""
        return self.client.capabilities.queue_administration

    async def create_one(
        self, name: str, values: Mapping[str, Any], chain: Mapping[str, str]
    ) -> None:
        """Make a queue; with ``administers`` its chain is to be written afterwards."""
        if self.administers:
            await self.client.add_workitem_queue(WorkItemQueue(name=name, **values))
            return
        await self.client.insert_one(
            COLLECTION, {"_type": TYPE, "name": name, **FRESH, **values, **chain}
        )

    async def replace_one(self, document: JsonObject) -> None:
        """Write a queue's whole document over it."""
        await self.client.update_one(COLLECTION, document)

    async def set_field(self, id: str, field: str, value: JsonObject | None) -> bool:
        """Set a field of a queue's document, or take it away, and say whether it was done.

        What else is in the document stays as it is; with the official client what changes between
        its reading and its writing is overwritten.
        """
        if self.client.capabilities.conditional_updates:
            change: JsonObject = (
                {"$unset": {field: ""}} if value is None else {"$set": {field: value}}
            )
            done = await self.client.update_document(COLLECTION, {"_id": id}, change)
            return done.matched > 0
        found = await self.client.query(COLLECTION, {"_id": id}, top=1)
        if not found:
            return False
        rest = {name: one for name, one in found[0].items() if name != field}
        await self.replace_one(rest if value is None else {**rest, field: value})
        return True

    async def delete_one(self, name: str, id: str) -> None:
        """Delete a queue that is empty."""
        if self.administers:
            await self.client.delete_workitem_queue(name, purge=True)
        else:
            # OpenIAP refuses to delete one document of a queue, and takes the same as one of many.
            await self.client.delete_many(COLLECTION, ids=[id])

    async def get_some_items(self, name: str) -> list[JsonObject]:
        """Return some items of a queue, by ids and files."""
        return await self.client.query(ITEMS, {"wiq": name}, {"_id": 1, "files": 1}, top=BATCH)

    async def delete_items(self, items: Sequence[JsonObject]) -> int:
        """Delete items; those with files one by one, so that the server deletes the files too."""
        plain = [str(item["_id"]) for item in items if not item.get("files")]
        deleted = 0
        if plain:
            deleted = await self.client.delete_many(ITEMS, ids=plain)
        for item in items:
            if item.get("files"):
                await delete_with_files(self.client, item)
                deleted += 1
        return deleted
