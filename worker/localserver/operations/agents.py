"""Agents, which run packages: how one makes itself known, and the message queue that it works for.

As on OpenIAP: an agent is a document in ``agents``, found again by its id or by its host and its
user there; its ``slug`` names the queue that it takes orders from. What people wrote into the
document stays, ``environment`` and schedules among it.
"""

import secrets
from typing import Any, Final

from worker.localserver.operations.documents import Documents
from worker.localserver.operations.queries import Queries
from worker.localserver.operations.users import LONG_LIFETIME, Users
from worker.localserver.storage import json_text, rights
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.user import User

COLLECTION: Final = "agents"
OF_THE_AGENT: Final = (
    *("hostname", "os", "arch", "username", "version", "languages"),
    *("chrome", "chromium", "docker", "assistant", "daemon"),
)
"""What an agent says of itself each time."""


class Agents:
    """Knows the agents."""

    def __init__(self, documents: Documents, queries: Queries, users: Users) -> None:
        self._documents = documents
        self._queries = queries
        self._users = users

    def register(self, said: dict[str, Any], id: str, user: User, now: int) -> dict[str, Any]:
        """Note an agent and return its document; with a token where it is to run as another user.

        Args:
            said: what it says of itself.
            id: as it was registered before; "" for one that does not know.
            user: whose connection it is.
            now: the server's time in milliseconds.

        Raises:
            RefusedError: the user that it is to run as is gone, or is not to be used by this one.
        """
        known = self._known(said, id, user)
        own = {key: said[key] for key in OF_THE_AGENT if said.get(key) not in (None, "")}
        agent = {**(said if known is None else known), **own}
        agent.pop("jwt", None)
        agent |= {"_type": "agent", "lastseen": json_text.write_date(now)}
        agent["name"] = agent.get("name") or f"{said.get('hostname')} / {said.get('username')}"
        agent["slug"] = agent.get("slug") or secrets.token_hex(12)
        runs_as = self._runs_as(agent, user)
        agent |= {"runas": runs_as.id, "runasname": runs_as.username}
        if known is None:
            agent["_id"] = id or None
            stored = self._documents.insert(COLLECTION, agent, user, now)
        else:
            stored = self._documents.replace(COLLECTION, agent, user, now)
        if runs_as.id == user.id:
            return stored
        return {**stored, "jwt": self._users.token(runs_as, LONG_LIFETIME, now / 1000)}

    def _known(self, said: dict[str, Any], id: str, user: User) -> dict[str, Any] | None:
        host = {key: said.get(key) for key in ("hostname", "username")}
        for query in ([{"_id": id}] if id else []) + [host]:
            found = self._queries.query(COLLECTION, query, top=1, reader=user)
            if found:
                return found[0]
        return None

    def _runs_as(self, agent: dict[str, Any], user: User) -> User:
        other = str(agent.get("runas") or user.id)
        if other == user.id:
            return user
        document = self._users.document(other)
        if not document or not rights.may(user, document.get("_acl"), rights.READ):
            raise RefusedError(f"[{user.username}] Access denied to runas user {other}")
        if not rights.may(user, document.get("_acl"), rights.INVOKE):
            raise RefusedError(
                f"[{user.username}] Access denied, missing invoke permission on"
                f" {document.get('name')}"
            )
        return User(other, str(document.get("username")))
