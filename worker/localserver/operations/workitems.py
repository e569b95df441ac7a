"""Work items over the store: push, pop, update, delete, purge.

The decisions are in ``storage/item_rules``; this module fetches, stores, and copies files.
"""

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from worker.localserver.operations.paths import MISSING
from worker.localserver.operations.queues import Queues
from worker.localserver.storage import item_table, json_text, rights
from worker.localserver.storage.change_feed import ChangeFeed
from worker.localserver.storage.errors import RefusedAfterChangeError, RefusedError
from worker.localserver.storage.files import Files, base_name
from worker.localserver.storage.ids import new_id
from worker.localserver.storage.item_documents import document_of
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
            RefusedError: no right to invoke the queue, a file that cannot be unpacked.
        """
        if not self._queues.may(user, queue, rights.INVOKE):
            raise RefusedError(
                f"Unknown work item queue or {user.username} is missing invoke rights"
            )
        item = self._new_item(queue, new, user, now)
        item.files = self._with_files([], files, item, user, now)
        self._table.insert(item, now)
        self._tell("insert", item)
        return item

    def pop(self, queue: Queue, user: User, now: int) -> StoredItem | None:
        """Take the most urgent due item of a queue into processing, or return None.

        Raises:
            RefusedError: the first item that the user may read may not be invoked by them.
        """
        found = self.first_due(queue, user, now)
        if found is None:
            return None
        place, item = found
        self._table.take_at_once(place, item, user, now)
        self._tell("update", item)
        return item

    def first_due(self, queue: Queue, user: User, now: int) -> tuple[int, StoredItem] | None:
        """Return the item that a pop would take, and its place in the order; see ``pop``."""
        if user.is_admin:
            return self._table.first_due(queue.id, now)

        def seen(item: StoredItem) -> bool:
            return _may(user, item, rights.READ)

        found = self._table.first_due(queue.id, now, seen)
        if found is not None and not _may(user, found[1], rights.INVOKE):
            raise RefusedError(
                f"Access denied popping workitem {found[1].id} {user.username} "
                "is missing invoke rights)"
            )
        return found

    def take(self, place: int, item: StoredItem, user: User, now: int) -> bool:
        """Take an item into processing if it is still new, and say whether it was."""
        if not self._table.take(place, item, user, now):
            return False
        self._tell("update", item)
        return True

    def find(self, item_id: str, user: User) -> StoredItem | None:
        """Return the item of this id, or None where there is none that the user may read."""
        item = self._table.get(item_id)
        return item if item is not None and _may(user, item, rights.READ) else None

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
            RefusedError: no such queue, no right to invoke it, an illegal state.
            RefusedAfterChangeError: changed, but the queue that it goes on to does not exist, or
                the user may not read it.
        """
        queue = self._queues.require(item.wiq, item.wiqid, user)
        if not self._queues.may(user, queue, rights.INVOKE):
            raise RefusedError(f"Unknown work item or  {user.username} is missing invoke rights")
        updated, target = apply_update(item, update, queue, now)
        updated.wiq, updated.wiqid = queue.name, queue.id
        updated.modifiedby, updated.modifiedbyid = user.username, user.id
        updated.extra = _with_acl(item.extra, queue.acl)
        updated.files = self._with_files(item.files, files, item, user, now)
        self._table.replace(updated, now, payload=update.payload is not None)
        self._tell("replace", updated)
        if target is not None:
            # OpenIAP's answer names the files of the copy as if they were the item's.
            updated.files = self._chain(updated, target, user, now)
        return updated

    def delete(self, item_id: str, user: User) -> None:
        """Remove an item and the files that were stored for it.

        Raises:
            RefusedError: no such item, or no right to invoke and to delete it.
        """
        item = self.find(item_id, user)
        if item is None:
            raise no_such_item(item_id)
        if not _may(user, item, rights.INVOKE):
            raise RefusedError(f"Unknown work item or  {user.username} is missing invoke rights")
        if not _may(user, item, rights.DELETE):
            raise RefusedError("Unknown work item or access denied")
        self._files.delete_of("wi", item_id)
        self._table.delete(item_id)
        self._changes.publish(item_table.COLLECTION, "delete", {"_id": item_id})

    def purge(self, queue: dict[str, Any], user: User) -> None:
        """Remove the items of a queue, whatever their state, and the files stored for them.

        Raises:
            RefusedError: some are left that the user may read but not delete.
        """
        left = False
        for item in self._table.of_queue(str(queue["_id"])):
            if _may(user, item, rights.DELETE):
                self._table.delete(item.id)
                self._changes.publish(item_table.COLLECTION, "delete", {"_id": item.id})
            else:
                left = left or _may(user, item, rights.READ)
        if left:
            raise RefusedError(f"Failed purging workitemqueue {queue['name']}")
        self._files.delete_of("wiqid", str(queue["_id"]))

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
            extra=f'{{"_acl":{self._queues.acl_for(user, queue)},'
            + json_text.write(created_by(user, now))[1:],
        )

    def _chain(
        self, item: StoredItem, target: ChainTarget, user: User, now: int
    ) -> list[dict[str, str]]:
        """Push a copy of a finished item, and return the copy's files."""
        try:
            queue = self._queues.require(target.wiq, target.wiqid, user)
        except RefusedError as error:
            raise RefusedAfterChangeError(str(error)) from error
        new = NewItem(payload=item.payload, name=item.name, priority=item.priority)
        copy = self._new_item(queue, new, user, now)
        acl = rights.merged(_acl(item), _acl(copy))
        # OpenIAP copies the document whole, fields of clients and all.
        copy.extra = json_text.write(
            {**json.loads(item.extra or "{}"), **json.loads(copy.extra), "_acl": acl}
        )
        metadata = _metadata(copy)
        del metadata["wi"]  # OpenIAP copies the files before the copy has an id
        for file in item.files:
            copied = self._files.copy(str(file.get("_id") or ""), metadata)
            if copied is not None:
                copy.files.append({**file, "_id": copied})
        self._table.insert(copy, now)
        self._tell("insert", copy)
        return copy.files

    def _with_files(
        self,
        present: list[dict[str, str]],
        sent: Iterable[pb.WorkitemFile],
        item: StoredItem,
        user: User,
        now: int,
    ) -> list[dict[str, str]]:
        """Return the item's files after those of a request: replaced, added, deleted by name.

        What is no longer among them stays stored until the item or its queue is deleted.
        """
        files = list(present)
        for file in sent:
            name = base_name(file.filename)
            if not name:
                continue
            files = [one for one in files if one.get("filename") != name]
            file_id = file._id
            if file.file:
                data = _unpacked(file.file) if file.compressed else file.file
                file_id = self._files.add(name, data, _metadata(item), user, now)
            if file_id:
                files.append({"name": name, "filename": name, "_id": file_id})
        return files

    def _tell(self, operation: str, item: StoredItem) -> None:
        known: dict[str, Any] = {
            "_type": "workitem",
            "state": item.state,
            "wiq": item.wiq,
            "wiqid": item.wiqid,
        }
        if item.nextrun is None:
            known["nextrun"] = MISSING
        if self._changes.wanted(item_table.COLLECTION, operation, known):
            self._changes.publish(item_table.COLLECTION, operation, document_of(item))


def _may(user: User, item: StoredItem, right: int) -> bool:
    return user.is_admin or rights.may(user, _acl(item), right)


def _with_acl(extra: str, acl: str) -> str:
    """Return what else an item has with this list of rights, which stands in front."""
    front = f'{{"_acl":{acl},'
    if extra.startswith(front):
        return extra
    return json_text.write({"_acl": json.loads(acl), **_without_acl(extra)})


def _without_acl(extra: str) -> dict[str, Any]:
    return {key: value for key, value in json.loads(extra).items() if key != "_acl"}


def _acl(item: StoredItem) -> Any:
    return json.loads(item.extra).get("_acl") or []


def no_such_item(item_id: str) -> RefusedError:
    """Return the refusal of an unknown id, in the words of OpenIAP."""
    return RefusedError(f"Work item  with _id {item_id} not found.")


def _metadata(item: StoredItem) -> dict[str, Any]:
    """Return what ties a file to its item, so that deleting and purging find it."""
    return {"wi": item.id, "wiq": item.wiq, "wiqid": item.wiqid, "_acl": _acl(item)}


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
