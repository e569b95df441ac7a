"""Roles: documents in ``users`` that name their members, and who is in which.

Members are users and other roles. What a user is in is looked up again when ``users`` changed, so
that a new member has their rights on open connections too.
"""

from dataclasses import replace
from typing import Any, Final

from worker.localserver.storage import rights
from worker.localserver.storage.document_table import DocumentTable
from worker.localserver.storage.ids import new_id
from worker.localserver.storage.store import Store
from worker.localserver.storage.user import ADMINS, User, administrator, created_by, modified_by

COLLECTION: Final = "users"
USERS: Final = "5a17f157c4815318c8536c21"
QUEUE_ADMINS: Final = "625440c4231309af5f2052cd"
WELL_KNOWN: Final = {ADMINS: "admins", USERS: "users", QUEUE_ADMINS: "workitem queue admins"}
"""Roles that every OpenIAP has under these ids."""
WITH_RIGHTS: Final = "with_rights"
"""Of data files in which every document has a list of rights."""


class Roles:
    """Knows roles and their members."""

    def __init__(self, store: Store, documents: DocumentTable) -> None:
        self._store = store
        self._documents = documents
        self._known = (-1, -1)
        self._names: dict[str, str] = {}
        self._of: dict[str, frozenset[str]] = {}
        self._containers: dict[str, list[str]] = {}

    def ensure(self, now: int) -> None:
        """Make the roles that every OpenIAP has, and give old data its lists of rights."""
        for id, name in WELL_KNOWN.items():
            if self._documents.get(COLLECTION, id) is None:
                self.create(name, [], administrator(""), now, id=id)
        if self._store.setting(WITH_RIGHTS) is None:
            for document in list(self._documents.all(COLLECTION)):
                if document.get("_type") == "user":  # so far every user had all rights
                    self._take_over(document)
            self._store.write(
                "UPDATE documents SET body = json_set(body, '$._acl', json(?))"
                " WHERE json_extract(body, '$._acl') = '[]'",
                (rights.ONLY_ADMINS,),
            )
            self._store.write(
                "UPDATE workitems SET extra = json_set(extra, '$._acl', json(?))"
                " WHERE json_extract(extra, '$._acl') = '[]'",
                (rights.ONLY_ADMINS,),
            )
            self._store.set_setting(WITH_RIGHTS, "yes")

    def _take_over(self, document: dict[str, Any]) -> None:
        user = User(str(document["_id"]), str(document.get("username")))
        mine = {"_id": user.id, "name": user.username, "rights": rights.FULL}
        self._documents.replace(COLLECTION, {**document, "_acl": [dict(rights.FOR_ADMINS), mine]})
        for role in (ADMINS, USERS):
            self.set_member(role, user, member=True)

    def create(
        self, name: str, members: list[User], user: User, now: int, *, id: str = ""
    ) -> dict[str, Any]:
        """Make a role; it belongs to ``user``."""
        document = {
            "_id": id or new_id(),
            "_type": "role",
            "name": name,
            "members": [{"_id": one.id, "name": one.username} for one in members if one.id],
            "_acl": rights.new_acl([], user, self.name_of),
            **created_by(user, now),
            **modified_by(user, now),
            "_version": 0,
        }
        self._documents.insert(COLLECTION, document)
        return document

    def set_member(self, role_id: str, user: User, *, member: bool) -> None:
        """Put a user into a role, or take them out of it."""
        document = self._documents.get(COLLECTION, role_id)
        if document is None:
            return
        others = [one for one in _members(document) if one.get("_id") != user.id]
        entry = [{"_id": user.id, "name": user.username}] if member else []
        self._documents.replace(COLLECTION, {**document, "members": [*others, *entry]})

    def current(self, user: User) -> User:
        """Return a user with the roles that they have now."""
        self._refresh()
        if not user.id:
            return user
        roles = self._of.get(user.id)
        if roles is None:
            roles = self._of[user.id] = self._roles_of(user.id)
        return user if user.roles is roles else replace(user, roles=roles)

    def names(self, user: User) -> list[tuple[str, str]]:
        """Return id and name of each role of a user."""
        return sorted((role, self._names.get(role, "")) for role in self.current(user).roles)

    def name_of(self, id: str) -> str | None:
        """Return the name of a user or role; None where there is none of this id."""
        self._refresh()
        return self._names.get(id) or WELL_KNOWN.get(id)

    def _refresh(self) -> None:
        known = (self._documents.writes(COLLECTION), self._store.undone)
        if known == self._known:
            return
        self._of.clear()
        self._names.clear()
        self._containers.clear()
        for document in self._documents.all(COLLECTION):
            id = str(document["_id"])
            self._names[id] = str(document.get("name") or document.get("username") or id)
            if document.get("_type") == "role":
                for member in _members(document):
                    self._containers.setdefault(str(member.get("_id")), []).append(id)
        self._known = known

    def _roles_of(self, id: str) -> frozenset[str]:
        found: set[str] = set()
        waiting = [id]
        while waiting:
            for role in self._containers.get(waiting.pop(), ()):
                if role not in found:
                    found.add(role)
                    waiting.append(role)
        return frozenset(found)


def _members(document: dict[str, Any]) -> list[dict[str, Any]]:
    members = document.get("members")
    return [one for one in members if isinstance(one, dict)] if isinstance(members, list) else []
