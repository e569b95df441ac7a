"""Work items over the store: push, pop, update, delete, purge.

The decisions are in ``storage/item_rules``; this module fetches, stores, and copies files.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from worker.localserver.operations.queues import Queues
from worker.localserver.storage import item_table, json_text
from worker.localserver.storage.change_feed import ChangeFeed
from worker.localserver.storage.errors import RefusedAfterChangeError, RefusedError
from worker.localserver.storage.files import Files, base_name
from worker.localserver.storage.ids import new_id
from worker.localserver.storage.item_rules import (
    DEFAULT_NAME,
    DEFAULT_PRIORITY,
    NEW,
    ChainTarget,
    ItemUpdate,
    Queue,
    StoredItem,
    apply_update,
)
from worker.localserver.storage.item_table import ItemTable
from worker.localserver.storage.user import User, created_by
from worker.openiap.wire import openiap_pb2 as pb

INFLATED_LIMIT = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NewItem:
    """A new item as a client asks for it; the payload is JSON text, ready to be stored."""

    payload: str
    name: str = ""
    priority: int = 0
    nextrun: int | None = None
    success_wiq: str = ""
    success_wiqid: str = ""
    failed_wiq: str = ""
    failed_wiqid: str = ""


class WorkItems:
    """Moves work items through their states."""

    def __init__(self, table: ItemTable, queues: Queues, files: Files, changes: ChangeFeed) -> None:
        self._table = table
        self._queues = queues
        self._files = files
        self._changes = changes

    def push(
        self,
        queue: Queue,
        new: NewItem,
        files: Iterable[pb.WorkitemFile],
        user: User,
        now: int,
    ) -> StoredItem:
        """Add an item to a queue.

        Raises:
            RefusedError: a file that cannot be unpacked.
        """
        item = self._new_item(queue, new, user, now)
        item.files = self._with_files([], files, item, user, now)
        self._table.insert(item, now)
        self._tell("insert", item)
        return item

    def pop(self, queue: Queue, user: User, now: int) -> StoredItem | None:
        """Take the most urgent due item of a queue into processing, or return None."""
        item = self._table.pop(queue.id, user.id, user.username, now)
        if item is not None:
            self._tell("update", item)
        return item

    def find(self, item_id: str) -> StoredItem | None:
        """Return the item of this id, or None."""
        return self._table.get(item_id)

    def update(
        self,
        item: StoredItem,
        update: ItemUpdate,
        files: Iterable[pb.WorkitemFile],
        user: User,
        now: int,
    ) -> StoredItem:
        """Change an item, whatever state it is in and whoever has it: OpenIAP has no fence.

        Raises:
            RefusedError: no such queue, an illegal state.
            RefusedAfterChangeError: changed, but the queue that it goes on to does not exist.
        """
        queue = self._queues.require(item.wiq, item.wiqid)
        updated, target = apply_update(item, update, queue, now)
        updated.wiq, updated.wiqid = queue.name, queue.id
        updated.modifiedby, updated.modifiedbyid = user.username, user.id
        updated.files = self._with_files(item.files, files, item, user, now)
        self._table.replace(updated, now, payload=update.payload is not None)
        self._tell("replace", updated)
        if target is not None:
            self._chain(updated, target, user, now)
        return updated

    def delete(self, item_id: str) -> None:
        """Remove an item and its files.

        Raises:
            RefusedError: no such item.
        """
        item = self._table.get(item_id)
        if item is None:
            raise no_such_item(item_id)
        self._delete_files(item)
        self._table.delete(item_id)
        self._changes.publish(item_table.COLLECTION, "delete", {"_id": item_id})

    def purge(self, queue_id: str) -> int:
        """Remove all items of a queue, whatever their state, and return how many there were."""
        for item in self._table.of_queue(queue_id):
            self._delete_files(item)
            self._changes.publish(item_table.COLLECTION, "delete", {"_id": item.id})
        return self._table.delete_queue(queue_id)

    def contents(self, item: StoredItem, message: pb.Workitem, *, compressed: bool) -> None:
        """Put the contents of an item's files into the message that is sent for it."""
        for file, sent in zip(item.files, message.files, strict=True):
            data = b"".join(self._files.contents(str(file.get("_id") or "")))
            sent.file = zlib.compress(data) if compressed else data
            sent.compressed = compressed

    def _new_item(self, queue: Queue, new: NewItem, user: User, now: int) -> StoredItem:
        due = now + queue.initialdelay * 1000
        return StoredItem(
            id=new_id(),
            wiqid=queue.id,
            wiq=queue.name,
            state=NEW,
            priority=new.priority or DEFAULT_PRIORITY,
            nextrun=due if new.nextrun is None else new.nextrun,
            lastrun=None,
            retries=0,
            name=new.name or DEFAULT_NAME,
            payload=new.payload,
            files=[],
            success_wiq=new.success_wiq,
            success_wiqid=new.success_wiqid,
            failed_wiq=new.failed_wiq,
            failed_wiqid=new.failed_wiqid,
            modified=now,
            modifiedby=user.username,
            modifiedbyid=user.id,
            extra=json_text.write({"_acl": [], **created_by(user, now)}),
        )

    def _chain(self, item: StoredItem, target: ChainTarget, user: User, now: int) -> None:
        queue = self._queues.find(target.wiq, target.wiqid)
        if queue is None:
            raise RefusedAfterChangeError(
                f"Work item queue not found {target.wiq or 'undefined'} "
                f"({target.wiqid or 'undefined'}) not found."
            )
        new = NewItem(payload=item.payload, name=item.name, priority=item.priority)
        copy = self._new_item(queue, new, user, now)
        for file in item.files:
            copied = self._files.copy(str(file.get("_id") or ""), _metadata(copy))
            if copied is not None:
                copy.files.append({**file, "_id": copied})
        self._table.insert(copy, now)
        self._tell("insert", copy)

    def _with_files(
        self,
        present: list[dict[str, str]],
        sent: Iterable[pb.WorkitemFile],
        item: StoredItem,
        user: User,
        now: int,
    ) -> list[dict[str, str]]:
        """Return the item's files after those of a request: replaced, added, deleted by name."""
        files = list(present)
        for file in sent:
            name = base_name(file.filename)
            if not name:
                continue
            replaced = [one for one in files if one.get("filename") == name]
            files = [one for one in files if one.get("filename") != name]
            file_id = file._id
            if file.file:
                data = _unpacked(file.file) if file.compressed else file.file
                file_id = self._files.add(name, data, _metadata(item), user, now)
            for one in replaced:
                if one.get("_id") and one.get("_id") != file_id:
                    self._files.delete(str(one["_id"]))
            if file_id:
                files.append({"name": name, "filename": name, "_id": file_id})
        return files

    def _delete_files(self, item: StoredItem) -> None:
        for file in item.files:
            self._files.delete(str(file.get("_id") or ""))

    def _tell(self, operation: str, item: StoredItem) -> None:
        known = {"_type": "workitem", "state": item.state, "wiq": item.wiq, "wiqid": item.wiqid}
        if self._changes.wanted(item_table.COLLECTION, operation, known):
            self._changes.publish(item_table.COLLECTION, operation, item_table.document_of(item))


def no_such_item(item_id: str) -> RefusedError:
    """Return the refusal of an unknown id, in the words of OpenIAP."""
    return RefusedError(f"Work item  with _id {item_id} not found.")


def _metadata(item: StoredItem) -> dict[str, Any]:
    """Return what ties a file to its item, so that deleting and purging find it."""
    return {"wi": item.id, "wiq": item.wiq, "wiqid": item.wiqid}


def _unpacked(data: bytes) -> bytes:
    """Return the contents of a compressed file, of bounded size: the sender is not trusted."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        unpacked = inflater.decompress(data, INFLATED_LIMIT)
    except zlib.error as error:
        raise RefusedError(f"the compressed file cannot be unpacked: {error}") from error
    if not inflater.eof:
        raise RefusedError("the compressed file is not complete, or unpacks to too much")
    return unpacked
