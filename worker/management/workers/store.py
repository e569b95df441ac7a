"""Workers in OpenIAP: their documents and mailboxes, and nothing else; errors go through."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from worker.engine.fleet.mailbox import COLLECTION as MAILBOXES
from worker.engine.fleet.mailbox import MOST, TYPE, Command
from worker.engine.fleet.presence import COLLECTION, FIELDS, GONE
from worker.engine.fleet.presence import TYPE as WORKER
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, DocumentNotFound, ServerError
from worker.openiap.fields import id_of, objects_of
from worker.openiap.workitem import JsonObject
from worker.state.server_clock import ServerClock

LISTED: Final[JsonObject] = {**FIELDS, "slots": 1, "lastseen.report": 1}
ANSWERED: Final[JsonObject] = {"_id": 1, "_type": 1, "_modified": 1, "lastseen.report.answers": 1}
PAGE: Final = 100
"""Documents in one answer: each is up to some 30 kB."""
MOST_WORKERS: Final = 5_000


class WorkerStore:
    """Reads workers' documents and writes to their mailboxes with one client, and its user's
    rights."""

    def __init__(self, client: Client, namespace: str = "") -> None:
        self.client: Final = client
        self._clock = ServerClock(client, namespace)

    async def now(self) -> datetime:
        """Return the server's time; this machine's, where the user may not write what tells it."""
        try:
            return await self._clock.now()
        except (AccessDenied, ServerError):
            return datetime.now(UTC)

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

        With the official client two that write in the same moment overwrite each other: the
        command that is lost is not answered.
        """
        id = id_of(mailbox)
        if self.client.capabilities.conditional_updates:
            put = {"$each": [command.document()], "$slice": -MOST}
            result = await self.client.update_document(
                MAILBOXES, {"_id": id, "_type": TYPE}, {"$push": {"commands": put}}
            )
            return result.matched > 0
        commands = [*objects_of(mailbox.get("commands")), command.document()][-MOST:]
        try:
            await self.client.update_one(MAILBOXES, {**mailbox, "commands": commands})
        except DocumentNotFound:
            return False
        return True
