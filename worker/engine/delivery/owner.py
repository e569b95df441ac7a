"""Whose run is it, as the server has it now: reads the item, and claims the run where it can.

The judgement is ``fence.py``'s; here it is asked for, believed, counted and said.
"""

from worker.engine.delivery.cancellation import end_if_cancelled
from worker.engine.delivery.decided import Decided
from worker.engine.delivery.delivery import Delivered, Delivery
from worker.engine.delivery.document_rights import DocumentRights
from worker.engine.delivery.fence import (
    NEEDED,
    PROJECTION,
    Judgement,
    closer_of,
    closing_claim,
    decided_of,
    judge,
    run_of,
)
from worker.openiap.client import Client
from worker.openiap.connection import LinkLog
from worker.openiap.errors import AccessDenied, ServerError, Unsupported
from worker.openiap.pool import Pool
from worker.openiap.reader import FirstTurn, Reader
from worker.openiap.workitem import JsonObject


class Owner:
    """Tells whether deliveries still have their run.

    Attributes:
        fenced: how many did not.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        worker_id: str,
        rights: DocumentRights,
        decided: Decided,
        log: LinkLog,
    ) -> None:
        self.fenced = 0
        self._pool = pool
        self._reader = Reader(FirstTurn(pool), "work item", large=True)
        self._worker_id = worker_id
        self._rights = rights
        self._decided = decided
        self._log = log

    async def read(
        self, item_id: str, projection: JsonObject | None = PROJECTION
    ) -> JsonObject | None:
        """Return an item's document; None where it is gone, or not readable for this user."""
        query = {"_id": item_id}
        if projection is PROJECTION:  # others may have written megabytes into it
            found = await self._reader.query(
                "workitems", query, projection, top=1, about=item_id, needed=NEEDED
            )
        else:
            found = await self._pool.call(
                lambda client: client.query("workitems", query, projection, top=1), turn="first"
            )
        return found[0] if found else None

    async def concluded(self, delivery: Delivery, document: JsonObject) -> Delivered | None:
        """Return how a delivery has ended, by the item's document; None where the run is ours.

        What is left of an outcome that stands on the item is sent on the way, whatever the client
        and the user may do otherwise: nobody may work such an item again. Where the run is ours and
        cancelled, the delivery has another outcome afterwards (``cancellation.py``).

        Raises:
            OpenIAPError: that could not be sent.
        """
        workitem = delivery.workitem
        judgement = judge(document, workitem, delivery.outcome, sent=delivery.sent)
        if judgement.verdict == "ours":
            closer = closer_of(document, workitem.retries)
            if closer in ("", self._worker_id, *delivery.over):
                ends = decided_of(document, workitem.retries)
                if ends:
                    return await self._decided.complete(delivery, ends)
                end_if_cancelled(delivery, document)
                return None
            judgement = Judgement("lost", f"being closed by {closer}")
        if judgement.verdict == "applied":
            return Delivered("applied", state=str(document.get("state", "")))
        return self.fence(
            delivery, f"the item has a new owner ({judgement.holder}); this was {self._worker_id}"
        )

    def fence(self, delivery: Delivery, reason: str) -> Delivered:
        """Return the end of a delivery that came too late, counted and said."""
        self.fenced += 1
        self._log.warn(
            f"late outcome refused: {reason}",
            item=delivery.workitem.id,
            attempt=delivery.workitem.retries + 1,
            outcome=delivery.outcome.kind,
        )
        return Delivered("fenced", reason)

    async def check(self, delivery: Delivery) -> Delivered | None:
        """Look at the item, and claim its run, before it is written without a condition.

        It is read first: the claim's condition does not say who has the item otherwise.

        Returns:
            How the delivery has ended, or None to go on.
        """
        document = await self.read(delivery.workitem.id)
        if document is None:
            return None  # gone, or not readable for this user: the update itself will tell
        ended = await self.concluded(delivery, document)
        if ended is not None or await self._claim(delivery, run_of(document)) is not False:
            return ended
        # Another's claim, a change since, or no right to update.
        document = await self.read(delivery.workitem.id)
        if document is None:
            return None
        ended = await self.concluded(delivery, document)
        if ended is None:
            self._rights.note_missing(delivery.workitem.wiq)
        return ended

    async def _claim(self, delivery: Delivery, run: int) -> bool | None:
        """Claim a run in one conditional write; None where the client, the server or this user
        cannot."""
        workitem = delivery.workitem
        if self._rights.missing(workitem.wiq):
            return None
        condition, claim = closing_claim(
            workitem.id, workitem.retries, run, self._worker_id, delivery.over
        )

        async def write(client: Client) -> bool | None:
            if not client.capabilities.conditional_updates:
                return None
            return (await client.update_document("workitems", condition, claim)).matched == 1

        try:
            return await self._pool.call(write, turn="first")
        except (AccessDenied, ServerError, Unsupported) as error:
            if error.maybe_done:
                raise
            return None
