"""Write-back: one outcome is sent until the server has it, or has refused it for good.

1. With a client that has conditional updates, an outcome is one of those (``conditional.py``).
2. What cannot go that way goes by OpenIAP's own update: where another may have the item by now, it
   is looked at first, and its run is claimed (``owner.py``). A dropped link or a timeout means
   "maybe done": the item is read before anything is repeated.
3. What is refused is sent again, for as long as there is hope (``refusals.py``).
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from worker.engine.delivery.attachments import store_attachments
from worker.engine.delivery.conditional import ConditionalWrite
from worker.engine.delivery.decided import Decided
from worker.engine.delivery.delivery import Delivered, Delivery, due_for_certain
from worker.engine.delivery.document_rights import DocumentRights
from worker.engine.delivery.ending import state_after
from worker.engine.delivery.given_back import gives_back
from worker.engine.delivery.origins import Origins
from worker.engine.delivery.owner import Owner
from worker.engine.delivery.queue_rules import QueueRulesReader
from worker.engine.delivery.refusals import PATIENCE, NotYet, Refusals
from worker.engine.delivery.release import handed_back, retried, taken_over
from worker.engine.delivery.server_clock import ServerClock, Stamp
from worker.engine.delivery.steps_apart import StepsApart
from worker.engine.delivery.timeline import Timelines
from worker.item.outcome import NOTHING_RAISED, Outcome, update_of
from worker.openiap.client import Client
from worker.openiap.connection import LinkLog
from worker.openiap.errors import (
    AccessDenied,
    FileTransferError,
    ItemNotFound,
    LocalFileError,
    OpenIAPError,
    PayloadTooLarge,
    QueueNotFound,
    ServerError,
    Unsupported,
)
from worker.openiap.fields import moment_of
from worker.openiap.pool import Pool
from worker.openiap.workitem import NEW, RETRY, JsonObject, Workitem, WorkitemFile
from worker.uptime import uptime

WAIT_FIRST: Final = 0.5
WAIT_MAX: Final = 30.0


class WriteBack:
    """Sends outcomes over the pool.

    Args:
        rights: learns and tells which queues' items this user may not write as documents.
        rules: what the queues say of their items' ends.
        worker_id: who closes an attempt, for the fence and for log lines.
        lease: seconds after a pop from which the item is looked at before it is written.
        patience: seconds for which the server may refuse an outcome before that is believed.
        clock: seconds that go on while the machine sleeps.
        server_stamp: the server's last on a heartbeat, or None where there was none.
        now: what times of retries are reckoned from.
        history: entries that an item's timeline keeps.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        worker_id: str,
        lease: float,
        log: LinkLog,
        rights: DocumentRights | None = None,
        rules: QueueRulesReader | None = None,
        patience: float = PATIENCE,
        clock: Callable[[], float] = uptime,
        server_stamp: Callable[[], Stamp | None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: random.Random | None = None,
        history: int = 0,
    ) -> None:
        self._pool = pool
        self._worker_id = worker_id
        self._lease = lease
        self._log = log
        self._refusals = Refusals(worker_id, patience=patience, clock=clock, log=log)
        self._clock = clock
        self._now = now
        self._chance = chance or random.Random()  # noqa: S311 (jitter, no secret)
        self._warned_of_cost = False
        self._rights = rights or DocumentRights(lambda: pool.epoch, log)
        self._rules = rules or QueueRulesReader(pool, clock)
        self._time = ServerClock(clock, server_stamp)
        self._timelines = Timelines(worker_id, history, now)
        decided = Decided(pool, log)
        self._owner = Owner(
            pool, worker_id=worker_id, rights=self._rights, decided=decided, log=log
        )
        self._origins = Origins(self._owner, self._rules)
        self._steps_apart = StepsApart(pool, self._owner, self._rights)
        self._conditional = ConditionalWrite(
            pool,
            worker_id=worker_id,
            rights=self._rights,
            rules=self._rules,
            owner=self._owner,
            decided=decided,
            now=now,
            time=self._time,
            timelines=self._timelines,
            log=log,
        )
        self._carries_times: bool | None = None

    @property
    def fenced(self) -> int:
        """How many outcomes came too late."""
        return self._owner.fenced

    async def deliver(self, delivery: Delivery) -> Delivered:
        """Send until accepted or refused for good; ends early only by cancellation."""
        longest = 0.0
        while True:
            try:
                ended = await self._try(delivery)
                return ended if ended.took else replace(ended, took=delivery.took)
            except NotYet as problem:
                self._log.warn(
                    f"outcome not delivered yet: {problem}",
                    item=delivery.workitem.id,
                    outcome=delivery.outcome.kind,
                )
            await asyncio.sleep(self._chance.uniform(0.0, longest))
            longest = min(WAIT_MAX, max(WAIT_FIRST, 2 * longest))

    async def _try(self, delivery: Delivery) -> Delivered:
        if not self._pool.ready:
            await self._pool.wait_ready()
        try:
            ended = await self._conditional.write(delivery, look=self._needs_check)
            if ended is None and self._needs_check(delivery):
                ended = await self._owner.check(delivery)
            return ended or await self._send(delivery)
        except ItemNotFound as error:
            return Delivered("gone", error.text)
        except LocalFileError as error:
            self._refusals.unreadable(delivery, error)
        except FileTransferError as error:
            delivery.outcome = Outcome(
                "failed", None, f"The item's files: {error.text}", NOTHING_RAISED
            )
            delivery.uploaded = None
            raise NotYet(error) from error
        except (ServerError, QueueNotFound, AccessDenied, Unsupported, PayloadTooLarge) as error:
            return self._refusals.refused(delivery, error)
        except OpenIAPError as error:
            if error.maybe_done:
                delivery.sent = True
            raise NotYet(error) from error
        except OSError as error:
            self._refusals.unreadable(
                delivery, LocalFileError(str(error), operation="update_workitem")
            )
        except (TypeError, ValueError) as error:  # a payload that cannot be sent
            text = f"{type(error).__name__}: {error}"
            return self._refusals.refused(delivery, ServerError(text, operation="update_workitem"))

    def _needs_check(self, delivery: Delivery) -> bool:
        if (
            delivery.sent
            or delivery.unfit
            or delivery.popped is None
            or delivery.epoch != self._pool.epoch
        ):
            return True
        return self._clock() - delivery.popped > self._lease

    async def _send(self, delivery: Delivery) -> Delivered:
        outcome = delivery.outcome
        if outcome.kind == "released":
            return await self._release(delivery)
        files = delivery.uploaded
        if outcome.attachments and files is None:
            files = delivery.uploaded = await store_attachments(
                self._pool, delivery.workitem, outcome.attachments
            )
        update = update_of(delivery.workitem, outcome)
        spared, ended = False, None
        if outcome.kind == "application" and delivery.workitem.retries:
            allowed = await self._rules.maxretries(delivery.workitem.wiq)
            spared = await gives_back(self._pool, delivery.workitem, allowed)
        update = await self._told(delivery, update, spared=spared)
        if not spared:
            marked = await self._origins.marked(delivery, update)
            if marked is not update:
                parted = await self._steps_apart.move(delivery, marked)
                if isinstance(parted, Delivered):
                    return parted
                marked = parted
            update = marked
        if delivery.steps_apart and delivery.outcome.kind == "successful":
            ended = await self._steps_apart.forget(delivery)
            if ended is not None:
                return ended
        if update.nextrun is not None:
            ended = await self._put_back(delivery, update.nextrun, spared=spared)
        if ended is None and outcome.kind == "application" and delivery.outcome is outcome:
            ended = await self._concluded(delivery)
        if ended is not None:
            return ended
        if delivery.outcome is not outcome:
            return await self._send(delivery)  # it was cancelled
        return await self._update(delivery, update, files, ignoremaxretries=spared)

    async def _concluded(self, delivery: Delivery) -> Delivered | None:
        """Look at an item that OpenIAP's own update is to put back; it may be cancelled."""
        document = await self._owner.read(delivery.workitem.id)
        return None if document is None else await self._owner.concluded(delivery, document)

    async def _told(self, delivery: Delivery, update: Workitem, *, spared: bool) -> Workitem:
        """Return an update with what becomes of the run; see ``Timelines``."""
        if not self._timelines.kept:
            return update
        rules = None if spared else await self._rules.of(delivery.workitem)
        state = NEW
        if rules is not None:
            state = state_after(delivery.outcome, delivery.workitem.retries, rules)
        return self._timelines.in_payload(delivery, update, state)

    async def _update(
        self,
        delivery: Delivery,
        update: Workitem,
        files: Sequence[WorkitemFile] | None = None,
        *,
        ignoremaxretries: bool = False,
    ) -> Delivered:
        stored = await self._pool.call(
            lambda client: delivery.timed(
                client.update_workitem(update, files or (), ignoremaxretries)
            ),
            turn="first",
        )
        delivery.sent = True
        return Delivered("applied", state=stored.state, nextrun=due_for_certain(stored.nextrun))

    async def _put_back(
        self, delivery: Delivery, at: datetime, *, spared: bool
    ) -> Delivered | None:
        """Put the item back for a chosen time where an update cannot carry that: by its document,
        which only its owner may write, so it is looked at right before. None where an update does:
        the last attempt goes that way too, so that the server fails the item and passes it on.
        """
        workitem = delivery.workitem
        if self._carries_times is None:
            self._carries_times = await self._pool.call(_carries_times)
        if self._carries_times or self._rights.missing(workitem.wiq):
            return None
        if not spared and workitem.retries + 1 >= await self._rules.maxretries(workitem.wiq):
            return None
        document = await self._owner.read(workitem.id, None)
        if document is None:
            return None  # gone, or not readable for this user: the update itself will tell
        ended = await self._owner.concluded(delivery, document)
        if ended is not None or delivery.outcome.kind != "application":
            return ended
        there = self._time.now(delivery, moment_of(document.get("lastrun")))
        due = at if there is None else there + (at - self._now())
        back = self._timelines.in_document(
            delivery, retried(document, delivery.outcome, due), at=at
        )
        try:
            await self._pool.call(lambda client: client.update_one("workitems", back), turn="first")
        except AccessDenied as error:  # any other refusal is waited out
            self._rights.note_missing(workitem.wiq, error.text)
            return None
        return Delivered("applied", state=NEW, nextrun=at)

    async def _release(self, delivery: Delivery) -> Delivered:
        """Hand the item back, or park it, without costing an attempt (server.md, Documents).

        Only its owner may write an item's document, so it is looked at right before; a user
        without the rights hands it back as a retry.
        """
        waits = delivery.outcome.waits
        document = await self._owner.read(delivery.workitem.id, None)
        if document is not None:
            ended = await self._owner.concluded(delivery, document)
            if ended is not None:
                return ended
            if delivery.outcome.kind != "released":
                return await self._send(delivery)  # cancelled
            now = self._time.by_heartbeat()
            if delivery.outcome.source:
                back = taken_over(document, delivery.outcome, now, raises=delivery.raises)
            else:
                back = handed_back(document, waits, now)
            back = self._timelines.in_document(delivery, back)
            try:
                await self._pool.call(partial(_replaced, document=back), turn="first")
            except (AccessDenied, Unsupported) as error:  # any other refusal is waited out
                self._warn_of_cost(delivery, error)
            else:
                if waits is None:
                    return Delivered("applied", state=NEW)
                return Delivered("applied", state=NEW, nextrun=waits.until, parked=True)
        update = replace(
            update_of(delivery.workitem, delivery.outcome),
            state=RETRY,
            errormessage=delivery.outcome.message or "worker stopped",
            errorsource=delivery.outcome.source or NOTHING_RAISED,
            errortype="application",
            nextrun=None if waits is None else waits.unparked_until or waits.until,
        )
        update = self._timelines.in_payload(delivery, update, NEW)
        # Nobody must end as failed for being handed back.
        delivered = await self._update(delivery, update, ignoremaxretries=True)
        return replace(delivered, cost=True)

    def _warn_of_cost(self, delivery: Delivery, error: OpenIAPError) -> None:
        if delivery.outcome.waits is None:
            self._log.warn(
                f"cannot hand back without costing an attempt: {error.text}",
                item=delivery.workitem.id,
            )
        elif not self._warned_of_cost:
            self._warned_of_cost = True
            self._log.warn(
                "items that wait for their key or for a rate cost an attempt each time, and wait"
                " for the queue's retrydelay: this user may not write the documents of items"
                f" ({error.text})"
            )


async def _replaced(client: Client, document: JsonObject) -> None:
    """Write an item's document; one refusal without a reason is no lack of rights."""
    try:
        await client.update_one("workitems", document)
    except ServerError:
        await client.update_one("workitems", document)


async def _carries_times(client: Client) -> bool:
    return client.capabilities.nextrun_on_update
