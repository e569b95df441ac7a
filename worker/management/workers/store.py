"""Workers in OpenIAP: their documents and mailboxes, and nothing else; errors go through."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from worker.engine.fleet.command import MOST, Command
from worker.engine.fleet.mailbox import COLLECTION as MAILBOXES
from worker.engine.fleet.mailbox import TYPE
from worker.engine.fleet.presence import COLLECTION, FIELDS, GONE
from worker.engine.fleet.presence import TYPE as WORKER
from worker.openiap.client import Client
from worker.openiap.errors import DocumentNotFound
from worker.openiap.fields import id_of, objects_of, text_of
from worker.openiap.workitem import JsonObject
from worker.state.server_clock import ServerClock

LISTED: Final[JsonObject] = {**FIELDS, "slots": 1, "lastseen.report": 1}
ANSWERED: Final[JsonObject] = {"_id": 1, "_type": 1, "_modified": 1, "lastseen.report.answers": 1}
PAGE: Final = 100
"""Documents in one answer: each is up to some 30 kB."""
MOST_WORKERS: Final = 5_000
ADMINISTRATORS: Final = "admins"
"""The role that sees everything (server.md, Rights)."""


class WorkerStore:
    """Reads workers' documents and writes to their mailboxes with one client, and its user's
    rights."""

    def __init__(self, client: Client, namespace: str = "") -> None:
        self.client: Final = client
        self._clock = ServerClock(client, namespace)

    async def now(self) -> datetime:
        """Return the server's time; this machine's, where the user may not write what tells it."""
        return await self._clock.now_or_own()

    async def get_list(
        self, *, ids: Sequence[str] = (), queue: str | None = None
    ) -> list[JsonObject]:
        """Return the documents of workers, those that are gone included, by their ids."""
        query: JsonObject = {"_type": {"$in": [WORKER, GONE]}}
        if queue is not None:
            query["queues"] = queue
        found: list[JsonObject] = []
        after = ""
        while len(found) < MOST_WORKERS:
            bounds: JsonObject = {"$gt": after}
            if ids:
                bounds["$in"] = list(ids)
            page = await self.client.query(
                COLLECTION, {**query, "_id": bounds}, LISTED, {"_id": 1}, top=PAGE
            )
            found += page
            if len(page) < PAGE:
                break
            after = id_of(page[-1])
        return found

    @property
    def sees_all(self) -> bool:
        """Whether this user sees every queue."""
        user = self.client.user
        return user is not None and ADMINISTRATORS in user.roles

    async def get_hidden(self, queues: Collection[str]) -> set[str]:
        """Return those of these queues that this user does not see.

        Whoever sees one queue of a worker reads its document, and the others' names in it.
        """
        if not queues or self.sees_all:
            return set()
        seen: set[str] = set()
        query: JsonObject = {"_type": "workitemqueue", "name": {"$in": sorted(queues)}}
        after = ""
        while True:
            page = await self.client.query(
                "mq", {**query, "_id": {"$gt": after}}, {"name": 1}, {"_id": 1}, top=PAGE
            )
            seen |= {text_of(one.get("name")) for one in page}
            if len(page) < PAGE:
                return set(queues) - seen
            after = id_of(page[-1])

    async def get_answers(self, ids: Sequence[str]) -> list[JsonObject]:
        """Return what workers answered, and whether they are gone."""
        return await self.client.query(
            COLLECTION, {"_id": {"$in": list(ids)}}, ANSWERED, top=max(1, len(ids))
        )

    async def get_mailboxes(self, ids: Sequence[str]) -> list[JsonObject]:
        """Return the mailboxes of these ids that this user may read."""
        query = {"_type": TYPE, "_id": {"$in": list(ids)}}
        return await self.client.query(MAILBOXES, query, top=max(1, len(ids)))

    async def send(self, mailbox: JsonObject, command: Command) -> bool:
        """Put a command into a mailbox, and say whether this user may.

        The document is replaced, since of a replacement alone it is certain that the server stamps
        who made it. So two that write in the same moment overwrite each other: see ``lost``.
        """
        commands = [*objects_of(mailbox.get("commands")), command.document()][-MOST:]
        try:
            await self.client.update_one(MAILBOXES, {**mailbox, "commands": commands})
        except DocumentNotFound:
            return False
        return True

    async def lost(self, mailboxes: Sequence[str], commands: Collection[str]) -> list[JsonObject]:
        """Return those mailboxes in which none of these commands stands any more."""
        found = await self.get_mailboxes(mailboxes)
        return [
            one
            for one in found
            if not any(each.get("id") in commands for each in objects_of(one.get("commands")))
        ]
