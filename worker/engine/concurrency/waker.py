"""Waking a parked item: its ``nextrun`` is moved into the past, if it still waits.

With the native client that is one conditional write. With the official one the item is read and
written back whole, as when it is handed back: should the process freeze just between the two, for
so long that the item was meanwhile woken by another and worked, the late write would put it back
to new, and it would run again. So the time between them is measured, and what took longer than
``AT_ONCE`` is read again; and whoever wakes has made sure that it is the only one
(``key_lock.py``).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Literal

from worker.engine.concurrency.waiting_line import Place
from worker.item.outcome import WAITS
from worker.openiap.client import Client
from worker.openiap.pool import Pool
from worker.openiap.values import iso, number
from worker.openiap.workitem import NEW, PROCESSING, JsonObject

AT_ONCE: Final = 0.5
TRIES: Final = 5
BEHIND: Final = timedelta(minutes=1)
"""The server's clock may be behind this one's."""
LOOKED_AT: Final[JsonObject] = {"state": 1, "retries": 1, "wiq": 1, "wiqid": 1}

State = Literal["waiting", "processing", "over"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How an item's attempt stands.

    Attributes:
        state: ``processing``: it is being worked, or about to be parked; ``over``: it is gone, has
            ended, has another attempt or another queue by now.
        document: what was read of the item.
        read: when that was asked for, ``time.monotonic()``.
    """

    state: State
    document: JsonObject
    read: float


class Waker:
    """Wakes items of one queue."""

    def __init__(self, pool: Pool, *, queue: str) -> None:
        self._pool = pool
        self._queue = queue

    async def standing(self, item: str, retries: int) -> Standing:
        """Say how an item's attempt stands.

        Raises:
            OpenIAPError: the server could not be asked.
        """

        async def look(client: Client) -> Standing:
            whole = not client.capabilities.conditional_updates
            read = time.monotonic()
            found = await client.query(
                "workitems", {"_id": item}, None if whole else LOOKED_AT, top=1
            )
            document = found[0] if found else {}
            return Standing(self._state(document, retries), document, read)

        await self._pool.wait_ready()
        return await self._pool.call(look)

    async def standings(self, places: Sequence[Place]) -> list[Standing]:
        """Say the same of several in one message; their payloads are not read.

        Raises:
            OpenIAPError: the server could not be asked.
        """
        if not places:
            return []
        query: JsonObject = {"_id": {"$in": [place.item for place in places]}}
        await self._pool.wait_ready()
        read = time.monotonic()
        found = await self._pool.call(
            lambda client: client.query("workitems", query, LOOKED_AT, top=len(places))
        )
        by_id = {str(document.get("_id")): document for document in found}
        documents = [by_id.get(place.item, {}) for place in places]
        return [
            Standing(self._state(document, place.retries), document, read)
            for document, place in zip(documents, places, strict=True)
        ]

    async def wake(self, item: str, retries: int, seen: Standing | None = None) -> bool:
        """Wake an item that waits; whether it did. For who alone has the right to.

        Args:
            seen: how it stood just now, where that is known.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        for _ in range(TRIES):
            await self._pool.wait_ready()
            seen = seen or await self.standing(item, retries)
            if seen.state != "waiting":
                return False
            if await self._pool.call(partial(self._write, item=item, retries=retries, seen=seen)):
                return True
            seen = None
        return False

    async def _write(self, client: Client, item: str, retries: int, seen: Standing) -> bool:
        past = iso(datetime.now(UTC) - BEHIND)
        if client.capabilities.conditional_updates:
            condition: JsonObject = {
                "_id": item,
                "state": NEW,
                "retries": retries,
                "wiq": self._queue,
            }
            change: JsonObject = {"$set": {"nextrun": past}}
            return (await client.update_document("workitems", condition, change)).matched > 0
        if time.monotonic() - seen.read > AT_ONCE or "payload" not in seen.document:
            return False
        awake = {k: v for k, v in seen.document.items() if k not in ("userid", "username", WAITS)}
        await client.update_one("workitems", {**awake, "nextrun": past})
        return True

    def _state(self, document: JsonObject, retries: int) -> State:
        if not document or number(document.get("retries")) != retries:
            return "over"
        if document.get("wiq") != self._queue:
            return "over"
        state = document.get("state")
        if state == PROCESSING:
            return "processing"
        return "waiting" if state == NEW else "over"
