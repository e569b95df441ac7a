"""Work item queues: their documents in ``mq``, and their administration."""

from typing import Any, Final

from worker.localserver.storage.change_feed import ChangeFeed
from worker.localserver.storage.document_table import DocumentTable
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.ids import new_id
from worker.localserver.storage.item_rules import DEFAULT_MAXRETRIES, Queue
from worker.localserver.storage.store import Store
from worker.localserver.storage.user import User, created_by, modified_by

COLLECTION: Final = "mq"
QUEUE_TYPE: Final = "workitemqueue"
TEXTS: Final = (
    "workflowid",
    "robotqueue",
    "amqpqueue",
    "projectid",
    "usersrole",
    "packageid",
    "success_wiq",
    "success_wiqid",
    "failed_wiq",
    "failed_wiqid",
)
DELAYS: Final = ("retrydelay", "initialdelay")


class Queues:
    """Finds and administrates queues; found ones are remembered until ``mq`` changes."""

    def __init__(self, store: Store, documents: DocumentTable, changes: ChangeFeed) -> None:
        self._store = store
        self._documents = documents
        self._changes = changes
        self._by_id: dict[str, Queue] = {}
        self._by_name: dict[str, Queue] = {}
        self._known = (-1, -1)

    def find(self, wiq: str, wiqid: str = "") -> Queue | None:
        """Return the queue of this id, else of this name (case matters), or None."""
        self._refresh()
        return self._by_id.get(wiqid) or self._by_name.get(wiq)

    def require(self, wiq: str, wiqid: str = "") -> Queue:
        """Return the queue of this id or name.

        Raises:
            RefusedError: there is none; in the words of OpenIAP.
        """
        queue = self.find(wiq, wiqid)
        if queue is None:
            raise RefusedError(
                f"Work item queue not found {wiq or 'undefined'} ({wiqid or 'undefined'}) "
                "not found."
            )
        return queue

    def all(self) -> list[Queue]:
        """Return every queue."""
        self._refresh()
        return list(self._by_id.values())

    def document(self, queue_id: str, name: str) -> dict[str, Any]:
        """Return the document of a queue by id, else by name.

        Raises:
            RefusedError: there is none.
        """
        if queue_id:
            found = self._documents.get(COLLECTION, queue_id)
            if found is None or found.get("_type") != QUEUE_TYPE:
                raise RefusedError(f"Work item queue with _id {queue_id} not found.")
            return found
        queue = self.find(name)
        found = self._documents.get(COLLECTION, queue.id) if queue else None
        if found is None:
            raise RefusedError(f"Work item queue with name {name} not found.")
        return found

    def add(self, values: dict[str, Any], user: User, now: int) -> dict[str, Any]:
        """Make a queue.

        Args:
            values: fields of the queue's document; ``name`` is mandatory, ``maxretries`` 0 is 3.
            user: who makes it.
            now: the server's time in milliseconds.

        Raises:
            RefusedError: no name, or one that exists.
        """
        name = str(values.get("name") or "")
        if not name:
            raise RefusedError("Name is mandatory")
        if self.find(name) is not None:
            raise RefusedError(f"Work item queue with name {name} already exists")
        document = {
            "_id": values.get("_id") or new_id(),
            "_type": QUEUE_TYPE,
            "name": name,
            "maxretries": int(values.get("maxretries") or DEFAULT_MAXRETRIES),
            **_settings(values),
            "_acl": values.get("_acl") or [],
            **created_by(user, now),
            **modified_by(user, now),
            "_version": 0,
        }
        self._documents.insert(COLLECTION, document)
        self._changes.publish(COLLECTION, "insert", document)
        return document

    def update(
        self, document: dict[str, Any], values: dict[str, Any], user: User, now: int
    ) -> dict[str, Any]:
        """Change a queue's settings; an empty name and ``maxretries`` 0 keep what is stored.

        Raises:
            RefusedError: the new name belongs to another queue.
        """
        name = str(values.get("name") or "")
        other = self.find(name)
        if other is not None and other.id != document["_id"]:
            raise RefusedError(f"Work item queue with name {name} already exists")
        changed = {
            **document,
            "name": name or document.get("name", ""),
            "maxretries": int(values.get("maxretries") or document.get("maxretries") or 0)
            or DEFAULT_MAXRETRIES,
            **_settings(values),
            "_acl": values.get("_acl") or document.get("_acl") or [],
            **modified_by(user, now),
            "_version": int(document.get("_version") or 0) + 1,
        }
        self._documents.replace(COLLECTION, changed)
        self._changes.publish(COLLECTION, "replace", changed)
        return changed

    def remove(self, document: dict[str, Any]) -> None:
        """Remove a queue's document; its items are the caller's business."""
        self._documents.delete(COLLECTION, str(document["_id"]))
        self._changes.publish(COLLECTION, "delete", document)

    def _refresh(self) -> None:
        known = (self._documents.writes(COLLECTION), self._store.undone)
        if known == self._known:
            return
        queues = [
            _queue(document)
            for document in self._documents.all(COLLECTION)
            if document.get("_type") == QUEUE_TYPE
        ]
        self._by_id = {queue.id: queue for queue in queues}
        self._by_name = {queue.name: queue for queue in reversed(queues)}
        self._known = known


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    return {
        **{key: int(values.get(key) or 0) for key in DELAYS},
        **{key: str(values.get(key) or "") for key in TEXTS},
    }


def _queue(document: dict[str, Any]) -> Queue:
    return Queue(
        id=str(document["_id"]),
        name=str(document.get("name") or ""),
        maxretries=_whole(document.get("maxretries")),
        retrydelay=_whole(document.get("retrydelay")),
        initialdelay=_whole(document.get("initialdelay")),
        amqpqueue=str(document.get("amqpqueue") or ""),
        packageid=str(document.get("packageid") or ""),
        success_wiq=str(document.get("success_wiq") or ""),
        success_wiqid=str(document.get("success_wiqid") or ""),
        failed_wiq=str(document.get("failed_wiq") or ""),
        failed_wiqid=str(document.get("failed_wiqid") or ""),
    )


def _whole(value: object) -> int:
    """Return a number out of a document that any client may have written."""
    return int(value) if isinstance(value, (int, float)) else 0
