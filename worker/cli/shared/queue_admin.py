"""Queues made, changed and deleted: through the protocol, or through the documents of ``mq``.

The official library has no queue administration (client.md, trap 14), but a queue is a document
like any other (server.md, Documents), so with it the document is written. Success and failed queues
are always written into the document: over the protocol they never arrive (server.md, Update).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.cli.shared.documents import first, pages
from worker.cli.shared.errors import CommandError, no_queue
from worker.openiap.client import Client
from worker.openiap.fields import number, text_of
from worker.openiap.item_deletion import delete_with_files
from worker.openiap.rights import WORKS, rights_of
from worker.openiap.workitem import JsonObject, WorkItemQueue

COLLECTION: Final = "mq"
TYPE: Final = "workitemqueue"
ITEMS: Final = "workitems"
BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class QueueChange:
    """What is to be set; None leaves it, "" takes it away. Delays in seconds.

    Attributes:
        workers: roles or users, by name, who may work the queue beside those who may already.
    """

    maxretries: int | None = None
    retrydelay: int | None = None
    initialdelay: int | None = None
    amqpqueue: str | None = None
    success_wiq: str | None = None
    failed_wiq: str | None = None
    workers: tuple[str, ...] = ()

    def numbers_and_names(self) -> dict[str, Any]:
        """Return what the protocol carries."""
        found = {
            "maxretries": self.maxretries,
            "retrydelay": self.retrydelay,
            "initialdelay": self.initialdelay,
            "amqpqueue": self.amqpqueue,
        }
        return {name: value for name, value in found.items() if value is not None}


class QueueAdministration:
    """Administers queues with whatever the client can do."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def all(self) -> list[JsonObject]:
        """Return the documents of all queues that this user sees, by name, if they have one."""
        found = await pages(self._client, COLLECTION, {"_type": TYPE}, orderby={"name": 1})
        return [document for document in found if text_of(document.get("name"))]

    async def find(self, name: str) -> JsonObject:
        """Return the document of a queue.

        Raises:
            CommandError: there is none, or no right to see it.
        """
        document = await self._find(name)
        if document is None:
            raise CommandError(no_queue(name))
        return document

    async def counts(self, name: str) -> dict[str, int]:
        """Return how many items a queue holds, by state."""
        states = ("new", "processing", "successful", "failed")
        return {s: await self._client.count(ITEMS, {"wiq": name, "state": s}) for s in states}

    async def create(self, name: str, change: QueueChange) -> JsonObject:
        """Create a queue.

        Raises:
            CommandError: it exists already, or a queue to chain to does not.
        """
        if await self._find(name) is not None:
            raise CommandError(
                f"Queue {name} exists already. To change it: openiap-worker queues update {name}."
            )
        chain, entries = await self._chain(change), await self._entries(change)
        values = change.numbers_and_names()
        if self._client.capabilities.queue_administration:
            await self._client.add_workitem_queue(WorkItemQueue(name=name, **values))
        else:
            fresh = {"maxretries": 3, "retrydelay": 0, "initialdelay": 0, "amqpqueue": ""}
            await self._client.insert_one(
                COLLECTION, {"_type": TYPE, "name": name, **fresh, **values, **chain}
            )
        made = await self.find(name)
        # Rights are written once there are some, so that those of the maker stay.
        later = chain if self._client.capabilities.queue_administration else {}
        await self._write(made, {**later, **_granted(made, entries)})
        return await self.find(name)

    async def update(self, name: str, change: QueueChange) -> JsonObject:
        """Change a queue.

        Raises:
            CommandError: it does not exist, or a queue to chain to does not.
        """
        document = await self.find(name)
        chain, entries = await self._chain(change), await self._entries(change)
        granted = _granted(document, entries)
        await self._write(document, {**change.numbers_and_names(), **chain, **granted})
        return await self.find(name)

    async def delete(self, name: str, *, advance: Callable[[int], None]) -> None:
        """Delete a queue with all its items.

        Raises:
            CommandError: it does not exist, or this user may not delete it; then its items stay.
        """
        document = await self.find(name)
        rights = rights_of(document, self._client.user)
        if rights is not None and "delete" not in rights:
            raise CommandError(
                f"Queue {name} cannot be deleted: this user lacks the right to delete it."
                " Nothing was deleted."
            )
        await self.purge(name, advance=advance)
        if self._client.capabilities.queue_administration:
            await self._client.delete_workitem_queue(name, purge=True)
            return
        # OpenIAP refuses to delete one document of a queue, and takes the same as one of many.
        await self._client.delete_many(COLLECTION, ids=[str(document["_id"])])
        if await self._find(name) is not None:
            raise CommandError(
                f"Queue {name} is empty now and still there: OpenIAP does not let this client"
                " delete it. Use the native one: --client native."
            )

    async def purge(self, name: str, *, advance: Callable[[int], None]) -> int:
        """Delete the items of a queue and their files; returns how many items.

        Items with files go one by one, so that the server deletes the files too; the others in
        batches. Items that are pushed meanwhile may or may not be among them.

        Args:
            advance: called with how many were deleted.
        """
        await self.find(name)
        gone = 0
        while True:
            items = await self._client.query(
                ITEMS, {"wiq": name}, {"_id": 1, "files": 1}, top=BATCH
            )
            if not items:
                return gone
            deleted = await self._delete(items)
            if not deleted:
                raise CommandError(
                    f"The items of queue {name} are there and cannot be deleted: this user has no"
                    " right to delete them."
                )
            gone += deleted
            advance(deleted)

    async def _delete(self, items: Sequence[JsonObject]) -> int:
        plain = [str(item["_id"]) for item in items if not item.get("files")]
        deleted = 0
        if plain:
            deleted = await self._client.delete_many(ITEMS, ids=plain)
        for item in items:
            if item.get("files"):
                await delete_with_files(self._client, item)
                deleted += 1
        return deleted

    async def _find(self, name: str) -> JsonObject | None:
        return await first(self._client, COLLECTION, {"_type": TYPE, "name": name})

    async def _chain(self, change: QueueChange) -> dict[str, str]:
        """Return the fields for the success and failed queues: names, and the ids that go along."""
        fields: dict[str, str] = {}
        for key, target in (("success_wiq", change.success_wiq), ("failed_wiq", change.failed_wiq)):
            if target is None:
                continue
            fields[key] = target
            fields[f"{key}id"] = "" if not target else str((await self.find(target))["_id"])
        return fields

    async def _entries(self, change: QueueChange) -> list[JsonObject]:
        """Return the access list's entries for the roles and users of a change."""
        entries: list[JsonObject] = []
        for name in change.workers:
            found = await first(self._client, "users", {"name": name}) or await first(
                self._client, "users", {"username": name}
            )
            if found is None:
                raise CommandError(
                    f"There is no role or user {name}, or this user may not see it. Names are"
                    " case-sensitive."
                )
            entries.append({"_id": str(found["_id"]), "name": name, "rights": WORKS})
        return entries

    async def _write(self, document: JsonObject, values: Mapping[str, Any]) -> None:
        if values:
            await self._client.update_one(COLLECTION, {**document, **values})


def _granted(document: JsonObject, entries: Sequence[JsonObject]) -> dict[str, Any]:
    """Return a queue's whole access list with these entries; {} without any. Rights that somebody
    has beyond them stay."""
    if not entries:
        return {}
    acl = [dict(ace) for ace in document.get("_acl") or ()]
    for entry in entries:
        mine = next((ace for ace in acl if ace.get("_id") == entry["_id"]), None)
        if mine is None:
            acl.append(dict(entry))
        else:
            mine["rights"] = number(mine.get("rights")) | WORKS
    return {"_acl": acl}
