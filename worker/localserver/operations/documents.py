"""Writing documents.

Items are documents as well: what is written to ``workitems`` becomes a row of the item table, so
that an item that a client put back to ``new`` is popped again.
"""

import json
from typing import Any, Final

from worker.localserver.operations import queues
from worker.localserver.operations.collections import Collections, require_name
from worker.localserver.operations.operators import changed, changes_payload
from worker.localserver.operations.paths import MISSING
from worker.localserver.operations.queries import Queries
from worker.localserver.operations.queues import NO_UPDATE, Queues
from worker.localserver.operations.roles import Roles
from worker.localserver.storage import files as filestore
from worker.localserver.storage import item_table, json_text, rights
from worker.localserver.storage.change_feed import ChangeFeed
from worker.localserver.storage.document_table import DocumentTable, duplicate
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.files import Files
from worker.localserver.storage.ids import new_id
from worker.localserver.storage.item_documents import document_of, item_of
from worker.localserver.storage.item_rules import NEW
from worker.localserver.storage.item_table import ItemTable
from worker.localserver.storage.user import User, created_by, modified_by

UNLESS_THERE: Final = {"nextrun": MISSING, "userid": MISSING}
"""What watches look for, and an item of which all but the payload is known has or has not."""
AGENTS: Final = "agents"
PACKAGE: Final = "package"
WITHOUT_HISTORY: Final = frozenset(
    {"audit", "oauthtokens", "openrpa_instances", "workflow_instances", "workitems", "mailhist"}
)
"""OpenIAP keeps no history of these, unless told otherwise."""
UNTOLD: Final = frozenset({"_modified", "_modifiedby", "_modifiedbyid", "_version", "lastseen"})
CREATED: Final = ("_created", "_createdby", "_createdbyid")


class Documents:
    """Inserts, replaces, changes and deletes documents of any collection."""

    def __init__(
        self,
        collections: Collections,
        documents: DocumentTable,
        items: ItemTable,
        files: Files,
        queries: Queries,
        changes: ChangeFeed,
        queues: Queues,
        roles: Roles,
    ) -> None:
        self._collections = collections
        self._documents = documents
        self._items = items
        self._files = files
        self._queries = queries
        self._changes = changes
        self._queues = queues
        self._roles = roles

    def insert(
        self, collection: str, document: dict[str, Any], user: User, now: int
    ) -> dict[str, Any]:
        """Add a document and return it as stored; all rights on it are the user's.

        Raises:
            RefusedError: its id, or a value of a unique index, is taken; an item without a queue.
        """
        require_name(collection)
        if collection == item_table.COLLECTION:
            document = self._as_new_item(document, user, now)
        document = {
            **document,
            "_id": _id_text(document.get("_id")) or new_id(),
            "_acl": rights.new_acl(document.get("_acl"), user, self._roles.name_of),
            **created_by(user, now),
            **modified_by(user, now),
            "_version": 0,
        }
        self._collections.check_unique(collection, document)
        if collection == item_table.COLLECTION:
            item = item_of(document)
            if self._items.get(item.id) is not None:
                raise duplicate(collection, item.id)
            self._items.insert(item, now)
            document = document_of(item)
        else:
            self._documents.insert(collection, document)
        self._changes.publish(collection, "insert", document)
        return document

    def replace(
        self, collection: str, document: dict[str, Any], user: User, now: int
    ) -> dict[str, Any]:
        """Write a whole document over the one of its id and return it as stored.

        One that has a value of a unique index which is taken is returned and not stored: OpenIAP
        looks at no error of its database here. Neither is one stored that changes nothing, or
        ``lastseen`` alone, where OpenIAP keeps a history: there is none to keep then.

        Raises:
            RefusedError: it has no id, there is no such document, no right to change it before or
                after.
        """
        require_name(collection)
        sent = document.get("_acl")
        if isinstance(sent, list) and not rights.granted(user, sent, rights.UPDATE):
            raise RefusedError(NO_UPDATE)
        document_id = _id_text(document.get("_id"))
        if not document_id:
            raise RefusedError("Cannot update item without _id")
        present = self._get(collection, document_id)
        acl = rights.acl_of(collection, present or {})
        if present is None or not rights.may(user, acl, rights.READ):
            raise RefusedError(f"item {document_id} not found in {collection} or Access Denied")
        if not rights.may(user, acl, rights.UPDATE):
            what = f"{document.get('_type')} {document.get('name') or 'Unknown'}"
            raise RefusedError(f"Access denied, no authorization to UpdateOne {what} to database")
        kept: dict[str, Any] = {key: present[key] for key in CREATED if key in present}
        is_item = collection == item_table.COLLECTION
        replaced: dict[str, Any] = {
            **document,
            **kept,
            "_id": document_id,
            "_acl": rights.changed_acl(
                present.get("_acl") if sent is None else sent, user, self._roles.name_of
            ),
            **modified_by(user, now),
            "_version": 0 if is_item else int(present.get("_version") or 0) + 1,
        }
        try:
            self._collections.check_unique(collection, replaced)
        except RefusedError:
            return replaced
        if collection not in WITHOUT_HISTORY and _told(present) == _told(replaced):
            return {**replaced, "_version": present.get("_version", 0)}
        self._write(collection, replaced, now)
        self._changes.publish(collection, "replace", replaced)
        return replaced

    def change(
        self,
        collection: str,
        query: dict[str, Any],
        update: dict[str, Any],
        user: User,
        now: int,
        *,
        asks_payload: bool = True,
    ) -> int:
        """Apply ``$set`` and the like to every document that matches, and return their number.

        Those that the user has no right to change do not match, and no error says so.

        Matching and changing are one step, so this is the fence that OpenIAP has. Dates in the
        query are not converted, as on OpenIAP.

        Raises:
            RefusedError: an operator that is unknown, or an update without one.
        """
        require_name(collection)
        _require_operators(update)
        stamped = {**update, "$set": {**update.get("$set", {}), **modified_by(user, now)}}
        # Items are changed for every one that a worker finishes; a payload, which may be large, is
        # neither read nor written where nothing asks for it.
        payloads = collection != item_table.COLLECTION or (asks_payload or changes_payload(update))
        writes = payloads or "payload" in stamped["$set"]
        found = list(
            self._queries.matching(
                collection, query, payloads=payloads, dates=False, user=user, right=rights.UPDATE
            )
        )
        for document in found:
            after = changed(document, stamped)
            if after.get("_id") != document["_id"]:
                raise RefusedError("Performing an update on the path '_id' would modify it")
            known: dict[str, Any] | None = None
            if collection == item_table.COLLECTION:
                self._items.change(document, after, now, payload=writes)
                known = {**UNLESS_THERE, **after}
                known.pop("payload", None)
            else:
                self._documents.replace(collection, after)
            if self._changes.wanted(collection, "update", known):
                whole = after if writes else self._get(collection, str(after["_id"]))
                self._changes.publish(collection, "update", whole or after)
        return len(found)

    def insert_or_replace(
        self,
        collection: str,
        unique: str,
        document: dict[str, Any],
        user: User,
        now: int,
        *,
        forget_id: bool = False,
    ) -> dict[str, Any]:
        """Replace the one document that has the same values in some fields, or insert this one.

        Args:
            collection: its name.
            unique: the fields' names, separated by commas; "" is ``_id``.
            document: what to store.
            user: who does it.
            now: the server's time in milliseconds.
            forget_id: a document that is inserted gets another id (OpenIAP's bug).

        Raises:
            RefusedError: more than one document has these values.
        """
        fields = [field.strip() for field in unique.split(",") if field.strip()] or ["_id"]
        query = {field: document.get(field) for field in fields}
        if query.get("_id", "") is None:
            return self.insert(collection, document, user, now)
        found = self._queries.query(collection, query, top=2, reader=user)
        if len(found) > 1:
            raise RefusedError(
                f"{json_text.write(query)} is not uniqe,"
                " more than 1 item in collection matches this"
            )
        if not found:
            if forget_id:
                document = {**document, "_id": None}
            return self.insert(collection, document, user, now)
        sent = document.get("_acl")
        if isinstance(sent, list) and not rights.granted(user, sent, rights.UPDATE):
            document = {**document, "_acl": rights.changed_acl(sent, user, self._roles.name_of)}
        return self.replace(collection, {**document, "_id": found[0]["_id"]}, user, now)

    def delete_one(self, collection: str, document_id: str, user: User) -> int:
        """Remove a document and return 1, whether there was one or not, as OpenIAP does.

        Raises:
            RefusedError: a work item queue; a file that an item has; an agent or a package; a
                message queue or a file that is not there or that the user has no right to delete.
        """
        require_name(collection)
        document = self._get(collection, document_id)
        if collection == AGENTS and (document or {}).get("_type") in ("agent", PACKAGE):
            raise RefusedError("Access denied, use packages page or api to delete package")
        acl = rights.acl_of(collection, document or {})
        if collection in (queues.COLLECTION, filestore.COLLECTION):
            right = rights.READ if collection == queues.COLLECTION else rights.DELETE
            if document is None or not rights.may(user, acl, right):
                raise RefusedError("item not found, or Access Denied")
            self._require_free(collection, document)
        if document is not None and rights.may(user, acl, rights.DELETE):
            self._delete(collection, document)
        return 1

    def delete_many(
        self, collection: str, query: dict[str, Any], ids: list[str], user: User
    ) -> int:
        """Remove the documents of these ids, else those that match; return how many there were.

        Those that the user has no right to delete are left out. Items leave their files behind.

        Raises:
            RefusedError: they are agents and packages.
        """
        require_name(collection)
        if collection == AGENTS:
            raise RefusedError("Access denied, use agents page or api to delete agents")
        wanted = {"_id": {"$in": ids}} if ids else query
        found = list(self._queries.matching(collection, wanted, user=user, right=rights.DELETE))
        for document in found:
            self._delete(collection, document)
        return len(found)

    def delete_package(self, document_id: str, user: User) -> None:
        """Remove a package and its archive.

        Raises:
            RefusedError: there is none, or the user may not delete it.
        """
        document = self._get(AGENTS, document_id) or {}
        acl = rights.acl_of(AGENTS, document)
        if document.get("_type") != PACKAGE or not rights.may(user, acl, rights.READ):
            raise RefusedError("Access denied or package not found")
        if not rights.may(user, acl, rights.DELETE):
            name = document.get("name")
            raise RefusedError(
                f"[{user.username}] Access denied, missing delete permission on {name}"
            )
        if self._get(filestore.COLLECTION, str(document.get("fileid") or "")):
            self.delete_one(filestore.COLLECTION, str(document["fileid"]), user)
        self._delete(AGENTS, document)

    def expire(self, collection: str, document: dict[str, Any]) -> None:
        """Remove a document whose time is over."""
        self._delete(collection, document)

    def _get(self, collection: str, document_id: str) -> dict[str, Any] | None:
        if collection != item_table.COLLECTION:
            return self._documents.get(collection, document_id)
        item = self._items.get(document_id)
        return document_of(item) if item else None

    def _as_new_item(self, document: dict[str, Any], user: User, now: int) -> dict[str, Any]:
        """Return what becomes an item: new, due at once if not told when, with its queue's rights.

        What is of another type belongs to no queue, and is taken as it is.

        Raises:
            RefusedError: no queue, or none that the user may read.
        """
        if document.get("_type") != "workitem":
            return document
        wiq, wiqid = str(document.get("wiq") or ""), str(document.get("wiqid") or "")
        if not wiq and not wiqid:
            raise RefusedError("Workitemqueue (wiq or wiqid) is required")
        queue = self._queues.find(wiq, "" if wiq else wiqid)
        if queue is None or not self._queues.may(user, queue, rights.READ):
            raise RefusedError(f"Workitemqueue {wiq or wiqid} not found")
        return {
            **document,
            "wiq": queue.name,
            "wiqid": queue.id,
            "state": NEW,
            "nextrun": document.get("nextrun") or json_text.write_date(now),
            "_acl": json.loads(queue.acl),
        }

    def _require_free(self, collection: str, document: dict[str, Any]) -> None:
        """Refuse to delete a queue, and a file that an item has."""
        if document.get("_type") == queues.QUEUE_TYPE:
            raise RefusedError("Access Denied, you must call DeleteWorkItemQueue to delete")
        if collection != filestore.COLLECTION:
            return
        item = self._items.with_file(str(document["_id"]))
        if item is not None:
            raise RefusedError(
                f"Cannot delete file, it is in use by a workitem {item.id} {item.name}"
            )

    def _delete(self, collection: str, document: dict[str, Any]) -> None:
        document_id = str(document["_id"])
        if collection == item_table.COLLECTION:
            self._items.delete(document_id)
        elif collection == filestore.COLLECTION:
            self._files.delete(document_id)
        else:
            self._documents.delete(collection, document_id)
        self._changes.publish(collection, "delete", document)

    def _write(self, collection: str, document: dict[str, Any], now: int) -> None:
        if collection == item_table.COLLECTION:
            self._items.replace(item_of(document), now)
        else:
            self._documents.replace(collection, document)


def _require_operators(update: dict[str, Any]) -> None:
    # Written out: this is the path of every item.
    for key in update or ("",):
        if key[:1] != "$":
            raise RefusedError("Update document requires atomic operators")
    for fields in update.values():
        if not isinstance(fields, dict):
            raise RefusedError("Modifiers operate on fields, so each takes a JSON object")


def _told(document: dict[str, Any]) -> dict[str, Any]:
    """Return what of a document OpenIAP compares for its history."""
    return {name: value for name, value in document.items() if name not in UNTOLD}


def _id_text(value: object) -> str:
    return "" if value is None else str(value)
