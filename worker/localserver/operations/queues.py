"""Work item queues: their documents in ``mq``, and their administration."""

from typing import Any, Final

from worker.localserver.operations.roles import QUEUE_ADMINS, WELL_KNOWN, Roles
from worker.localserver.storage import json_text, rights
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
    "packageid",
)
CHAIN: Final = ("success_wiq", "success_wiqid", "failed_wiq", "failed_wiqid")
DELAYS: Final = ("retrydelay", "initialdelay")
NO_UPDATE: Final = "Access denied, no authorization to UpdateOne with current ACL"


class Queues:
    """Finds and administrates queues; found ones are remembered until ``mq`` changes."""

    def __init__(
        self,
        store: Store,
        documents: DocumentTable,
        changes: ChangeFeed,
        roles: Roles,
        *,
        strict: bool,
    ) -> None:
        self._store = store
        self._documents = documents
        self._changes = changes
        self._roles = roles
        self._strict = strict
        self._by_id: dict[str, Queue] = {}
        self._by_name: dict[str, Queue] = {}
        self._acls: dict[str, object] = {}
        self._known = (-1, -1)

    def find(self, wiq: str, wiqid: str = "") -> Queue | None:
        """Return the queue of this id, else of this name (case matters), or None."""
        self._refresh()
        return self._by_id.get(wiqid) or self._by_name.get(wiq)

    def require(self, wiq: str, wiqid: str, user: User) -> Queue:
        """Return the queue of this id or name.

        Raises:
            RefusedError: there is none, or none that the user may read; in the words of OpenIAP.
        """
        self._refresh()
        for queue in (self._by_id.get(wiqid), self._by_name.get(wiq)):
            if queue is not None and self.may(user, queue, rights.READ):
                return queue
        raise RefusedError(
            f"Work item queue not found {wiq or 'undefined'} ({wiqid or 'undefined'}) not found."
        )

    def may(self, user: User, queue: Queue, right: int) -> bool:
        """Say whether a user has a right on a queue."""
        return user.is_admin or rights.may(user, self._acls.get(queue.id), right)

    def acl_for(self, user: User, queue: Queue) -> str:
        """Return the rights of a new item as JSON text: the queue's, and all for who makes it."""
        if user.is_admin or rights.granted(user, self._acls.get(queue.id), rights.FULL):
            return queue.acl
        found = rights.new_acl(self._acls.get(queue.id), user, self._roles.name_of)
        return json_text.write(found)

    def all(self) -> list[Queue]:
        """Return every queue."""
        self._refresh()
        return list(self._by_id.values())

    def document(self, queue_id: str, name: str, user: User) -> dict[str, Any]:
        """Return the document of a queue by id, else by name.

        Raises:
            RefusedError: there is none, or none that the user may read.
        """
        queue = None if queue_id else self.find(name)
        found = self._documents.get(COLLECTION, queue.id if queue else queue_id)
        if (
            found is None
            or found.get("_type") != QUEUE_TYPE
            or not rights.may(user, found.get("_acl"), rights.READ)
        ):
            what = f"_id {queue_id}" if queue_id else f"name {name}"
            raise RefusedError(f"Work item queue with {what} not found.")
        return found

    def add(
        self, values: dict[str, Any], user: User, now: int, *, skiprole: bool = True
    ) -> dict[str, Any]:
        """Make a queue.

        A queue gets a role of its own, but neither that role nor the one for administrators of
        queues a right on it: on OpenIAP a list of rights that was not sent replaces them.

        Args:
            values: fields of the queue's document; ``name`` is mandatory, ``maxretries`` 0 is 3.
            user: who makes it.
            now: the server's time in milliseconds.
            skiprole: make no role ``<name> users``.

        Raises:
            RefusedError: no name, or one that exists.
        """
        name = str(values.get("name") or "")
        if not name:
            raise RefusedError("Name is mandatory")
        if self.find(name) is not None:
            raise RefusedError(f"Work item queue with name {name} already exists")
        role = ""
        if not skiprole:
            members = [user, User(QUEUE_ADMINS, WELL_KNOWN[QUEUE_ADMINS])]
            role = str(self._roles.create(f"{name} users", members, user, now)["_id"])
        document = {
            "_id": values.get("_id") or new_id(),
            "_type": QUEUE_TYPE,
            "name": name,
            "maxretries": int(values.get("maxretries") or DEFAULT_MAXRETRIES),
            **_settings(values),
            **{key: str(values.get(key) or "") for key in CHAIN},
            "usersrole": role,
            "_acl": rights.new_acl(values.get("_acl"), user, self._roles.name_of),
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
        """Change a queue: what is not among the values becomes empty or 0, but for its chain.

        Without ``strict``, what is not among them is kept.

        Raises:
            RefusedError: the new name belongs to another queue, or the list of rights, which
                replaces the present one, gives the user no right to change the queue.
        """
        name = str(values.get("name") or "")
        other = self.find(name)
        if other is not None and other.id != document["_id"]:
            raise RefusedError(f"Work item queue with name {name} already exists")
        acl = values.get("_acl") or []
        settings: dict[str, Any] = {
            "name": name,
            "maxretries": int(values.get("maxretries") or 0),
            **_settings(values),
            **{key: str(values[key] or "") for key in CHAIN if key in values},
        }
        if not self._strict:
            acl = acl or document.get("_acl") or []
            settings = {**settings, **{k: v for k, v in document.items() if not settings.get(k)}}
        if not rights.granted(user, acl, rights.UPDATE):
            raise RefusedError(NO_UPDATE)
        if not rights.may(user, document.get("_acl"), rights.UPDATE):
            raise RefusedError(
                f"Access denied, no authorization to UpdateOne {QUEUE_TYPE} {name} to database"
            )
        changed = {
            **document,
            **settings,
            "_acl": rights.changed_acl(acl, user, self._roles.name_of),
            **modified_by(user, now),
            "_version": int(document.get("_version") or 0) + 1,
        }
        self._documents.replace(COLLECTION, changed)
        self._changes.publish(COLLECTION, "replace", changed)
        return changed

    def remove(self, document: dict[str, Any], user: User) -> None:
        """Remove a queue's document and its role; its items are the caller's business.

        As on OpenIAP, who has no right to delete it is told nothing.
        """
        if not rights.may(user, document.get("_acl"), rights.DELETE):
            return
        self._documents.delete(COLLECTION, str(document["_id"]))
        self._changes.publish(COLLECTION, "delete", document)
        role = self._documents.get("users", str(document.get("usersrole") or ""))
        if role is not None and rights.may(user, role.get("_acl"), rights.DELETE):
            self._documents.delete("users", str(role["_id"]))
            self._changes.publish("users", "delete", role)

    def _refresh(self) -> None:
        known = (self._documents.writes(COLLECTION), self._store.undone)
        if known == self._known:
            return
        documents = [
            document
            for document in self._documents.all(COLLECTION)
            if document.get("_type") == QUEUE_TYPE
        ]
        queues = [_queue(document) for document in documents]
        self._acls = {str(document["_id"]): document.get("_acl") for document in documents}
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
        acl=json_text.write(document.get("_acl") or []),
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
