"""Outboxes of other workers in the same state directory: which are left behind, and how their rows
move into the own one.

1. A sibling whose lock can be had is dead.
2. Its rows are copied, then deleted over there. Killed in between, both have them, and the fence of
   the write-back settles it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from worker.engine.outbox.lockfile import LockFile
from worker.engine.outbox.row_numbers import RowNumbers
from worker.engine.outbox.sqlite import Change, Ledger, StoredRow, Values, has_rows, joined
from worker.errors import StateError

SUFFIX: Final = ".outbox.db"
LOCK_SUFFIX: Final = ".outbox.lock"

Carry = Callable[[StoredRow], StoredRow]


class Moved(NamedTuple):
    """What was left behind.

    Attributes:
        rows: as they stand in the own outbox now.
        first: the number that the first of them has there; the others follow.
        deaths: by item, in how many worker deaths it was in flight.
    """

    rows: list[StoredRow]
    first: int
    deaths: dict[str, int]


def adoptable(folder: Path) -> list[str]:
    """Return the identities of dead siblings whose outboxes hold rows."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        worker_id = path.name.removesuffix(SUFFIX)
        try:
            lock = LockFile.take(folder / f"{worker_id}{LOCK_SUFFIX}")
        except StateError:
            continue
        try:
            if has_rows(path):
                found.append(worker_id)
        finally:
            lock.release()
    return found


def moved(
    folder: Path, worker_id: str, carry: Carry, *, own: Ledger, life: int, numbers: RowNumbers
) -> Moved:
    """Move what a dead sibling left; for the thread that writes the own file.

    Args:
        worker_id: one of ``adoptable``.
        carry: called with each row before it moves, while the sibling cannot begin; returns the
            row that is kept.
        own: the own file; ``life`` and ``numbers`` are those of its present life.

    Raises:
        Locked: the sibling lives again.
        sqlite3.Error, OSError: one of the files cannot be used now.
    """
    lock = LockFile.take(folder / f"{worker_id}{LOCK_SUFFIX}")
    try:
        theirs = Ledger(folder / f"{worker_id}{SUFFIX}", sync="full")
        try:
            their_life = theirs.begin_life(time.time())
            rows, deaths = [carry(row) for row in theirs.rows()], theirs.deaths()
            first = numbers.draw(len(rows))
            store: list[Values] = joined(rows, life, first)
            own.write(Change(store=store, deaths=deaths))
            gone = dict.fromkeys(deaths, 0)
            theirs.write(Change(delete=[row.seq for row in rows], deaths=gone))
            theirs.end_life(their_life, time.time())
        finally:
            theirs.close()
    finally:
        lock.release()
    return Moved(rows, first, deaths)
