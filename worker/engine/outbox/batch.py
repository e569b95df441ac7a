"""What the outbox's next commit writes: state, not a list of operations.

An item that came and went between two commits costs nothing.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from worker.engine.outbox.row_numbers import RowNumbers
from worker.engine.outbox.rows import moment, outcome_from, workitem_from, workitem_text
from worker.engine.outbox.sqlite import ROW_VERSION, Change, Ledger, StoredRow, Values
from worker.openiap.fields import whole
from worker.openiap.workitem import Workitem

Job = Callable[[Ledger], Any]

LARGE: Final = 16_384
"""Characters of a row that the loop does not write itself."""


@dataclass(slots=True, eq=False)
class Entry:
    """One attempt as the outbox knows it; ``seq``, ``stored`` and ``text`` belong to who commits:
    the writer's thread, or the loop while that one rests.

    ``seq`` is the row's number, drawn when it is first stored, 0 before; ``outcome`` is JSON text;
    ``kind`` is the outcome's; ``earlier`` marks what another life left; ``text`` is the item's,
    made once.
    """

    workitem: Workitem
    popped_at: float
    seq: int = 0
    outcome: str | None = None
    kind: str = ""
    earlier: bool = False
    stored: bool = False
    gone: bool = False
    text: str = ""

    @property
    def large(self) -> bool:
        """Whether its row takes some time to write."""
        return len(self.workitem.name) + len(self.outcome or "") > LARGE

    def values(self, life: int) -> Values:
        """Return the row to store."""
        item = self.workitem
        name = item.id if item.id.isascii() else item.id.encode("utf-8", "replace").decode()
        self.text = self.text or workitem_text(item)
        return (
            self.seq,
            ROW_VERSION,
            life,
            name,
            item.retries,
            self.popped_at,
            self.text,
            self.outcome,
        )


def entry_of(seq: int, stored: StoredRow) -> tuple[Entry | None, str]:
    """Read a row of an earlier life; returns what of it can be read, and why not all can be, or "".

    Without its item there is nothing; without its outcome it is one whose handler had not ended.
    """
    try:
        workitem = workitem_from(stored.workitem)
        popped = float(stored.popped_at)
        moment(popped)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        return None, f"its item: {error}"
    entry = Entry(workitem, popped, seq, earlier=True, stored=True)
    if stored.outcome is None:
        return entry, ""
    try:
        entry.kind = outcome_from(stored.outcome).kind
    except (ValueError, TypeError) as error:
        return entry, f"its outcome: {error}"
    entry.outcome = stored.outcome
    return entry, ""


@dataclass(slots=True)
class Batch:
    """What waits for the next commit, and who waits for it.

    ``storing`` and ``deleting`` are what the commit that is under way writes; ``large``: it has a
    row that takes some time to write.
    """

    entries: dict[Entry, None] = field(default_factory=dict)
    """An ordered set: rows are numbered as they came."""
    evidence: list[Values] = field(default_factory=list)
    deaths: dict[str, int] = field(default_factory=dict)
    waiting: list["asyncio.Future[None]"] = field(default_factory=list)
    jobs: list[tuple[Job, "asyncio.Future[Any]"]] = field(default_factory=list)
    storing: list[Entry] = field(default_factory=list)
    deleting: list[Entry] = field(default_factory=list)
    large: bool = False

    def __bool__(self) -> bool:
        return bool(self.entries or self.evidence or self.deaths or self.waiting or self.jobs)

    @property
    def usual(self) -> bool:
        """Whether it has nothing but rows of a usual size."""
        return not (self.large or self.jobs or self.evidence or self.deaths)

    def aside(self, seq: int, stored: StoredRow, found: Entry | None, reason: str) -> None:
        """Keep the texts of a row that cannot be read as evidence.

        Args:
            found: what stands in its place from now on, or None.
        """
        item_id = str(stored.item_id)
        outcome = None if stored.outcome is None else str(stored.outcome)
        attempt = whole(stored.retries) or 0
        self.evidence.append(
            (1, time.time(), item_id, attempt, str(stored.workitem), outcome, reason)
        )
        if found is None:
            nobody = Workitem(id=item_id, payload=None)
            found = Entry(nobody, 0.0, seq, stored=True, gone=True)
        self.entries[found] = None

    def change(self, life: int, numbers: RowNumbers) -> Change:
        """Return what is to be written; for who has the file."""
        change = Change(evidence=self.evidence, deaths=self.deaths)
        self.storing, self.deleting = [], []
        for entry in self.entries:
            if not entry.gone:
                entry.seq = entry.seq or numbers.draw()
                change.store.append(entry.values(life))
                self.storing.append(entry)
            elif entry.stored:
                change.delete.append(entry.seq)
                self.deleting.append(entry)
        return change

    def written(self) -> None:
        """Note that the change is on disk. What became of an entry meanwhile is in the next batch:
        one that went while it was stored has to be deleted there."""
        for entry in self.storing:
            entry.stored = True
        for entry in self.deleting:
            entry.stored = False
