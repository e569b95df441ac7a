"""Waking an item that waits for a signal: its ``nextrun`` moves into the past, if it still waits.

With the native client that is one conditional update: it meets an item that waits for this very
signal, or nothing. The official client has none, and writes an item's document whole; what keeps it
from pulling back an item that somebody has popped meanwhile:

1. One worker alone wakes an item that waits. It is the one that could insert a document whose id
   names the item and the run that it waits since; everybody else finds that id taken.
2. Nobody can pop the item before it is woken, but at its own time. One whose own time is less than
   ``ALONE`` away is left to that.
3. Between reading and writing lies no more than ``AT_ONCE``; else it is read again.

Who dies after 1 is followed by its next life, or after ``STALE`` by another worker.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from worker.engine.delivery.fence import run_of
from worker.engine.delivery.release import OWNER, due_already
from worker.item.history import FIELD, Entry, added, pushed, refused, with_operators
from worker.item.masking import masked
from worker.item.outcome import PAST, SIGNALS, WAITS
from worker.item.signals import COLLECTION
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey, ServerError
from worker.openiap.fields import id_of, moment_of, object_of, text_of, texts_of
from worker.openiap.pool import Pool
from worker.openiap.workitem import NEW, JsonObject
from worker.uptime import uptime

ITEMS: Final = "workitems"
CLAIM: Final = "signal wake"
"""The type of the documents that say who wakes."""
WAKES: Final = "wakes"
"""The field of such a document that names the item."""
ALONE: Final = timedelta(seconds=30)
AT_ONCE: Final = 0.5
STALE: Final = timedelta(seconds=60)
TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Told:
    """A signal, as far as waking goes.

    Attributes:
        queue: the item's, where the signal tells it.
        by: who wrote it, as the server says.
    """

    id: str
    item: str
    name: str
    queue: str = ""
    by: str = ""


def told_of(document: Mapping[str, Any]) -> Told | None:
    """Return what a signal's document tells; None for what is none."""
    id, item = id_of(document), text_of(document.get("item"))
    name = text_of(document.get("name"))
    if not id or not item or not name:
        return None
    return Told(id, item, name, text_of(document.get("wiq")), text_of(document.get("_createdby")))


def waits_for(document: Mapping[str, Any], told: Told) -> bool:
    """Whether an item waits for a signal, by its document."""
    waits = object_of(document.get(WAITS))
    return (
        document.get("state") == NEW
        and waits.get("until") == document.get("nextrun")
        and told.name in texts_of(waits.get(SIGNALS))
        and told.id not in texts_of(waits.get(PAST))
    )


class SignalWaker:
    """One worker's.

    Args:
        now: the server's time as far as it is known.
        history: entries that an item's timeline keeps.
    """

    def __init__(
        self, pool: Pool, *, worker_id: str, now: Callable[[], datetime], history: int = 0
    ) -> None:
        self._pool = pool
        self._history = history
        self._worker_id = worker_id
        self._life = uuid.uuid4().hex
        self._now = now

    async def wake(self, told: Told, queues: Sequence[str]) -> bool:
        """Wake the item of a signal, if it waits for it in one of these queues; whether it did.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        wake = partial(self._wake, told=told, queues=list(queues))
        return await self._pool.call(wake, turn="first")

    async def _wake(self, client: Client, told: Told, queues: list[str]) -> bool:
        past = due_already({}, self._now())
        entry = Entry("signalled", self._now(), told.by, why=masked(told.name))
        if client.capabilities.conditional_updates:
            condition: JsonObject = {
                "_id": told.item,
                "state": NEW,
                "wiq": {"$in": queues},
                f"{WAITS}.{SIGNALS}": told.name,
                f"{WAITS}.{PAST}": {"$ne": told.id},
            }
            change: JsonObject = {"$set": {"nextrun": past}}
            more = pushed(told.item, entry, self._history)
            try:
                done = await client.update_document(ITEMS, condition, with_operators(change, more))
            except ServerError as error:
                if not more or not refused(error.text, told.item):
                    raise
                done = await client.update_document(ITEMS, condition, change)
            return done.matched > 0
        claimed = False
        for _ in range(TRIES):
            asked = uptime()
            found = await client.query(ITEMS, {"_id": told.item, "wiq": {"$in": queues}}, top=1)
            if not found or not waits_for(found[0], told):
                return False
            due = moment_of(found[0].get("nextrun"))
            if due is None or due - self._now() < ALONE:
                return False
            if not claimed:
                claimed = await self._claim(client, found[0])
                if not claimed:
                    return False
            if uptime() - asked <= AT_ONCE:
                awake = {k: v for k, v in found[0].items() if k not in (*OWNER, WAITS)}
                if self._history:
                    awake[FIELD] = added(awake.get(FIELD), told.item, entry, self._history)
                await client.update_one(ITEMS, {**awake, "nextrun": past})
                return True
        return False

    async def _claim(self, client: Client, document: JsonObject) -> bool:
        """Become the one that wakes an item from this wait; whether it is."""
        item = id_of(document)
        for number in range(1, TRIES + 1):
            id = f"wake-{item}-{run_of(document)}-{number}"
            claim: JsonObject = {"_id": id, "_type": CLAIM, WAKES: item, "by": self._worker_id}
            claim["life"] = self._life
            if acl := document.get("_acl"):
                claim["_acl"] = acl
            try:
                await client.insert_one(COLLECTION, claim)
                return True
            except DuplicateKey:
                found = await client.query(COLLECTION, {"_id": id}, top=1)
            other = found[0] if found else {}
            if other.get("by") == self._worker_id:
                if other.get("life") == self._life:  # the answer was lost
                    return True
                continue  # an earlier life of this worker, which is over
            made = moment_of(other.get("_created"))
            if made is None or self._now() - made < STALE:
                return False
        return False
