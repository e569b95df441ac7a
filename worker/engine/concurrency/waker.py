"""Waking a parked item: its ``nextrun`` is moved into the past, if it still waits.

With the native client that is one conditional write. With the official one the item is read and
written back whole, as when it is handed back: should the process freeze just between the two, for
so long that the item was meanwhile woken by another and worked, the late write would put it back
to new, and it would run again. So the time between them is measured, and what took longer than
``AT_ONCE`` is read again; and whoever wakes has made sure that it is the only one
(``key_lock.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from worker.engine.concurrency.waiting_line import Waiter
from worker.engine.delivery.release import due_already
from worker.item.outcome import WAITS
from worker.openiap.client import Client
from worker.openiap.fields import number
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.reader import Reader
from worker.openiap.workitem import NEW, PROCESSING, JsonObject
from worker.uptime import uptime

AT_ONCE: Final = 0.5
TRIES: Final = 5
PROJECTION: Final[JsonObject] = {"state": 1, "retries": 1, "wiq": 1, "wiqid": 1, "lastrun": 1}

AttemptState = Literal["waiting", "processing", "over"]


@dataclass(frozen=True, slots=True)
class AttemptStatus:
    """Whether an item's attempt waits, or runs, or is over.

    Attributes:
        state: ``processing``: it is being worked, or about to be parked; ``over``: it is gone, has
            ended, has another attempt or another queue by now.
        document: what was read of the item.
        read: when that was asked for, ``uptime``.
    """

    state: AttemptState
    document: JsonObject
    read: float


class Waker:
    """Wakes items of one queue."""

    def __init__(self, pool: Pool, *, queue: str) -> None:
        self._pool = pool
        self._reader = Reader(pooled_client(pool), "work item")
        self._queue = queue

    async def status(self, item: str, retries: int) -> AttemptStatus:
        """Look at an item's attempt.

        Raises:
            OpenIAPError: the server could not be asked.
        """

        async def read(client: Client) -> AttemptStatus | None:
            if client.capabilities.conditional_updates:
                return None
            asked = uptime()
            found = await client.query("workitems", {"_id": item}, top=1)
            document = found[0] if found else {}
            return AttemptStatus(self._state(document, retries), document, asked)

        await self._pool.wait_ready()
        whole = await self._pool.call(read)
        return whole or (await self._statuses([(item, retries)]))[0]

    async def statuses(self, waiters: Sequence[Waiter]) -> list[AttemptStatus]:
        """Look at several in one message; their payloads are not read.

        Raises:
            OpenIAPError: the server could not be asked.
        """
        if not waiters:
            return []
        return await self._statuses([(waiter.item, waiter.retries) for waiter in waiters])

    async def _statuses(self, attempts: Sequence[tuple[str, int]]) -> list[AttemptStatus]:
        await self._pool.wait_ready()
        read = uptime()
        ids = [item for item, _ in attempts]
        query: JsonObject = {"_id": {"$in": ids} if len(ids) > 1 else ids[0]}
        found = await self._reader.query("workitems", query, PROJECTION, top=len(ids))
        by_id = {str(document.get("_id")): document for document in found}
        return [
            AttemptStatus(self._state(document, retries), document, read)
            for document, retries in ((by_id.get(item, {}), retries) for item, retries in attempts)
        ]

    async def wake(self, item: str, retries: int, seen: AttemptStatus | None = None) -> bool:
        """Wake an item that waits; whether it did. For who alone has the right to.

        Args:
            seen: its status just now, where that is known.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        for _ in range(TRIES):
            await self._pool.wait_ready()
            seen = seen or await self.status(item, retries)
            if seen.state != "waiting":
                return False
            if await self._pool.call(partial(self._write, item=item, retries=retries, seen=seen)):
                return True
            seen = None
        return False

    async def _write(self, client: Client, item: str, retries: int, seen: AttemptStatus) -> bool:
        past = due_already(seen.document)
        if client.capabilities.conditional_updates:
            condition: JsonObject = {
                "_id": item,
                "state": NEW,
                "retries": retries,
                "wiq": self._queue,
            }
            change: JsonObject = {"$set": {"nextrun": past}}
            return (await client.update_document("workitems", condition, change)).matched > 0
        if uptime() - seen.read > AT_ONCE or "payload" not in seen.document:
            return False
        awake = {k: v for k, v in seen.document.items() if k not in ("userid", "username", WAITS)}
        await client.update_one("workitems", {**awake, "nextrun": past})
        return True

    def _state(self, document: JsonObject, retries: int) -> AttemptState:
        if not document or number(document.get("retries")) != retries:
            return "over"
        if document.get("wiq") != self._queue:
            return "over"
        state = document.get("state")
        if state == PROCESSING:
            return "processing"
        return "waiting" if state == NEW else "over"
