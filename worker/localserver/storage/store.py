"""The SQLite file (or memory) under the local server: documents, items, file contents, secrets.

1. One connection, used on the loop's thread alone; statements are short, so nobody waits.
2. Writes gather in one transaction until ``commit``; the session layer sends replies only after
   it, so a reply that a client has read survives a SIGKILL of the server (WAL).
3. A command that fails is undone alone, inside that transaction.
4. Payloads stand in a table of their own: SQLite writes a row whole, and an item changes at its pop
   and at its end, while its payload, which may be large, mostly stays.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from worker.localserver.storage.errors import RefusedAfterChangeError
from worker.localserver.storage.older_files import make_present
from worker.localserver.storage.private_files import make_private

CHECKPOINT_EVERY: Final = 16_000
"""Pages of 4 kB that are written to the log before they go to the file."""
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS credentials (
    username TEXT PRIMARY KEY, userid TEXT NOT NULL, salt BLOB NOT NULL, hash BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS collections (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS indexes (
    collection TEXT NOT NULL, name TEXT NOT NULL, keys TEXT NOT NULL, options TEXT NOT NULL,
    PRIMARY KEY (collection, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS documents (
    seq INTEGER PRIMARY KEY, collection TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (collection, id)
);
CREATE INDEX IF NOT EXISTS files_of_items ON documents (json_extract(body, '$.metadata.wi'))
    WHERE collection = 'fs.files';
CREATE TABLE IF NOT EXISTS chunks (
    file TEXT NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (file, n)
);
CREATE TABLE IF NOT EXISTS workitems (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    wiqid TEXT NOT NULL,
    wiq TEXT NOT NULL,
    state TEXT NOT NULL,
    priority INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    nextrun INTEGER,
    lastrun INTEGER,
    retries INTEGER NOT NULL,
    name TEXT NOT NULL,
    files TEXT NOT NULL,
    userid TEXT NOT NULL,
    username TEXT NOT NULL,
    errormessage TEXT NOT NULL,
    errorsource TEXT NOT NULL,
    errortype TEXT NOT NULL,
    success_wiq TEXT NOT NULL,
    success_wiqid TEXT NOT NULL,
    failed_wiq TEXT NOT NULL,
    failed_wiqid TEXT NOT NULL,
    version INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    modifiedby TEXT NOT NULL,
    modifiedbyid TEXT NOT NULL,
    extra TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS payloads (seq INTEGER PRIMARY KEY, payload TEXT NOT NULL);
CREATE VIEW IF NOT EXISTS whole_workitems AS
    SELECT workitems.*, payload FROM workitems JOIN payloads USING (seq);
CREATE TRIGGER IF NOT EXISTS payloads_go_along AFTER DELETE ON workitems
    BEGIN DELETE FROM payloads WHERE seq = old.seq; END;
CREATE INDEX IF NOT EXISTS workitems_due ON workitems (wiqid, priority, seq)
    WHERE state = 'new' AND waiting = 0;
CREATE INDEX IF NOT EXISTS workitems_waiting ON workitems (wiqid, nextrun)
    WHERE state = 'new' AND waiting = 1;
CREATE INDEX IF NOT EXISTS workitems_odd_ids ON workitems (seq)
    WHERE (id GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T*');
CREATE INDEX IF NOT EXISTS workitems_processing ON workitems (wiq)
    WHERE state = 'processing';
CREATE INDEX IF NOT EXISTS workitems_new ON workitems (wiq, nextrun)
    WHERE state = 'new';
CREATE INDEX IF NOT EXISTS workitems_failed ON workitems (id, wiq)
    WHERE state = 'failed';
"""


class Store:
    """The one connection to the data, with its running transaction."""

    def __init__(self, path: Path | None) -> None:
        """Open the data, and make what is missing.

        Args:
            path: the SQLite file; None keeps everything in memory.

        Raises:
            sqlite3.Error: the file cannot be opened, another server has it, or it is none of
                SQLite's.
            OSError: it cannot be made a file that nobody else may read.
        """
        self.was_open_to_others = path is not None and make_private(path)
        """Others may have read the data, and with it the key that tokens are signed with."""
        self._connection = sqlite3.connect(
            str(path) if path is not None else ":memory:",
            isolation_level=None,
            cached_statements=512,
            timeout=5.0,
        )
        self._writing = False
        self._lost: str | None = None
        self._unmarked = False
        """A command runs, not as the first of its transaction, that has not written so far."""
        self._last: tuple[str, tuple[Any, ...]] | None = None
        """What that command is going to write as the last thing that it does."""
        self.undone = 0
        """How often writes were undone: who remembers data compares it before using memory."""
        if path is not None:
            self._take_file()
            # NORMAL syncs at checkpoints only: what was committed survives the death of the
            # process, which is what a restart test and a developer's machine ask for.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            # A checkpoint syncs, and nobody is answered meanwhile: seldom, for 64 MB of log.
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_EVERY}")
        self._connection.execute("PRAGMA cache_size = -65536")
        make_present(self._connection, SCHEMA)
        self._questions: dict[int, Callable[[Any], bool]] = {}
        self._trouble: Exception | None = None
        self._connection.create_function("asked", 2, self._ask)

    def _take_file(self) -> None:
        # One process has the file: without shared memory and locks a commit costs less.
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            self._connection.close()
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise sqlite3.OperationalError("another server has it open") from error

    def begin(self) -> bool:
        """Start a transaction where none runs, and say whether none did."""
        if self._writing:
            return False
        self._connection.execute("BEGIN IMMEDIATE")
        self._writing = True
        return True

    def commit(self) -> bool:
        """Make everything written since the last commit last, and say whether there was any.

        Raises:
            sqlite3.Error: the disk refused; nothing of the transaction is kept.
        """
        if not self._writing:
            return False
        if self._lost is not None:
            reason = self._lost
            self.rollback()
            raise sqlite3.OperationalError(reason)
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self.rollback()
            raise
        self._writing = False
        return True

    @property
    def written(self) -> int:
        """A number that is another one after each write, undone ones included."""
        return self._connection.total_changes

    def rollback(self, *, wrote: bool = True) -> None:
        """Forget everything since the last commit.

        Args:
            wrote: whether there is anything to forget.
        """
        self.undone += wrote
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._writing = False
        self._lost = None

    def undone_on_error(self) -> "_Together":
        """Run a command in a ``with`` so that its writes are undone alone if it raises.

        ``RefusedAfterChangeError`` keeps them: OpenIAP answers some changes with an error.
        """
        return _Together(self)

    def begin_command(self) -> bool:
        """Begin what is undone together, and say whether it is the first of its transaction."""
        first = self.begin()
        self._unmarked = not first
        return first

    def end_command(self, *, first: bool) -> None:
        """Write what was put off, and forget where the command began.

        Raises:
            sqlite3.Error: it cannot be written; nothing of the command is left.
            OverflowError, UnicodeEncodeError: the same, for a value that SQLite cannot have.
        """
        if not self._unmarked:
            if not first:
                self._connection.execute("RELEASE command")
            return
        self._unmarked = False
        if self._last is None:
            return
        # One statement is done or not done; it needs no savepoint.
        (statement, values), self._last = self._last, None
        try:
            self._connection.execute(statement, values)
        except Exception as error:  # of SQLite, or of a value that it cannot have
            self._not_written(error)
            raise

    def undo_command(self, error: BaseException, *, first: bool, wrote: bool) -> None:
        """Undo what a command that failed has written.

        Args:
            error: why it failed.
            first: whether it was the first of its transaction.
            wrote: whether anything was written.
        """
        if self._unmarked:
            put_off = self._last is not None
            self._unmarked, self._last = False, None
            self._not_written(error, wrote=put_off)
        elif first:
            self.rollback(wrote=wrote)
        else:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO command")
                self._connection.execute("RELEASE command")
            self._not_written(error, wrote=wrote)

    def _mark(self) -> None:
        """Mark where the running command began, and write what was put off."""
        self._unmarked = False
        last, self._last = self._last, None
        self._connection.execute("SAVEPOINT command")
        if last is None:
            return
        try:
            self._connection.execute(*last)
        except Exception:  # it was remembered as written
            self.undone += 1
            raise

    def _not_written(self, error: BaseException, *, wrote: bool = True) -> None:
        in_transaction = self._connection.in_transaction
        self.undone += wrote or not in_transaction
        if not in_transaction:
            # A full disk makes SQLite undo the whole transaction, with the commands before this
            # one: the commit has to fail, so that none of them is called done.
            self._lost = str(error)
            self._connection.execute("BEGIN IMMEDIATE")

    def write(self, statement: str, values: Iterable[Any] = ()) -> int:
        """Execute a statement that changes data and return the number of rows it changed."""
        if self._unmarked:
            self._mark()
        elif not self._writing:
            self.begin()
        return self._connection.execute(statement, tuple(values)).rowcount

    def write_last(self, statement: str, values: Iterable[Any]) -> None:
        """Execute a statement that changes data as the last thing that the running command does.

        It costs half of what ``write`` does where it stays the last: nothing has to be remembered
        to undo it. Where the command goes on to read or write, it is executed before that.
        """
        if self._unmarked and self._last is None:
            self._last = (statement, tuple(values))
        else:
            self.write(statement, values)

    def rows(self, statement: str, values: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, one by one."""
        if self._last is not None:
            self._mark()
        return self._connection.execute(statement, tuple(values))

    def asking(self, statement: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query that may ask Python: a function among the values is called by
        ``asked(?, column)`` with the column's value.

        Raises:
            Exception: what a function raised.
        """
        numbers = [id(one) for one in values if callable(one)]
        if not numbers:
            yield from self.rows(statement, values)
            return
        self._questions |= {id(one): one for one in values if callable(one)}
        try:
            yield from self.rows(statement, [id(o) if callable(o) else o for o in values])
        except sqlite3.OperationalError:
            trouble, self._trouble = self._trouble, None
            if trouble is None:
                raise
            raise trouble from None
        finally:
            for number in numbers:
                self._questions.pop(number, None)

    def _ask(self, number: int, value: Any) -> bool:
        try:
            return self._questions[number](value)
        except Exception as error:  # SQLite would tell that there was one, and nothing of it
            self._trouble = error
            raise

    def row(self, statement: str, values: Iterable[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query, or None."""
        if self._last is not None:
            self._mark()
        found: tuple[Any, ...] | None = self._connection.execute(
            statement, tuple(values)
        ).fetchone()
        return found

    def setting(self, name: str) -> str | None:
        """Return a value that the server keeps for itself, or None."""
        found = self.row("SELECT value FROM settings WHERE name = ?", (name,))
        return str(found[0]) if found else None

    def set_setting(self, name: str, value: str) -> None:
        """Keep a value of the server's own."""
        self.write("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        self._connection.close()


class _Together:
    """What one command writes, undone together; two per item, so no generator.

    The first command of a transaction needs no savepoint: undoing it is undoing the transaction.
    Neither does one that writes a single statement, and that at its end (``Store.write_last``).
    """

    __slots__ = ("_first", "_store", "_written")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._first = False
        self._written = 0

    def __enter__(self) -> None:
        self._written = self._store.written
        self._first = self._store.begin_command()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, RefusedAfterChangeError):
            self._store.end_command(first=self._first)
            return
        # Most that is refused has written nothing, and spoils nobody's memory.
        wrote = self._store.written != self._written
        self._store.undo_command(error, first=self._first, wrote=wrote)
