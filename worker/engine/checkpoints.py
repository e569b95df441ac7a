"""Checkpoints: what handlers ask of the worker while they run, besides files.

1. Progress and checkpoints are written at most once a second per item, the latest wins, and never
   after the handler has ended.
2. A write says what it is a write to: this very attempt. With a client that has conditional updates
   that is one atomic step; with the official one, for a user without the right to update, and for
   what a conditional update would change on its way, the item is read right before. The state stays
   ``processing``, so neither ``retries`` nor ``lastrun`` moves (server.md, Update).
3. A step's result is written at once, and until it is stored: the handler goes on only then. Those
   that come while one is written go together. Of what is stored nothing is sent again, where the
   client has conditional updates.
4. Follow-up items are checked now and pushed when the item has succeeded.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from worker.engine.awaiting.signal_documents import mark_refused, signals_for
from worker.engine.delivery.carried import carried
from worker.engine.delivery.document_rights import DocumentRights
from worker.engine.delivery.fence import PROJECTION, closer_of, closing_claim, judge, run_at
from worker.errors import LostItem
from worker.item.in_memory_store import follow_up
from worker.item.item import Item
from worker.item.long_work import StepClock
from worker.item.metadata import CHECKPOINT, KEY, PROGRESS, STEPS, joined
from worker.item.new_item import FollowUp, Push, Sender
from worker.item.outcome import released
from worker.item.steps import OF, Part
from worker.openiap.client import Client
from worker.openiap.errors import ItemNotFound, OpenIAPError, ServerError
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.reader import FirstTurn, Reader
from worker.openiap.values import json_text
from worker.openiap.workitem import JsonObject, Workitem
from worker.producer.insert import KnownQueue, KnownQueues
from worker.state.retrying import WAIT_FIRST, WAIT_MAX, passes
from worker.telemetry.log import Log
from worker.telemetry.spans import created

INTERVAL: Final = 1.0
REFUSED_PATIENCE: Final = 60.0
"""Seconds for which it is not believed that the server refuses a step's result."""

Place = tuple[Part, str]


class Checkpoints:
    """One worker's; see ``worker.item.item.ItemStore``.

    Args:
        rights: learns and tells which queues' items this user may not write as documents.
        now: the server's time as far as it is known.
    """

    def __init__(
        self,
        pool: Pool,
        sender: Sender,
        *,
        worker_id: str,
        log: Log,
        rights: DocumentRights | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._now = now
        self._sender = sender
        self._worker_id = worker_id
        self._log = log
        self._rights = rights or DocumentRights(lambda: pool.epoch, log)
        self._savers: dict[Item, _Saver] = {}
        client = pooled_client(pool)
        self._queues = KnownQueues(client)
        self._signal_reader = Reader(FirstTurn(pool), "signal")

    @property
    def sender(self) -> Sender:
        """Who carries pushes that do not wait for the item's end."""
        return self._sender

    async def save(self, item: Item, *, now: bool) -> None:
        """Store the item's metadata.

        Raises:
            LostItem: another has the item by now.
            OpenIAPError: with ``now``: it could not be stored.
        """
        try:
            await self._saver(item).save(now=now)
        except LostItem:
            self._savers.pop(item, None)  # a handler that was given up has no other end
            raise

    async def keep(self, item: Item, part: Part, key: str) -> None:
        """Store an entry of the item's steps, however often the link drops meanwhile.

        Raises:
            LostItem: another has the item by now.
            OpenIAPError: the server refuses it.
        """
        try:
            await self._saver(item).keep((part, key))
        except LostItem:
            self._savers.pop(item, None)
            raise

    async def clock(self, item: Item) -> StepClock:
        """Return the server's time; no earlier than when it gave the item out, since it is the
        server that says when a sleep is over."""
        popped = item.workitem.lastrun
        return StepClock(self._now() if popped is None else max(self._now(), popped))

    async def sleeps(self, item: Item, until: datetime) -> None:
        """The item itself says so to who runs the handler."""

    async def signals(self, item_id: str, name: str, past: list[str]) -> list[JsonObject]:
        """Return the first signals of a name that are not past, however often the link drops.

        Raises:
            OpenIAPError: the server refuses it.
        """
        await self._pool.wait_ready()
        return await signals_for(self._signal_reader, item_id, name, past)

    async def pass_over(self, item_id: str, signal_id: str, why: str) -> None:
        """Say on a signal, and in the log, why it does not fit."""
        self._log.warn(why, item=item_id)
        await mark_refused(self._pool, signal_id, why)

    def _saver(self, item: Item) -> "_Saver":
        saver = self._savers.get(item)
        if saver is None:
            saver = self._savers[item] = _Saver(self, item)
        return saver

    async def ended(self, item: Item, *, write: bool) -> None:
        """The handler has ended: nothing is written for it after this.

        Args:
            write: first write what the throttle holds back; an outcome of its own carries it else.
        """
        saver = self._savers.pop(item, None)
        if saver is not None:
            await saver.close(write=write)

    async def accept(self, item: Item, push: Push) -> FollowUp:
        """Return what is kept of a follow-up item until its item has succeeded.

        Raises:
            QueueNotFound: no such queue.
        """
        try:
            queue = await self._queues.of(push.queue)
        except OpenIAPError as error:
            if not _may_do_later(error):
                raise
            queue = KnownQueue()  # it is pushed the ordinary way, then; the handler goes on
        return created(replace(follow_up(item, push), wiqid=queue.wiqid, acl=queue.acl))

    async def write(self, item: Item, places: Sequence[Place] = ()) -> None:
        """Write the item's metadata, if the attempt is still this worker's.

        Args:
            places: the entries of its steps that are to be written; () for all but those.

        Raises:
            LostItem: it is not.
            OpenIAPError: it could not be written.
        """
        workitem = item.workitem

        async def write(client: Client) -> bool:
            if not client.capabilities.conditional_updates or self._rights.missing(workitem.wiq):
                return await self._look_and_write(client, item)
            run = run_at(workitem.lastrun)
            condition, _ = closing_claim(workitem.id, workitem.retries, run, self._worker_id)
            change = json_text(change_for(item, places))
            if not carried(change):
                return await self._look_and_write(client, item)
            if (await client.update_document("workitems", condition, change)).matched == 1:
                _written(item)
                return True
            # Somebody else's by now, or one whose document this user may not update.
            try:
                if not await self._look_and_write(client, item):
                    return False
            except ItemNotFound:
                return False
            self._rights.note_missing(workitem.wiq)
            return True

        if not await self._pool.call(write):
            raise LostItem(
                f"item {workitem.id} has a new owner; this attempt ({item.attempt}) is over"
            )

    async def _look_and_write(self, client: Client, item: Item) -> bool:
        workitem = item.workitem
        found = await client.query("workitems", {"_id": workitem.id}, PROJECTION, top=1)
        if found:
            judgement = judge(found[0], workitem, released(""), sent=False)
            closer = closer_of(found[0], workitem.retries)
            if judgement.verdict != "ours" or closer not in ("", self._worker_id):
                return False
        # No state: should the item have been taken over in this moment, it stays where it is.
        update = Workitem(
            id=workitem.id,
            name=workitem.name,
            payload=joined(item.payload, item.metadata),
            priority=workitem.priority,
            wiq=workitem.wiq,
            wiqid=workitem.wiqid,
        )
        await client.update_workitem(update)
        _written(item)
        return True

    def log_unsaved(self, item: Item, error: OpenIAPError) -> None:
        """A write did not do; the next one may, and the outcome of a failure carries it too."""
        self._log.debug(f"progress or checkpoint not stored: {error}", item=item.id)


def change_for(item: Item, places: Sequence[Place] = ()) -> JsonObject:
    """Return the change that writes an item's metadata: all of it as long as no steps stand on the
    item, then no more than what is new.

    Args:
        places: see ``Checkpoints.write``.
    """
    own, content = f"payload.{KEY}", item.metadata.content()
    steps = content.pop(STEPS, None)
    if steps is None:
        return {"$set": {own: content}}
    if item.steps.fresh:
        return {"$set": {own: {**content, STEPS: steps}}}
    if places:
        entries = {f"{own}.{STEPS}.{part}.{key}": steps[part][key] for part, key in places}
        return {"$set": {f"{own}.{STEPS}.{OF}": item.id, **entries}}
    gone = [name for name in (CHECKPOINT, PROGRESS) if name not in content]
    change: JsonObject = {}
    if content:
        change["$set"] = {f"{own}.{name}": value for name, value in content.items()}
    if gone:
        change["$unset"] = {f"{own}.{name}": "" for name in gone}
    return change


def _written(item: Item) -> None:
    """The payload on the server is not the one that was popped any more."""
    workitem = item.workitem
    workitem.text = workitem.came = ""
    if item.metadata.steps is not None:
        item.steps.fresh = False


class _Saver:
    """Writes one item's metadata, one write at a time."""

    def __init__(self, checkpoints: Checkpoints, item: Item) -> None:
        self._checkpoints = checkpoints
        self._item = item
        self._written = float("-inf")
        self._later: asyncio.Task[None] | None = None
        self._gate = asyncio.Lock()
        self._places: dict[Place, None] = {}
        self._lost: LostItem | None = None
        self._closed = False

    async def save(self, *, now: bool) -> None:
        if self._lost is not None:
            raise self._lost
        wait = self._written + INTERVAL - time.monotonic()
        if now:
            await self._write()
        elif wait > 0 or self._gate.locked():
            self._begin_later(wait)
        else:
            try:
                await self._write()
            except OpenIAPError as error:
                self._checkpoints.log_unsaved(self._item, error)
                if _may_do_later(error):
                    self._begin_later(INTERVAL)

    async def keep(self, place: Place) -> None:
        """Return once an entry is stored."""
        self._places[place] = None
        wait, refused = WAIT_FIRST, 0.0
        while True:
            try:
                await self._write_places(place)
                return
            except OpenIAPError as error:
                self._checkpoints.log_unsaved(self._item, error)
                refused += 0.0 if passes(error) else wait
                if not _may_do_later(error) or refused > REFUSED_PATIENCE:
                    raise
            await asyncio.sleep(wait)
            wait = min(WAIT_MAX, 2 * wait)

    async def _write_places(self, place: Place | None) -> None:
        """Write the entries that are to be, unless somebody has written this one meanwhile."""
        async with self._gate:
            if self._lost is not None:
                raise self._lost
            places = tuple(self._places)
            if self._closed or not places or (place is not None and place not in self._places):
                return
            try:
                await self._checkpoints.write(self._item, places)
            except LostItem as lost:
                self._lost = lost
                raise
            for one in places:
                self._places.pop(one, None)

    def _begin_later(self, wait: float) -> None:
        if self._later is None or self._later.done():
            self._later = asyncio.get_running_loop().create_task(self._write_later(wait))

    async def close(self, *, write: bool) -> None:
        if self._later is not None and not self._later.done() and not self._gate.locked():
            self._later.cancel()
            if write:
                await self._write_once()
        if write and self._places and not self._gate.locked():
            with suppress(OpenIAPError, LostItem):  # the step runs again, then
                await self._write_places(None)
        async with self._gate:  # a write that is on its way comes before the outcome
            self._closed = True

    async def _write_later(self, wait: float) -> None:
        while True:
            await asyncio.sleep(max(0.0, wait))
            if await self._write_once():
                return
            wait = INTERVAL

    async def _write_once(self) -> bool:
        """Write; False where that may do later."""
        try:
            await self._write()
        except OpenIAPError as error:
            self._checkpoints.log_unsaved(self._item, error)
            return not _may_do_later(error)
        except LostItem:
            pass  # kept: the next save says so
        return True

    async def _write(self) -> None:
        async with self._gate:
            if self._closed:
                return
            self._written = time.monotonic()
            try:
                await self._checkpoints.write(self._item)
            except LostItem as lost:
                self._lost = lost
                raise


def _may_do_later(error: OpenIAPError) -> bool:
    return passes(error) or isinstance(error, ServerError)
