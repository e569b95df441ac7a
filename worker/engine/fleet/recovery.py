"""Recovery: what an earlier life of this worker left, settled before the first pop.

1. Outcomes that were computed and not delivered are sent.
2. Items that were in flight when it ended are put back, with what is known of the end.
3. What the server will not have yet is tried on beside the work: no item waits for it.
4. What dead siblings in the same state directory left is settled as well.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from worker.engine.delivery.delivery import Delivery, succeeded
from worker.engine.delivery.follow_ups import FollowUps
from worker.engine.delivery.writeback import WriteBack
from worker.engine.fleet.adoption import Adoption
from worker.engine.fleet.heartbeat import Presence
from worker.engine.fleet.takeover import Orphan, TakeOver
from worker.engine.outbox.outbox import Outbox, OutboxRow
from worker.engine.outbox.spool import Spool
from worker.openiap.values import moment_of, number
from worker.openiap.workitem import JsonObject, Workitem
from worker.telemetry.log import Log

AT_ONCE: Final = 16
START_WITHIN: Final = 30.0
"""Seconds that the first pop waits for what an earlier life left."""
ENDED: Final = "its process ended without a word (killed, crashed, or the machine went down)"


class Recovery:
    """Settles what is left; ``run`` returns when everything is, or after a while; then ``stop``."""

    def __init__(
        self,
        outbox: Outbox | None,
        spool: Spool,
        presence: Presence,
        writeback: WriteBack,
        take_over: TakeOver,
        followups: FollowUps | None = None,
        *,
        log: Log,
        start_within: float = START_WITHIN,
    ) -> None:
        self._outbox = outbox
        self._spool = spool
        self._presence = presence
        self._writeback = writeback
        self._take_over = take_over
        self._followups = followups
        self._log = log
        self._start_within = start_within
        self._adoption = None
        if outbox is not None:
            self._adoption = Adoption(outbox, spool, self._settle, log=log)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Send outcomes, then hand back orphans; what takes long goes on after this returns.

        Raises:
            StateError: a worker with this identity lives on another host.
        """
        rows = await self._outbox.pending() if self._outbox is not None else []
        self._spool.sweep(keep=[(row.item_id, row.retries) for row in rows])
        claims = await self._presence.previous_claims() if self._presence.usable else []
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
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _settle_all(self, rows: Sequence[OutboxRow], claims: Sequence[JsonObject]) -> None:
        await self._settle(rows, self._me)
        known = {(row.item_id, row.retries) for row in rows}
        await asyncio.gather(*(self._take(o) for o in orphans_of(claims, known, self._me)))
        if self._adoption is not None:
            await self._adoption.take()

    async def _settle(self, rows: Sequence[OutboxRow], owner: str) -> None:
        outcomes = [row for row in rows if row.outcome is not None]
        begun = [row for row in rows if row.outcome is None]
        if rows:
            self._log.info(
                f"left by an earlier life of {owner}: {len(outcomes)} outcomes to send,"
                f" {len(begun)} items to hand back"
            )
        await asyncio.gather(*(self._send(row, owner) for row in outcomes))
        await asyncio.gather(*(self._hand_back(row, owner) for row in begun))

    @property
    def _me(self) -> str:
        return self._presence.me.id

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

    async def _hand_back(self, row: OutboxRow, owner: str) -> None:
        if self._outbox is None:
            return
        await self._take(Orphan(row.workitem, owner, ENDED, died=True, deaths=row.deaths))
        self._outbox.delivered(row.item_id, row.retries)

    async def _take(self, orphan: Orphan) -> None:
        async with self._gate:
            await self._take_over.take(orphan)


def orphans_of(claims: Sequence[JsonObject], known: set[tuple[str, int]], me: str) -> list[Orphan]:
    """Return the items that the presence document of an earlier life claims, unless known."""
    found = []
    for claim in claims:
        key = (str(claim.get("id", "")), number(claim.get("retries")))
        if not key[0] or key in known:
            continue
        workitem = Workitem(
            id=key[0],
            payload=None,
            retries=key[1],
            wiq=str(claim.get("queue", "")),
            lastrun=moment_of(claim.get("lastrun")),
        )
        found.append(Orphan(workitem, me, ENDED, died=True))
    return found
