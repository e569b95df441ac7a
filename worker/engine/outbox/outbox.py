"""The outbox: what this worker took on and what came of it, on disk until the server has it.

1. A pop is recorded before the handler starts.
2. An outcome is recorded before it is sent.
3. A row goes when the server accepted the outcome and its follow-up items; what it refused for good
   is kept as evidence for a while.
4. What an earlier life left is read back: outcomes to send, and items that were in flight.

One SQLite file per worker identity in the state directory, locked by one process. A disk that is
full or read-only never stops the worker: rows stay in memory and are written when it is back.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from worker.engine.outbox.batch import Entry, entry_of
from worker.engine.outbox.lockfile import Locked, LockFile
from worker.engine.outbox.private_files import private_folder
from worker.engine.outbox.rows import (
    Evidence,
    OutboxRow,
    is_accepted,
    moment,
    outcome_from,
    outcome_text,
    workitem_text,
)
from worker.engine.outbox.siblings import LOCK_SUFFIX, SUFFIX, Carry, Moved, adoptable, moved
from worker.engine.outbox.sqlite import StoredRow, Sync
from worker.engine.outbox.writer import Writer
from worker.item.attempt_id import AttemptId, attempt_id
from worker.item.outcome import Outcome
from worker.openiap.large import apart
from worker.openiap.workitem import Workitem

__all__ = ["Evidence", "Outbox", "OutboxRow"]

LOCK_WAIT: Final = 2.0
"""Seconds that ``open`` waits for the lock: a sibling may just be adopting what is in the file."""
CLOSE_WITHIN: Final = 10.0
RETRY: Final = 2.0
DAY: Final = 86_400.0
FINAL: Final = frozenset({"successful", "business", "failed"})


class Outbox:
    """Use ``await Outbox.open(…)``; all methods are for the loop that opened it."""

    def __init__(
        self,
        folder: Path,
        worker_id: str,
        lock: LockFile,
        *,
        sync: Sync,
        keep: float,
        retry: float,
        on_trouble: Callable[[str], None],
        on_recovery: Callable[[str], None],
    ) -> None:
        self.path: Final = folder / f"{worker_id}{SUFFIX}"
        self._folder = folder
        self._lock = lock
        self._on_trouble = on_trouble
        self._entries: dict[AttemptId, Entry] = {}
        self._deaths: dict[str, int] = {}
        self.unreadable = 0
        """How many rows of earlier lives could not be read, and were kept aside."""
        self._writer = Writer(
            self.path,
            sync=sync,
            keep=keep,
            retry=retry,
            live=lambda: list(self._entries.values()),
            in_flight=lambda: len(self._entries),
            loaded=self._load,
            on_trouble=on_trouble,
            on_recovery=on_recovery,
        )

    @classmethod
    async def open(
        cls,
        folder: Path,
        worker_id: str,
        *,
        sync: Sync,
        keep_evidence_days: float,
        on_trouble: Callable[[str], None] = lambda text: None,
        on_recovery: Callable[[str], None] = lambda text: None,
        retry: float = RETRY,
    ) -> "Outbox":
        """Lock and open the outbox of one worker identity.

        Args:
            folder: the state directory; made when it is missing.
            sync: ``normal`` survives the death of the process; ``full`` the machine's as well.
            keep_evidence_days: how long refused outcomes are kept.
            on_trouble: told once, in a sentence, when the disk refuses or a file is set aside.
            on_recovery: told when the disk takes writes again.
            retry: seconds between tries while the disk refuses.

        Raises:
            Locked: another process has it; the text names its pid.
            StateError: the folder cannot be used at all. A full disk is no error here: the outbox
                opens unhealthy.
        """
        private_folder(folder)
        lock = await _lock(folder / f"{worker_id}{LOCK_SUFFIX}")
        outbox = cls(
            folder,
            worker_id,
            lock,
            sync=sync,
            keep=keep_evidence_days * DAY,
            retry=retry,
            on_trouble=on_trouble,
            on_recovery=on_recovery,
        )
        await outbox._writer.start()
        return outbox

    adoptable = staticmethod(adoptable)
    """See ``adopt``."""

    @property
    def healthy(self) -> bool:
        """Whether the last write was taken by the disk."""
        return not self._writer.failure

    @property
    def failure(self) -> str:
        """Why it is not healthy, or ""."""
        return self._writer.failure

    def size(self) -> int:
        """Return how many items are not settled; from memory."""
        return len(self._entries)

    def deaths(self, item_id: str) -> int:
        """Return how many worker deaths an item was in flight in, as far as is known here."""
        return self._deaths.get(item_id, 0)

    async def popped(self, workitem: Workitem, at: datetime) -> None:
        """Record a pop; returns when it is on disk. To be called before the handler starts."""
        writer = self._writer
        entry = Entry(_bare(workitem), at.timestamp())
        with writer.mutex:
            self._put(entry)
            committed = writer.committed()
        if committed is not None:
            await committed

    async def finished(
        self,
        item_id: str,
        retries: int,
        outcome: Outcome,
        *,
        large: bool = False,
        ran: float | None = None,
    ) -> None:
        """Record an outcome; returns when it is on disk. To be called before it is sent.

        Args:
            large: it is made text in a thread.
            ran: seconds that the handler took, where they are to be known later.
        """
        try:
            if large:
                text = await apart(True, outcome_text, outcome, False, ran)
            else:
                text = outcome_text(outcome, False, ran)
        except (ValueError, RecursionError) as error:
            self._on_trouble(f"The outcome of {item_id} cannot be kept on disk: {error}.")
            return
        writer = self._writer
        with writer.mutex:
            entry = self._entries.get((item_id, retries))
            if entry is None:
                bare = Workitem(id=item_id, retries=retries, payload=None)
                entry = Entry(bare, time.time())
            entry.outcome, entry.kind = text, outcome.kind
            self._put(entry)
            committed = writer.committed()
        if committed is not None:
            await committed

    def accepted(self, item_id: str, retries: int, outcome: Outcome) -> None:
        """The server has the outcome; keep what is still to be pushed for it.

        Nobody waits for it: without it the next life asks the server whether it has the outcome.

        Args:
            outcome: with the follow-up items that are left.
        """
        entry = self._entries.get((item_id, retries))
        if entry is None:
            return
        text = outcome_text(outcome, accepted=True)
        with self._writer.mutex:
            entry.outcome = text
            self._put(entry)
            self._writer.nudge()

    def delivered(self, item_id: str, retries: int) -> None:
        """The server has the outcome: forget the item with the next commit."""
        self._settle((item_id, retries))

    def settled(self, row: OutboxRow) -> None:
        """An item that an earlier life left is back at the server: forget it, and not the run of it
        that may have begun here since, under the same number."""
        key = (row.item_id, row.retries)
        entry = self._entries.get(key)
        if entry is not None and entry.workitem is row.workitem:
            self._settle(key)

    def refused(
        self, item_id: str, retries: int, reason: str, outcome: Outcome | None = None
    ) -> None:
        """The server refused the outcome for good, or follow-up items: keep that as evidence.

        Args:
            outcome: what is kept instead of the recorded one: with the refused follow-ups alone.
        """
        entry = self._entries.get((item_id, retries))
        if entry is None:
            return
        item, text = entry.workitem, entry.outcome
        if outcome is not None:
            text = outcome_text(outcome, accepted=True)
        record = (time.time(), item.id, item.retries, workitem_text(item), text, reason)
        self._let_go((item_id, retries))
        with self._writer.mutex:
            self._writer.pending.evidence.append((1, *record))
            self._writer.pending.entries[entry] = None
            self._writer.nudge()

    async def pending(self) -> list[OutboxRow]:
        """Return what an earlier life left: with an outcome to send, or an orphan of our own."""
        return [self._row(entry) for entry in self._entries.values() if entry.earlier]

    async def evidence(self) -> list[Evidence]:
        """Return the outcomes that were refused for good, oldest first.

        Raises:
            StateError: the disk cannot be read now.
        """
        found: list[Evidence] = await self._writer.run(lambda ledger: ledger.evidence())
        return found

    async def adopt(self, worker_id: str, carry: Carry = lambda row: row) -> list[OutboxRow]:
        """Take over what a dead sibling left; its rows move into this outbox.

        Args:
            worker_id: one of ``adoptable``.
            carry: called with each row before it moves, in a thread, while the sibling cannot
                begin; returns the row to keep here.

        Raises:
            Locked: it lives again.
            StateError: its file or our own cannot be used now.
        """
        writer = self._writer
        left: Moved = await writer.run(
            lambda own: moved(
                self._folder, worker_id, carry, own=own, life=writer.life, numbers=writer.numbers
            )
        )
        rows = []
        self._deaths.update(left.deaths)
        with writer.mutex:
            for seq, stored in enumerate(left.rows, left.first):
                entry = self._taken(seq, stored)
                if entry is not None:
                    rows.append(self._row(entry))
        return rows

    async def close(self) -> None:
        """Write what is left, and let another process have the file; idempotent."""
        if not await self._writer.close(CLOSE_WITHIN):
            self._on_trouble(f"The outbox {self.path} could not be closed in {CLOSE_WITHIN:g} s.")
            return  # its thread is stuck in a write; the lock goes with the process
        self._lock.release()

    def _put(self, entry: Entry) -> None:
        key = attempt_id(entry.workitem)
        former = self._entries.get(key)
        pending = self._writer.pending
        if former is not None and former is not entry:  # handed back, and popped again
            former.gone = True
            pending.entries[former] = None
        self._writer.forget_with_next(key)
        self._entries[key] = entry
        pending.entries[entry] = None
        pending.large |= entry.large

    def _settle(self, key: AttemptId) -> None:
        entry = self._let_go(key)
        if entry is not None:
            self._writer.forget_soon(key, entry)

    def _let_go(self, key: AttemptId) -> Entry | None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        entry.gone = True
        if self._deaths and entry.kind in FINAL and self._deaths.pop(key[0], 0):
            with self._writer.mutex:
                self._writer.pending.deaths[key[0]] = 0
        return entry

    def _row(self, entry: Entry) -> OutboxRow:
        item = entry.workitem
        return OutboxRow(
            item_id=item.id,
            queue=item.wiq,
            retries=item.retries,
            lastrun=item.lastrun,
            popped_at=moment(entry.popped_at),
            workitem=item,
            outcome=None if entry.outcome is None else outcome_from(entry.outcome),
            deaths=self._deaths.get(item.id, 0),
            accepted=entry.outcome is not None and is_accepted(entry.outcome),
        )

    def _load(self, rows: list[StoredRow], deaths: dict[str, int]) -> None:
        """Take what the file held; runs once, in the writer's thread."""
        self._deaths.update(deaths)
        if not rows:
            return
        self._writer.numbers.beyond(rows[-1].seq)
        with self._writer.mutex:
            for stored in rows:
                self._taken(stored.seq, stored)

    def _taken(self, seq: int, stored: StoredRow) -> Entry | None:
        """Take one stored row, with the mutex held; None where even its item cannot be read.

        What cannot be read is kept aside as evidence, and costs its own item alone: of an outcome
        half of it is worse than none, so the item is put back.
        """
        found, why = entry_of(seq, stored)
        if why:
            self.unreadable += 1
            self._writer.aside(seq, stored, found, why)
        if found is not None:
            self._entries.setdefault(attempt_id(found.workitem), found)
        return found


def _bare(workitem: Workitem) -> Workitem:
    """Return what is kept of a popped item: neither payload nor files."""
    return Workitem(
        id=workitem.id,
        name=workitem.name,
        payload=None,
        priority=workitem.priority,
        lastrun=workitem.lastrun,
        state="processing",
        wiq=workitem.wiq,
        wiqid=workitem.wiqid,
        retries=workitem.retries,
        username=workitem.username,
    )


async def _lock(path: Path) -> LockFile:
    until = time.monotonic() + LOCK_WAIT
    while True:
        try:
            return LockFile.take(path)
        except Locked:
            if time.monotonic() > until:
                raise
        await asyncio.sleep(0.1)
