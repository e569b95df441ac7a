"""A worker's name on the server: one living worker has it, however many are given it.

1. Whoever holds the lock that a presence document names is its worker's next life: the lock is one
   file of one running system, and the one that held it before is dead. It takes over at once.
2. Anybody else's document (another state directory, a copied one, another machine) is left to its
   worker for as long as that may live: silent for ``dead_after`` in the server's time, or for the
   rest of it while it is watched here. If it speaks, this worker does not have the name.
3. Of two that take a name at the same moment one does: the document is inserted, or replaced on the
   condition that it still is the dead one's. What the dead one claimed stays claimed in it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from worker.engine.fleet.presence import COLLECTION, FIELDS, KIND, WorkerInfo, is_gone, peer_of
from worker.errors import StateError
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, DuplicateKey, OpenIAPError, ServerError
from worker.openiap.fields import Told, ignored, text_of
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.reader import Reader
from worker.openiap.upsert import upsert
from worker.openiap.workitem import JsonObject
from worker.state.retrying import passes
from worker.state.server_clock import ServerClock
from worker.telemetry.log import Log
from worker.uptime import uptime

PATIENCE: Final = 60.0
"""Seconds for which the server may refuse to say who has the name."""
PAUSE: Final = 0.5
LOOK_EVERY: Final = 2.0
LOOKS: Final = 10
"""So often at least one looks whether another speaks."""
MOST_TRIES: Final = 10
BARE: Final[JsonObject] = {"_id": 1, "_type": 1, "_modified": 1}
A_LIFE: Final = "^.{1,100}$"
"""A worker's own."""

T = TypeVar("T")


class NameTaken(StateError):
    """Another living worker has this worker's name."""


class OwnName:
    """Takes a worker's name, and tells whether those of others are free.

    Args:
        dead_after: seconds of silence after which a worker counts as dead.
        acl: the rights of a new document.
        clock: seconds.
        misfits: hears of documents that are larger than a worker writes.
    """

    def __init__(
        self,
        me: WorkerInfo,
        pool: Pool,
        *,
        dead_after: float,
        log: Log,
        acl: Callable[[], Sequence[JsonObject]] = tuple,
        clock: Callable[[], float] = uptime,
        misfits: Told = ignored,
    ) -> None:
        self._me = me
        self._pool = pool
        self._reader = Reader(pooled_client(pool), KIND, misfits)
        self._dead_after = dead_after
        self._log = log
        self._acl = acl
        self._clock = clock
        self._too_large: set[str] = set()
        """Names whose documents this client cannot carry."""
        self._server_clock = ServerClock(pooled_client(pool), me.namespace)

    async def take(self, fresh: JsonObject) -> JsonObject | None:
        """Make the document of this name this life's; waits while another may live under it.

        Args:
            fresh: this life's document.

        Returns:
            The document that an earlier life left, or None.

        Raises:
            NameTaken: another living worker has the name.
            AccessDenied: the document is another user's.
            ServerError: the server refuses for long.
        """
        for _ in range(MOST_TRIES):
            found = await self._read(self._me.id)
            if found is None:
                if await self._inserted(fresh):
                    return None
                if await self._read(self._me.id) is None:
                    raise AccessDenied("the document is another user's", operation="insert_one")
                continue
            if text_of(found.get("life")) == self._me.life != "":
                return found  # written a moment ago; only the answer was lost
            if not _held(found, self._me.lock):
                living = await self._watched(self._me.id, found)
                if living is not None:
                    raise NameTaken(_taken(living))
            # On the condition that it is the one that was judged: another may have it by now.
            if await self._replaced(found, fresh):
                return found
        raise NameTaken(f"Worker {self._me.id}: others take this name all the time.")

    async def is_free(self, name: str, lock: str, *, wait: bool) -> bool | None:
        """Tell whether the worker of another name is dead for certain.

        Args:
            lock: the mark of the lock that it would hold if it lived here; that one is free.
            wait: whether to wait until it is known; else None is returned where it takes that.

        Raises:
            OpenIAPError: the server cannot say.
        """
        found = await self._read(name)
        if found is None or _held(found, lock):
            return True
        if not wait:
            return True if await self._silent(found) >= self._dead_after else None
        return await self._watched(name, found) is None

    async def _watched(self, name: str, before: JsonObject) -> JsonObject | None:
        """Wait until a document that is not this worker's speaks, and return it; None for a dead
        one, and for one that went."""
        left = self._dead_after - await self._silent(before)
        if left <= 0:
            return None
        self._log.info(
            f"worker {name} was heard of a moment ago, from another state directory; whether it"
            f" lives is known within {left:.0f} s"
        )
        end = self._clock() + left
        while self._clock() < end:
            await asyncio.sleep(min(LOOK_EVERY, self._dead_after / LOOKS))
            now = await self._read(name)
            if now is None or text_of(now.get("life")) == self._me.life != "":
                return None
            if now != before:
                return now
        return None

    async def _silent(self, document: JsonObject) -> float:
        """Return for how many seconds it is silent, as far as the server tells what time it is."""
        if is_gone(document):
            return self._dead_after
        try:
            now: datetime = await self._server_clock.now()
        except OpenIAPError:
            return 0.0
        peer = peer_of(document, now)
        if peer is None:  # nobody's: no worker writes such a one
            return self._dead_after
        # A heartbeat of the time to come was stamped before the server's clock was set back.
        return max(0.0, peer.silent)

    async def _read(self, name: str) -> JsonObject | None:
        """Return a document; of one that is larger than a worker writes, only when it was
        written."""

        async def read() -> JsonObject | None:
            query = {"_id": name}
            found = await self._reader.query(
                COLLECTION, query, FIELDS, top=1, about=name, needed=BARE
            )
            if found and found[0].keys() <= BARE.keys():
                self._too_large.add(name)
            return found[0] if found else None

        return await self._asked(read)

    async def _inserted(self, fresh: JsonObject) -> bool:
        acl = list(self._acl())

        async def insert(client: Client) -> bool:
            try:
                await client.insert_one(COLLECTION, {**fresh, "_acl": acl} if acl else fresh)
            except DuplicateKey:
                return False
            return True

        return await self._asked(lambda: self._pool.call(insert))

    async def _replaced(self, found: JsonObject, fresh: JsonObject) -> bool:
        """Put this life's document in the place of a dead one's; False if another was faster."""
        document = {**fresh, "items": found.get("items", [])}
        mine = _held(found, self._me.lock)
        of_then: JsonObject = {"_id": self._me.id}
        if self._me.id in self._too_large:
            of_then["life"] = {"$not": {"$regex": A_LIFE}}
        elif found.get("life") is None or text_of(found["life"]):
            of_then["life"] = found.get("life")

        async def replace(client: Client) -> bool:
            if mine:  # nobody else can be the next life of this one
                await upsert(client, COLLECTION, document, acl=self._acl())
                return True
            if client.capabilities.conditional_updates:
                change = {key: value for key, value in document.items() if key != "_id"}
                result = await client.update_document(COLLECTION, of_then, {"$set": change})
                if result.matched:
                    return True
            elif await client.delete_many(COLLECTION, of_then):
                return await self._inserted(document)
            if await client.query(COLLECTION, of_then, {"_id": 1}, top=1):
                raise AccessDenied("the document is another user's", operation="update_one")
            return False

        return await self._asked(lambda: self._pool.call(replace))

    async def _asked(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that may be repeated until it is answered.

        Raises:
            AccessDenied: this user may not.
            ServerError: refused for long.
        """
        since: float | None = None
        while True:
            try:
                await self._pool.wait_ready()
                return await call()
            except OpenIAPError as error:
                if not passes(error):
                    since = self._clock() if since is None else since
                    patient = isinstance(error, ServerError)
                    if not patient or self._clock() - since > PATIENCE:
                        raise
            await asyncio.sleep(PAUSE)


def _held(document: JsonObject, lock: str) -> bool:
    """Whether a document was written by who held a lock; "" is none."""
    return lock != "" and text_of(document.get("lock")) == lock


def _taken(document: JsonObject) -> str:
    name, host = text_of(document.get("_id")), text_of(document.get("host"))
    return (
        f"Worker {name} lives on {host} (pid {document.get('pid')}), with another state directory:"
        " give each worker a worker_id of its own, and a state_dir that is no copy."
    )
