"""Adoption: what dead siblings left in the same state directory is settled by a worker that starts.

The lock of its outbox proves that a sibling is dead, wherever its heartbeats are. This is done at a
start only: later, a sibling that is started again would put back what is being sent for it here.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from worker.engine.outbox.outbox import Outbox, OutboxRow
from worker.engine.outbox.rows import outcome_from, outcome_text
from worker.engine.outbox.spool import Spool
from worker.engine.outbox.sqlite import StoredRow
from worker.errors import StateError
from worker.openiap.errors import FileTransferError
from worker.telemetry.log import Log

Settle = Callable[[Sequence[OutboxRow], str], Awaitable[None]]


class Adoption:
    """Takes over outboxes.

    Args:
        settle: settles rows of an owner, given by its identity.
    """

    def __init__(self, outbox: Outbox, spool: Spool, settle: Settle, *, log: Log) -> None:
        self._outbox = outbox
        self._spool = spool
        self._settle = settle
        self._log = log

    async def take(self) -> None:
        """Settle what dead siblings left."""
        for sibling in Outbox.adoptable(self._outbox.path.parent):
            try:
                rows = await self._adopted(sibling)
            except StateError as error:  # it lives again, or its file cannot be read
                self._log.info(f"the outbox of {sibling} is left alone: {error}")
                continue
            await self._settle(rows, sibling)

    async def _adopted(self, sibling: str) -> list[OutboxRow]:
        gone: list[tuple[str, str]] = []
        rows = await self._outbox.adopt(sibling, lambda row: self._carry(row, gone))
        for item_id, reason in gone:
            self._log.warn(f"an attachment of a dead worker is gone: {reason}", item=item_id)
        return rows

    def _carry(self, row: StoredRow, gone: list[tuple[str, str]]) -> StoredRow:
        """Take a sibling's attachments over into our own spool: its next life tidies up its own.

        In the outbox's thread.
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
