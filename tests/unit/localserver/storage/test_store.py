"""Commands in one transaction: each is undone alone, and what is put off is written in time."""

import sqlite3
from pathlib import Path

import pytest

from worker.localserver.storage.errors import RefusedAfterChangeError, RefusedError
from worker.localserver.storage.store import Store

SET = "INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)"


@pytest.fixture
def store() -> Store:
    """Return a store in whose transaction one command has been done."""
    store = Store(None)
    with store.undone_on_error():
        store.write(SET, ("before", "1"))
    return store


def run(store: Store, name: str, *ways: str, error: Exception | None = None) -> None:
    """Run a command that sets a value in these ways and then raises the error."""
    with store.undone_on_error():
        for number, way in enumerate(ways):
            getattr(store, way)(SET, (name, str(number)))
        if error is not None:
            raise error


def test_a_last_write_is_made_when_the_command_is_done(store: Store) -> None:
    with store.undone_on_error():
        store.write_last(SET, ("one", "1"))
    assert store.setting("one") == "1"
    with pytest.raises(RefusedAfterChangeError):
        run(store, "kept", "write_last", error=RefusedAfterChangeError("the change stays"))
    assert store.commit()
    assert store.setting("kept") == "0"


def test_a_command_that_fails_behind_its_last_write_is_undone_alone(store: Store) -> None:
    with pytest.raises(RefusedError):
        run(store, "one", "write_last", error=RefusedError("no"))
    assert store.undone == 1, "who remembers what they wrote is told"
    run(store, "two", "write_last")
    store.commit()
    assert [store.setting(name) for name in ("before", "one", "two")] == ["1", None, "0"]


def test_what_a_command_reads_or_writes_on_comes_behind_its_last_write(store: Store) -> None:
    with store.undone_on_error():
        store.write_last(SET, ("one", "1"))
        assert store.setting("one") == "1"
        assert list(store.rows("SELECT value FROM settings WHERE name = 'one'")) == [("1",)]
        store.write_last(SET, ("one", "2"))
        store.write_last(SET, ("one", "3"))
    assert store.setting("one") == "3"
    for way in ("write", "write_last"):
        with pytest.raises(RefusedError):
            run(store, "one", "write_last", way, error=RefusedError("no"))
        assert (store.setting("before"), store.setting("one")) == ("1", "3")


def test_a_last_write_that_is_refused_leaves_nothing_of_its_command_alone(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError), store.undone_on_error():
        store.write_last("INSERT INTO settings (name, value) VALUES ('one', ?)", (None,))
    with store.undone_on_error():
        store.write_last(SET, ("two", "1"))
    assert store.undone == 1, "who remembers what they wrote is told"
    store.commit()
    assert [store.setting(name) for name in ("before", "one", "two")] == ["1", None, "1"]


@pytest.mark.parametrize("value", [2**63, "\ud800"])
@pytest.mark.parametrize("goes_on", [False, True])
def test_a_last_write_of_what_sqlite_cannot_have_is_told_to_who_remembers_it(
    store: Store, value: object, goes_on: bool
) -> None:
    def write() -> None:
        with store.undone_on_error():
            store.write_last(SET, ("one", value))
            if goes_on:
                store.setting("one")

    with pytest.raises((OverflowError, UnicodeEncodeError)):
        write()
    assert store.undone == 1
    run(store, "two", "write_last")
    store.commit()
    assert [store.setting(name) for name in ("before", "one", "two")] == ["1", None, "0"]


def test_what_sqlite_undid_while_a_command_was_reading_is_no_commit(store: Store) -> None:
    def read() -> None:
        with store.undone_on_error():
            store._connection.execute("ROLLBACK")  # as of itself, with no room for its pages
            raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError):
        read()
    run(store, "two", "write_last")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.commit()
    assert (store.setting("before"), store.setting("two")) == (None, None)


def test_a_disk_that_is_full_at_a_last_write_is_no_commit(tmp_path: Path) -> None:
    store = Store(tmp_path / "data.sqlite")
    store._connection.execute("PRAGMA max_page_count = 60")
    with store.undone_on_error():
        store.write(SET, ("before", "1"))
    with pytest.raises(sqlite3.OperationalError, match="full"), store.undone_on_error():
        store.write_last(SET, ("one", "1" * 1_000_000))
    with store.undone_on_error():
        store.write_last(SET, ("two", "1"))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.commit()
    assert (store.setting("before"), store.setting("two")) == (None, None), "SQLite undid them all"


def test_the_first_command_of_a_transaction_is_undone_with_it() -> None:
    store = Store(None)
    with pytest.raises(RefusedError):
        run(store, "one", "write_last", error=RefusedError("no"))
    assert store.setting("one") is None
    assert not store.commit(), "nothing is left to be committed"
