"""The outbox's SQLite file: its schema, and reading and writing it. Blocking; no threads, no loop.

Write-ahead log, one connection, held exclusively: the worker's lock admits one process anyway, and
without shared memory a commit costs less and works on network volumes too.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from worker.engine.outbox.private_files import private_file
from worker.engine.outbox.rows import Evidence, moment, outcome_from, workitem_from

MAJOR: Final = 1
MINOR: Final = 0
SCHEMA_VERSION: Final = MAJOR * 1000 + MINOR
"""In ``user_version``. A newer minor added columns or fields; a newer major cannot be read."""

LONG_LOG: Final = 1000
"""Pages in the write-ahead log from which on they belong into the file; about, as they are counted
here."""
PAGE: Final = 4096

MOST_AT_ONCE: Final = 64
"""Rows in one statement: SQLite leaves and takes Python's lock per statement, so few is fast."""

Sync = Literal["normal", "full"]
Values = tuple[object, ...]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rows (
    seq INTEGER PRIMARY KEY,
    version INTEGER NOT NULL DEFAULT 1,
    life INTEGER NOT NULL,
    item_id TEXT NOT NULL,
    retries INTEGER NOT NULL,
    popped_at REAL NOT NULL,
    workitem TEXT NOT NULL,
    outcome TEXT
);
CREATE TABLE IF NOT EXISTS evidence (
    id INTEGER PRIMARY KEY,
    version INTEGER NOT NULL DEFAULT 1,
    at REAL NOT NULL,
    item_id TEXT NOT NULL,
    retries INTEGER NOT NULL,
    workitem TEXT NOT NULL,
    outcome TEXT,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS deaths (item_id TEXT PRIMARY KEY, count INTEGER NOT NULL, at REAL);
CREATE TABLE IF NOT EXISTS lives (life INTEGER PRIMARY KEY, began REAL, ended REAL, counted REAL);
"""
_ROW: Final = "(seq, version, life, item_id, retries, popped_at, workitem, outcome)"
_EVIDENCE: Final = "(version, at, item_id, retries, workitem, outcome, reason)"
_STORE: Final = [
    f"INSERT OR REPLACE INTO rows {_ROW} VALUES {','.join(['(?,?,?,?,?,?,?,?)'] * n)}"  # noqa: S608
    for n in range(MOST_AT_ONCE + 1)
]
_DELETE: Final = [
    f"DELETE FROM rows WHERE seq IN ({','.join('?' * n)})"  # noqa: S608 (question marks only)
    for n in range(MOST_AT_ONCE + 1)
]
_RECORD: Final = f"INSERT INTO evidence {_EVIDENCE} VALUES (?,?,?,?,?,?,?)"  # noqa: S608
ROW_VERSION: Final = 1


class NewerLedger(sqlite3.DatabaseError):
    """The file was written by a newer major version."""


class DamagedLedger(sqlite3.DatabaseError):
    """The file's pages contradict each other."""


def useless(error: Exception) -> str:
    """Return why a file that gave this error at opening is of no use, or "" when it may be yet."""
    if isinstance(error, NewerLedger):
        return "newer"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, DamagedLedger) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return "damaged"
    # An unknown table or column: an SQLite file, but not one of ours.
    return "foreign" if code == sqlite3.SQLITE_ERROR else ""


@dataclass(slots=True)
class Change:
    """What one commit writes: whole rows by ``seq``, rows to delete, evidence, deaths."""

    store: list[Values] = field(default_factory=list)
    delete: list[int] = field(default_factory=list)
    evidence: list[Values] = field(default_factory=list)
    deaths: dict[str, int] = field(default_factory=dict)
    """By item; 0 forgets it."""

    def alone(self) -> bool:
        """Return whether one statement does it, which then needs no transaction around it."""
        if self.evidence or self.deaths:
            return False
        store, delete = len(self.store), len(self.delete)
        return not (store and delete) and max(store, delete) <= MOST_AT_ONCE


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as it is on disk, its texts unread."""

    seq: int
    life: int
    item_id: str
    retries: int
    popped_at: float
    workitem: str
    outcome: str | None


class Ledger:
    """One open file.

    Raises:
        sqlite3.Error: from every method; the caller decides what it means.
    """

    def __init__(self, path: Path, *, sync: Sync) -> None:
        self.path: Final = path
        new = not path.exists()
        if new:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(
            path,
            timeout=1.0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=2 * MOST_AT_ONCE + 16,
        )
        try:
            self._prepare(sync)
        except BaseException:
            self._db.close()
            raise
        private_file(path)
        self._logged = 0
        self._inode = os.stat(path).st_ino

    def _prepare(self, sync: Sync) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        self._version = max(version, SCHEMA_VERSION)
        if version // 1000 > MAJOR:
            raise NewerLedger(f"written by a newer version (schema {version / 1000:.3f})")
        # A file of ours is only read here: on a full disk what it holds can still be recovered.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {sync.upper()}")
        db.execute("PRAGMA journal_size_limit = 16777216")
        # Not in a commit, which would wait for the disk: ``shorten_log``.
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA temp_store = MEMORY")
        self.created = version == 0
        if version < SCHEMA_VERSION:
            db.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise DamagedLedger("its pages contradict each other")

    def intact(self) -> bool:
        """Return whether the file is still the one on disk: not deleted or replaced under us."""
        try:
            return os.stat(self.path).st_ino == self._inode
        except OSError:
            return False

    def begin_life(self, now: float) -> int:
        """Note that a worker begins, and count the deaths of those that ended without a word.

        Their rows without an outcome were in flight: each counts one death for its item.
        """
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(
                "INSERT INTO deaths (item_id, count, at)"
                " SELECT DISTINCT item_id, 1, :now FROM rows WHERE outcome IS NULL AND life IN"
                " (SELECT life FROM lives WHERE ended IS NULL AND counted IS NULL)"
                " ON CONFLICT (item_id) DO UPDATE SET count = count + 1, at = :now",
                {"now": now},
            )
            db.execute("UPDATE lives SET counted = ? WHERE counted IS NULL", (now,))
            db.execute(
                "DELETE FROM lives WHERE life NOT IN (SELECT life FROM rows)"
                " AND life < (SELECT max(life) FROM lives)"
            )
            life = int(db.execute("SELECT coalesce(max(life), 0) + 1 FROM lives").fetchone()[0])
            db.execute("INSERT INTO lives (life, began) VALUES (?, ?)", (life, now))
            db.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise
        return life

    def touch(self, life: int, now: float) -> None:
        """Write something: whether the disk takes it is what the caller wants to know."""
        self._db.execute("UPDATE lives SET began = ? WHERE life = ?", (now, life))

    def end_life(self, life: int, now: float) -> None:
        """Note that this worker ended on purpose: what it leaves was in no death."""
        self._db.execute("UPDATE lives SET ended = ?, counted = ? WHERE life = ?", (now, now, life))

    def write(self, change: Change) -> None:
        """Write one change, all or nothing."""
        db = self._db
        alone = change.alone()
        if not alone:
            db.execute("BEGIN IMMEDIATE")
        try:
            self._write(change)
            if not alone:
                db.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise

    @property
    def has_long_log(self) -> bool:
        """Whether it is time to call ``shorten_log``."""
        return self._logged >= LONG_LOG

    def shorten_log(self) -> None:
        """Put what the write-ahead log holds into the file, and begin the log anew; this waits for
        the disk."""
        self._logged = 0
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        # The first commit of a new log waits for the disk as well; so it is made here.
        self._db.execute(f"PRAGMA user_version = {self._version}")

    def _write(self, change: Change) -> None:
        execute = self._db.execute
        store, delete = change.store, change.delete
        for at in range(0, len(store), MOST_AT_ONCE):
            part = store[at : at + MOST_AT_ONCE]
            execute(_STORE[len(part)], [value for row in part for value in row])
            self._logged += 2 + _length(part) // PAGE
        for at in range(0, len(delete), MOST_AT_ONCE):
            seqs = delete[at : at + MOST_AT_ONCE]
            execute(_DELETE[len(seqs)], seqs)
            self._logged += 2 + len(seqs) // 8
        if change.evidence:
            self._db.executemany(_RECORD, change.evidence)
            self._logged += 2 + _length(change.evidence) // PAGE
        for item_id, count in change.deaths.items():
            if count:
                execute(
                    "INSERT OR REPLACE INTO deaths (item_id, count, at) VALUES (?, ?, ?)",
                    (item_id, count, datetime.now(UTC).timestamp()),
                )
            else:
                execute("DELETE FROM deaths WHERE item_id = ?", (item_id,))

    def _rollback(self) -> None:
        if self._db.in_transaction:
            with suppress(sqlite3.Error):  # the error that brought us here is the one to report
                self._db.execute("ROLLBACK")

    def rows(self) -> list[StoredRow]:
        """Return all rows, oldest first."""
        found = self._db.execute(
            "SELECT seq, life, item_id, retries, popped_at, workitem, outcome FROM rows"
            " ORDER BY seq"
        )
        return [StoredRow(*row) for row in found]

    def deaths(self) -> dict[str, int]:
        """Return how many deaths each item was in flight in."""
        return dict(self._db.execute("SELECT item_id, count FROM deaths").fetchall())

    def evidence(self) -> list[Evidence]:
        """Return what was refused, or could not be read, oldest first; an item that cannot be read
        is left out, an outcome that cannot is None."""
        found: list[Evidence] = []
        for at, item_id, retries, workitem, outcome, reason in self._db.execute(
            "SELECT at, item_id, retries, workitem, outcome, reason FROM evidence ORDER BY id"
        ):
            try:
                item, when = workitem_from(workitem), moment(at)
            except (ValueError, TypeError, OverflowError, OSError):
                continue
            what = None
            with suppress(ValueError, TypeError):
                what = None if outcome is None else outcome_from(outcome)
            found.append(Evidence(item_id, item.wiq, retries, item, what, reason, when))
        return found

    def forget_before(self, moment: float) -> None:
        """Drop evidence and deaths from before a moment (Unix seconds)."""
        self._db.execute("DELETE FROM evidence WHERE at < ?", (moment,))
        self._db.execute("DELETE FROM deaths WHERE at < ?", (moment,))

    def close(self) -> None:
        """Close the file; the write-ahead log goes into it."""
        self._db.close()


def _length(rows: Sequence[Values]) -> int:
    return sum(len(value) for row in rows for value in row if isinstance(value, str))


def set_aside(path: Path, why: str, now: float) -> Path:
    """Rename a file that cannot be used, with what SQLite keeps beside it; returns the new name."""
    stamp = moment(now).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.name}.{why}-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{why}-{stamp}-{number}")
    for tail in ("-wal", "-shm"):
        beside = path.with_name(path.name + tail)
        if beside.exists():
            os.replace(beside, target.with_name(target.name + tail))
    if path.exists():
        os.replace(path, target)
    return target


def has_rows(path: Path) -> bool:
    """Return whether a file that nobody has open holds rows; False for one that cannot be read."""
    try:
        db = sqlite3.connect(path, timeout=0.1)
        try:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version // 1000 > MAJOR:
                return False
            return db.execute("SELECT 1 FROM rows LIMIT 1").fetchone() is not None
        finally:
            db.close()
    except sqlite3.Error:
        return False


def joined(rows: Sequence[StoredRow], life: int, first: int) -> list[Values]:
    """Return rows of another ledger as values to store in this one, numbered from ``first``."""
    return [
        (seq, ROW_VERSION, life, r.item_id, r.retries, r.popped_at, r.workitem, r.outcome)
        for seq, r in enumerate(rows, first)
    ]
