"""Signals noticed, and the items that wait for them woken.

1. Every worker watches the collection; the watch is tried out after each sign-in by a document of
   the worker's own, and believed once that was told of.
2. The leading worker of an item's queue wakes at once, and its messages go first: many a worker is
   at its server's limit of messages. The next one does a second later, unless it has seen the item
   change; all others do nothing.
3. A worker that has just put an item back to wait looks once more for its signals: one may have
   come while it was written.
4. What nobody was told of is made good by a look at the signals since the last look: after each
   sign-in, and at the pace of polls where no watch tells; by the leading worker alone.
5. Notes of who cancels an item that runs come over the same watch, and are passed on.
"""

import asyncio
import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from worker.engine.awaiting.waker import SignalWaker, Told, told_of, waits_for
from worker.engine.fleet.leadership import Fleet
from worker.engine.queue_workers import QueueWorkers
from worker.engine.watch_test import MARK, is_test_document
from worker.item.cancelled import NOTE
from worker.item.outcome import SIGNALS, WAITS
from worker.item.signals import COLLECTION, REFUSED, sent_at
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey, OpenIAPError
from worker.openiap.fields import id_of, text_of
from worker.openiap.pool import Pool
from worker.openiap.reader import Reader
from worker.openiap.types import WatchEvent
from worker.openiap.values import iso
from worker.openiap.workitem import NEW, JsonObject
from worker.service import Service, cancelled
from worker.settings import Settings
from worker.telemetry.log import Log
from worker.uptime import uptime

ANY_SIGNAL: Final = "$.*.item"
"""No comparison: OpenIAP runs each in a script engine of its own; see ``watch_test.py``."""
FIELDS: Final[JsonObject] = {"item": 1, "name": 1, "wiq": 1, "_created": 1, "_createdby": 1}
ITEM_FIELDS: Final[JsonObject] = {"state": 1, "nextrun": 1, "wiq": 1, WAITS: 1}
NEXT_IN_LINE: Final = 1.0
"""Seconds after which the second worker wakes an item that the first one has not."""
SELDOM: Final = 900.0
"""Seconds between two looks where a watch tells."""
AT_ONCE: Final = 8
"""Items that are woken at once."""
AGAIN: Final = 5.0
"""Seconds after which is tried again what has failed."""
BACK: Final = timedelta(seconds=120)
"""A look goes so far behind the last one: what was being written then is seen by this one."""
PAGE: Final = 200
MOST_TOLD: Final = 10_000
"""Signals at most that wait for their turn, or for the server, to wake an item."""


class SignalWakes(Service):
    """One worker's.

    Args:
        queues: those that it works.
        client: waits for a link and for its turn.
        fleet: tells who leads.
        every: seconds between two looks where no watch tells.
        woken: told of a queue in which an item was woken.
    """

    def __init__(
        self,
        queues: Sequence[str],
        *,
        client: Client,
        pool: Pool,
        fleet: Fleet,
        waker: SignalWaker,
        every: float,
        woken: Callable[[str], None],
        log: Log,
    ) -> None:
        super().__init__(
            "signals",
            pause=AGAIN,
            on_error=partial(log.failed, "signals cannot be looked for"),
        )
        self._queues = tuple(queues)
        self._client = client
        self._pool = pool
        self._fleet = fleet
        self._waker = waker
        self._every = every
        self._woken = woken
        self._log = log
        self._reader = Reader(client, "signal")
        self._items = Reader(client, "work item")
        self._test = f"watch-test-{uuid.uuid4().hex}"
        self._watch = ""
        self._tried = False
        """Whether the watch was tried out since the last sign-in."""
        self.heard = False
        """Whether the watch has told of something since."""
        self.on_cancelled: Callable[[str], None] = lambda item_id: None
        """Told of an item that somebody has cancelled while it ran, wherever it runs."""
        self._asked = False
        """Whether was looked who leads, since then."""
        self._told: dict[str, tuple[float, Told]] = {}
        """By the signal's id: when it is to be acted on, ``uptime``."""
        self._waking: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._parked: dict[str, Sequence[str]] = {}
        """Items that were put back to wait, and are looked at once more; each with the signals that
        it is done with."""
        self._led: tuple[str, ...] = ()
        self._since: str = ""
        """From when on the next look looks; "" for all that there are."""
        self._look_at = 0.0

    async def start(self) -> None:
        """Begin, where there is a queue."""
        if self._queues:
            await super().start()

    async def stop(self) -> None:
        """Notice nothing more."""
        await super().stop()
        await cancelled(*self._waking)

    def signed_in(self) -> None:
        """There is another link: what was written meanwhile was not told."""
        self.heard = self._tried = self._asked = False
        self._look_at = 0.0
        self.trigger()

    def parked(self, item_id: str, past: Sequence[str] = ()) -> None:
        """An item was put back to wait.

        Args:
            past: the ids of the signals that it is done with: its document has the last of them.
        """
        self._parked[item_id] = past
        self.trigger()

    def changed(self, item_id: str) -> None:
        """An item has changed: whoever was to wake it has."""
        if self._told:
            for id, (_, told) in list(self._told.items()):
                if told.item == item_id:
                    del self._told[id]

    async def round(self) -> float:
        """Do what is to be done now; returns seconds until there is more."""
        await self._pool.wait_ready()
        if not self._tried:
            await self._listen()
        self._act()
        parked, self._parked = self._parked, {}
        try:
            if parked:
                await self._look({"item": {"$in": list(parked)}}, self._queues, parked)
            if self._look_at <= uptime():
                await self._look_at_all()
        except OpenIAPError:
            self._parked = parked | self._parked
            raise
        if self._parked:
            return 0.0
        now = uptime()
        times = [self._look_at, *(at for at, _ in self._told.values())]
        return max(0.0, min(times) - now)

    async def _listen(self) -> None:
        """Be told of what comes, where the server can."""
        if not self._client.server_config.get("supports_watch"):
            self._tried = True
            return
        try:
            if not self._watch:
                self._watch = await self._client.watch(COLLECTION, [ANY_SIGNAL], self._heard_of)
            await self._try_out()
        except OpenIAPError as error:
            if error.maybe_done:
                raise
            self._log.debug(f"no watch on signals ({error.text}); they are looked for")
        self._tried = True

    async def _try_out(self) -> None:
        document: JsonObject = {"_id": self._test, "_type": MARK, "item": "", MARK: True}
        try:
            await self._client.insert_one(COLLECTION, document)
        except DuplicateKey:  # an earlier one, whose link broke before it was taken away
            await self._client.delete_one(COLLECTION, self._test)
            await self._client.insert_one(COLLECTION, document)
        await self._client.delete_one(COLLECTION, self._test)

    def _heard_of(self, event: WatchEvent) -> None:
        document = event.document
        if is_test_document(document):
            self.heard = self.heard or id_of(document) == self._test
            return
        if document.get("_type") == NOTE:
            self.heard = True
            if event.operation != "delete":
                self.on_cancelled(text_of(document.get("item")))
            return
        told = told_of(document)
        if told is None or event.operation == "delete" or document.get(REFUSED):
            return
        self.heard = True
        turns = [turn for queue in self._queues_of(told) if (turn := self._turn(queue)) < 2]
        if not turns:
            return
        if len(self._told) + len(self._waking) >= MOST_TOLD:
            self._look_at = 0.0  # they are all found by a look
        else:
            self._told[told.id] = (uptime() + NEXT_IN_LINE * min(turns), told)
        self._act()  # a round that goes on may wait for an answer, or for its turn
        self.trigger()

    def _queues_of(self, told: Told) -> tuple[str, ...]:
        if not told.queue:
            return self._queues
        return (told.queue,) if told.queue in self._queues else ()

    def _turn(self, queue: str) -> int:
        """Return how many workers come first; 0 where that is not known."""
        return self._fleet.rank(queue) or 0

    def _act(self) -> None:
        """Wake for those signals whose time has come."""
        now = uptime()
        for id, (at, told) in list(self._told.items()):
            if at > now or self._told.pop(id, None) is None:
                continue
            queues = [queue for queue in self._queues_of(told) if self._turn(queue) < 2]
            task = asyncio.create_task(self._wake_beside(told, queues), name=f"wake {told.item}")
            self._waking.add(task)
            task.add_done_callback(self._waking.discard)

    async def _wake_beside(self, told: Told, queues: Sequence[str]) -> None:
        """Wake, while others are noticed: an answer that does not come holds up none of them."""
        try:
            async with self._at_once:
                await self._wake(told, queues)
        except OpenIAPError as error:
            self._log.debug(f"an item is not awake yet: {error.text}", item=told.item)
            self._look_at = min(self._look_at, uptime() + AGAIN)
            self.trigger()

    async def _wake(self, told: Told, queues: Sequence[str]) -> None:
        if queues and await self._waker.wake(told, queues):
            self._log.verbose(f"signal {told.name} wakes the item", item=told.item)
            for queue in queues:
                self._woken(queue)

    async def _look_at_all(self) -> None:
        """Look for signals that nobody was told of, in the queues that this worker leads."""
        if not self._asked and self._fleet.rank(self._queues[0]) is None:
            self._asked = True
            try:
                await self._fleet.peers()
            except OpenIAPError as error:
                self._log.debug(f"who leads is not known: {error.text}")
        led = tuple(queue for queue in self._queues if not self._turn(queue))
        if led != self._led:
            self._led, self._since = led, ""
        self._look_at = math.inf  # whoever wants another look meanwhile says so here
        try:
            if led:
                since = iso(self._fleet.server_now() - BACK)
                query: JsonObject = {"item": {"$gt": ""}}
                if self._since:
                    query["_created"] = {"$gte": self._since}
                await self._look(query, led)
                self._since = since
        except BaseException:
            self._look_at = 0.0
            raise
        self._look_at = min(self._look_at, uptime() + (SELDOM if self.heard else self._every))

    async def _look(
        self,
        query: JsonObject,
        queues: Sequence[str],
        past: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Wake the items that wait for one of the signals of a query.

        Args:
            past: by item, signals that it is known to be done with.
        """
        after = ""
        while True:
            asked = {**query, REFUSED: {"$exists": False}, "_id": {"$gt": after}}
            found = await self._reader.query(COLLECTION, asked, FIELDS, {"_id": 1}, top=PAGE)
            told = [one for document in _in_order(found) if (one := told_of(document))]
            waiting = await self._waiting({one.item for one in told}, queues)
            for one in told:
                item = waiting.get(one.item)
                if one.id in past.get(one.item, ()):
                    continue
                if item is not None and waits_for(item, one):
                    del waiting[one.item]
                    await self._wake(one, [text_of(item.get("wiq"))])
            if len(found) < PAGE:
                return
            after = text_of(found[-1].get("_id"))
            await asyncio.sleep(0)

    async def _waiting(
        self, ids: Iterable[str], queues: Sequence[str]
    ) -> dict[str, Mapping[str, Any]]:
        """Return those of some items that wait for a signal."""
        known = sorted(ids)
        if not known:
            return {}
        query: JsonObject = {
            "_id": {"$in": known},
            "state": NEW,
            "wiq": {"$in": list(queues)},
            f"{WAITS}.{SIGNALS}": {"$exists": True},
        }
        found = await self._items.query("workitems", query, ITEM_FIELDS, top=PAGE)
        return {id_of(document): document for document in found}


def _in_order(documents: Sequence[JsonObject]) -> list[JsonObject]:
    """Return signals as the server took them."""
    known = [(sent, document) for document in documents if (sent := sent_at(document))]
    return [document for _, document in sorted(known, key=lambda pair: pair[0])]


def wakes_for(
    settings: Settings,
    workers: QueueWorkers,
    *,
    client: Client,
    pool: Pool,
    fleet: Fleet,
    me: str,
    log: Log,
) -> SignalWakes:
    """Return what notices signals for a worker; see ``SignalWakes``.

    Args:
        me: the worker's id.
    """
    wakes = SignalWakes(
        tuple(workers.slots()),
        client=client,
        pool=pool,
        fleet=fleet,
        waker=SignalWaker(pool, worker_id=me, now=fleet.server_now, history=settings.history),
        every=settings.poll_interval,
        woken=workers.wake,
        log=log,
    )
    workers.on_changed = wakes.changed
    return wakes
