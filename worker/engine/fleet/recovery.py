"""Recovery: what an earlier life of this worker left, settled before the first pop.

1. Outcomes that were computed and not delivered are sent.
2. Items that were in flight when it ended are put back, with what is known of the end.
3. What the server will not have yet is tried on beside the work: no item waits for it.
4. What dead siblings in the same state directory left is settled as well: the lock of its outbox
   proves that a sibling is dead, wherever its heartbeats are. This is done at a start only: later,
   a sibling that is started again would put back what is being sent for it here.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from worker.engine.delivery.delivery import Delivery, succeeded
from worker.engine.delivery.follow_ups import FollowUps
from worker.engine.delivery.writeback import WriteBack
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.presence import Claimed
from worker.engine.fleet.takeover import Orphan, TakeOver
from worker.engine.outbox.outbox import Outbox, OutboxRow
from worker.engine.outbox.rows import outcome_from, outcome_text
from worker.engine.outbox.spool import Spool
from worker.engine.outbox.sqlite import StoredRow
from worker.errors import StateError
from worker.item.attempt_id import AttemptId, attempt_id
from worker.openiap.errors import FileTransferError
from worker.openiap.workitem import Workitem
from worker.service import cancelled
from worker.telemetry.log import Log

AT_ONCE: Final = 16
START_WITHIN: Final = 30.0
"""Seconds that the first pop waits for what an earlier life left."""
STOPPED: Final = "it was stopped before it could be handed back"
ENDED: Final = "its process ended without a word (killed, crashed, or the machine went down)"


class Recovery:
    """Settles what is left; ``run`` returns when everything is, or after a while; then ``stop``."""

    def __init__(
        self,
        outbox: Outbox | None,
        spool: Spool,
        heartbeat: Heartbeat,
        writeback: WriteBack,
        take_over: TakeOver,
        followups: FollowUps | None = None,
        *,
        log: Log,
        start_within: float = START_WITHIN,
    ) -> None:
        self._outbox = outbox
        self._spool = spool
        self._heartbeat = heartbeat
        self._writeback = writeback
        self._take_over = take_over
        self._followups = followups
        self._log = log
        self._start_within = start_within
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Send outcomes, then hand back orphans; what takes long goes on after this returns.

        Raises:
            StateError: a worker with this identity lives on another host.
        """
        rows = await self._outbox.pending() if self._outbox is not None else []
        self._spool.sweep(keep=[(row.item_id, row.retries) for row in rows])
        claims = await self._heartbeat.previous_claims() if self._heartbeat.usable else []
        self._task = asyncio.create_task(self._settle_all(rows, claims), name="recovery")
        await asyncio.wait({self._task}, timeout=self._start_within)
        if self._task.done():
            await self._task
            return
        self._log.warn(
            "what an earlier life left is not settled yet; the worker begins, and tries on"
        )
        self._task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error(f"what an earlier life left stays: {type(error).__name__}: {error}")

    async def stop(self) -> None:
        """Try no more; what is left stays in the outbox."""
        task, self._task = self._task, None
        if task is not None:
            await cancelled(task)

    async def _settle_all(self, rows: Sequence[OutboxRow], claims: Sequence[Claimed]) -> None:
        known = {attempt_id(row.workitem) for row in rows}
        orphans = orphans_of(claims, known, self._me)
        await self._settle(rows, self._me, beside=len(orphans))
        await asyncio.gather(*(self._take(orphan) for orphan in orphans))
        if self._outbox is not None:
            await self._adopt_siblings(self._outbox)

    async def _adopt_siblings(self, outbox: Outbox) -> None:
        """Take over what dead siblings left, and settle it."""
        for sibling in Outbox.adoptable(outbox.path.parent):
            gone: list[tuple[str, str]] = []
            try:
                rows = await outbox.adopt(sibling, partial(self._carry, gone=gone))
            except StateError as error:  # it lives again, or its file cannot be read
                self._log.info(f"the outbox of {sibling} is left alone: {error}")
                continue
            for item_id, reason in gone:
                self._log.warn(f"an attachment of a dead worker is gone: {reason}", item=item_id)
            await self._settle(rows, sibling)

    def _carry(self, row: StoredRow, gone: list[tuple[str, str]]) -> StoredRow:
        """Take a sibling's attachments over into our own spool: its next life tidies up its own.

        In the outbox's thread.

        Args:
            gone: gets the item and the reason of what cannot be had any more.
        """
        try:
            outcome = None if row.outcome is None else outcome_from(row.outcome)
        except (ValueError, TypeError):
            return row  # unreadable, whoever reads it
        if outcome is None or not outcome.attachments:
            return row
        taken: list[tuple[str, str]] = []
        for name, path in outcome.attachments:
            try:
                kept = self._spool.inherit(Path(path), name, row.item_id, row.retries)
            except (FileTransferError, StateError) as error:
                gone.append((row.item_id, str(error)))
                kept = Path(path)
            taken.append((name, str(kept)))
        return replace(row, outcome=outcome_text(replace(outcome, attachments=tuple(taken))))

    async def _settle(self, rows: Sequence[OutboxRow], owner: str, beside: int = 0) -> None:
        """Settle what the outbox of one worker held.

        Args:
            beside: how many items it had besides: the disk may have refused their rows.
        """
        outcomes = [row for row in rows if row.outcome is not None]
        begun = [row for row in rows if row.outcome is None]
        if rows:
            self._log.info(
                f"left by an earlier life of {owner}: {len(outcomes)} outcomes to send,"
                f" {len(begun)} items to hand back"
            )
        await asyncio.gather(*(self._send(row, owner) for row in outcomes))
        alone = len(begun) + beside == 1
        await asyncio.gather(*(self._hand_back(row, owner, alone=alone) for row in begun))

    @property
    def _me(self) -> str:
        return self._heartbeat.me.id

    async def _send(self, row: OutboxRow, owner: str) -> None:
        if row.outcome is None or self._outbox is None:
            return
        async with self._gate:
            delivery = Delivery(row.workitem, row.outcome, sent=True, over=(owner,))
            delivered = await self._writeback.deliver(delivery)
            outcome = delivery.outcome
            if self._followups is not None and outcome.pushes and succeeded(outcome, delivered):
                await self._followups.deliver(outcome.pushes)
        if delivered.result == "applied":
            self._outbox.delivered(row.item_id, row.retries)
        else:
            self._outbox.refused(row.item_id, row.retries, delivered.reason)
        self._spool.discard_outputs(row.item_id, row.retries)

    async def _hand_back(self, row: OutboxRow, owner: str, *, alone: bool) -> None:
        if self._outbox is None:
            return
        # A life that ended on purpose counted none; on a disk that refuses none can be counted.
        died = row.deaths > 0 or not self._outbox.healthy
        how = ENDED if died else STOPPED
        orphan = Orphan(
            row.workitem, owner, how, died, alone=died and alone, gone=True, deaths=row.deaths
        )
        await self._take(orphan)
        self._outbox.settled(row)

    async def _take(self, orphan: Orphan) -> None:
        async with self._gate:
            await self._take_over.take(orphan)


def orphans_of(claims: Sequence[Claimed], known: set[AttemptId], me: str) -> list[Orphan]:
    """Return the items that the presence document of an earlier life claims, unless known.

    Without a row of our own nothing proves that it was this machine's, and has ended.
    """
    found = []
    for claim in claims:
        if claim.attempt in known:
            continue
        workitem = Workitem(
            id=claim.id,
            payload=None,
            retries=claim.retries,
            wiq=claim.queue,
            lastrun=claim.lastrun,
        )
        found.append(Orphan(workitem, me, ENDED, died=True, alone=claim.alone))
    return found
