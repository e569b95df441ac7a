"""Recovery: what an earlier life of this worker left, settled before the first pop.

1. Outcomes that were computed and not delivered are sent.
2. Items that were in flight when it ended are put back, with what is known of the end.
3. What the server will not have yet is tried on beside the work: no item waits for it, and none of
   the others that are left.
4. What dead siblings in the same state directory left is settled as well: the lock of its outbox
   proves that a sibling is dead, unless this directory is a copy of one whose worker lives, which
   its heartbeats tell. This is done at a start only: later, a sibling that is started again would
   put back what is being sent for it here.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from worker.engine.delivery.delivery import Delivered, Delivery, succeeded
from worker.engine.delivery.fence import run_at
from worker.engine.delivery.follow_ups import FollowUps, Unpushed
from worker.engine.delivery.settlement import follow_up, settle
from worker.engine.delivery.writeback import WriteBack
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.presence import Claimed
from worker.engine.fleet.takeover import Orphan, TakeOver
from worker.engine.outbox.identity import lock_path
from worker.engine.outbox.lockfile import mark_of
from worker.engine.outbox.outbox import Outbox, OutboxRow
from worker.engine.outbox.rows import outcome_from, outcome_text
from worker.engine.outbox.spool import Spool
from worker.engine.outbox.sqlite import StoredRow
from worker.errors import StateError
from worker.item.attempt_id import AttemptId, attempt_id
from worker.item.outcome import Outcome
from worker.openiap.errors import FileTransferError, OpenIAPError
from worker.openiap.workitem import Workitem
from worker.service import cancelled
from worker.telemetry.counts import Counts
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
        counts: Counts | None = None,
        log: Log,
        start_within: float = START_WITHIN,
    ) -> None:
        self._outbox = outbox
        self._spool = spool
        self._heartbeat = heartbeat
        self._writeback = writeback
        self._take_over = take_over
        self._followups = followups
        self._counts = counts or Counts()
        self._log = log
        self._start_within = start_within
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._task: asyncio.Task[None] | None = None
        self._doubtful: asyncio.Task[None] | None = None
        """Siblings of which it is not known yet whether they live elsewhere."""

    async def run(self) -> None:
        """Send outcomes, then hand back orphans; what takes long goes on after this returns.

        Raises:
            NameTaken: another living worker has this worker's name.
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
        tasks, self._task, self._doubtful = (self._task, self._doubtful), None, None
        for task in tasks:
            if task is not None:
                await cancelled(task)

    async def _settle_all(self, rows: Sequence[OutboxRow], claims: Sequence[Claimed]) -> None:
        known = {attempt_id(row.workitem) for row in rows}
        orphans = orphans_of(claims, known, self._me)
        await asyncio.gather(
            self._settle(rows, self._me, claims=claims, beside=len(orphans)),
            *(self._take_claimed(orphan) for orphan in orphans),
        )
        if self._outbox is not None:
            await self._adopt_siblings(self._outbox)

    async def _adopt_siblings(self, outbox: Outbox) -> None:
        """Take over what dead siblings left, and settle it; nobody waits for the doubtful."""
        doubtful: list[str] = []
        for sibling in Outbox.adoptable(outbox.path.parent):
            if not await self._adopt(outbox, sibling, wait=False):
                doubtful.append(sibling)
        if doubtful:
            self._doubtful = asyncio.create_task(self._adopt_later(outbox, doubtful))

    async def _adopt_later(self, outbox: Outbox, siblings: Sequence[str]) -> None:
        await asyncio.gather(*(self._adopt(outbox, one, wait=True) for one in siblings))

    async def _adopt(self, outbox: Outbox, sibling: str, *, wait: bool) -> bool:
        """Take over what one sibling left; False where it may live elsewhere."""
        lock = mark_of(lock_path(outbox.path.parent, sibling))
        try:
            dead = await self._heartbeat.is_dead(sibling, lock, wait=wait)
        except OpenIAPError as error:
            self._log.warn(f"whether {sibling} lives cannot be asked: {error}")
            dead = False
        if dead is None:
            return False
        if not dead:
            self._log.warn(
                f"the outbox of {sibling} is left alone: that worker lives with another state"
                " directory, of which this one is a copy"
            )
            return True
        gone: list[tuple[str, str]] = []
        try:
            rows = await outbox.adopt(sibling, partial(self._carry, gone=gone))
        except StateError as error:  # it lives again, or its file cannot be read
            self._log.info(f"the outbox of {sibling} is left alone: {error}")
            return True
        for item_id, reason in gone:
            self._log.warn(f"an attachment of a dead worker is gone: {reason}", item=item_id)
        await self._settle(rows, sibling)
        return True

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

    async def _settle(
        self,
        rows: Sequence[OutboxRow],
        owner: str,
        *,
        claims: Sequence[Claimed] = (),
        beside: int = 0,
    ) -> None:
        """Settle what the outbox of one worker held.

        Args:
            claims: what its last heartbeat told.
            beside: how many items it had besides: the disk may have refused their rows.
        """
        outcomes = [row for row in rows if row.outcome is not None]
        begun = [row for row in rows if row.outcome is None]
        if rows:
            self._log.info(
                f"left by an earlier life of {owner}: {len(outcomes)} outcomes to send,"
                f" {len(begun)} items to hand back"
            )
        single = len(begun) + beside == 1
        await asyncio.gather(
            *(
                self._settled(row, owner, alone=single or told_alone(claims, row.workitem))
                for row in (*outcomes, *begun)
            )
        )

    @property
    def _me(self) -> str:
        return self._heartbeat.me.id

    async def _settled(self, row: OutboxRow, owner: str, *, alone: bool) -> None:
        """Settle one row; whatever is odd about it, it stays and the others go on."""
        try:
            if row.outcome is None:
                await self._hand_back(row, owner, alone=alone)
            else:
                await self._send(row, row.outcome, owner)
        except Exception as error:  # of whatever kind, it is this row's alone
            self._log.failed(f"what {owner} left of item {row.item_id} stays in the outbox", error)

    async def _send(self, row: OutboxRow, outcome: Outcome, owner: str) -> None:
        if self._outbox is None:
            return
        unpushed: Sequence[Unpushed] = ()
        async with _Place(self._gate) as place:
            delivered = Delivered("applied", state=outcome.state)
            if not row.accepted:
                delivery = Delivery(
                    row.workitem,
                    outcome,
                    sent=True,
                    over=(owner,),
                    on_overdue=place.leave,
                    overdue_after=0.0,
                )
                delivered = await self._writeback.deliver(delivery)
                outcome = delivery.outcome
            if self._followups is not None and outcome.pushes and succeeded(outcome, delivered):
                unpushed = await follow_up(
                    self._followups,
                    row.workitem,
                    outcome,
                    self._outbox,
                    on_overdue=place.leave,
                    overdue_after=0.0,
                )
        for _ in unpushed:
            self._counts.unpushed(row.queue)
        settle(self._outbox, row.workitem, outcome, delivered, unpushed)
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
        delivered = await self._take(orphan)
        if delivered.result == "refused":
            self._outbox.refused(row.item_id, row.retries, delivered.reason)
        else:
            self._outbox.settled(row)

    async def _take_claimed(self, orphan: Orphan) -> None:
        try:
            await self._take(orphan)
        except Exception as error:  # the rescuer finds it
            self._log.failed(f"item {orphan.workitem.id} cannot be put back", error)

    async def _take(self, orphan: Orphan) -> Delivered:
        async with _Place(self._gate) as place:
            return await self._take_over.take(orphan, on_overdue=place.leave)


class _Place:
    """One of so many that act at once; who is refused leaves it to the others, and tries on."""

    def __init__(self, gate: asyncio.Semaphore) -> None:
        self._gate = gate
        self._held = False

    async def __aenter__(self) -> "_Place":
        await self._gate.acquire()
        self._held = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Let another have it; idempotent."""
        if self._held:
            self._held = False
            self._gate.release()


def told_alone(claims: Sequence[Claimed], workitem: Workitem) -> bool:
    """Whether the last heartbeat said of this very run that its handler runs alone.

    It claims items beside it whose outcomes were on their way then and have arrived since: they are
    in no outbox any more, and killed nobody.
    """
    return any(
        claim.alone
        and claim.attempt == attempt_id(workitem)
        and run_at(claim.lastrun) == run_at(workitem.lastrun)
        for claim in claims
    )


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
