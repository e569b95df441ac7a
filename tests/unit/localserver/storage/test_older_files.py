"""Data files of older versions go on working, and stay as they are where they cannot be moved."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from worker.localserver import ServerOptions
from worker.localserver.operations.services import Services
from worker.localserver.operations.workitems import NewItem
from worker.localserver.storage.older_files import make_present
from worker.localserver.storage.store import SCHEMA, Store
from worker.localserver.storage.user import administrator

WITH_PAYLOADS = """
CREATE TABLE workitems (
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
    payload TEXT NOT NULL,
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
CREATE INDEX workitems_due ON workitems (wiqid, priority, seq)
    WHERE state = 'new' AND waiting = 0;
CREATE INDEX workitems_waiting ON workitems (wiqid, nextrun)
    WHERE state = 'new' AND waiting = 1;
CREATE INDEX workitems_odd_ids ON workitems (seq)
    WHERE (id GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T*');
CREATE INDEX workitems_processing ON workitems (wiq)
    WHERE state = 'processing';
"""
"""As version 0.1 made them."""
ROOT = administrator("root")
BY_CUSTOMER = {"payload.customer": 1}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A file of three items, the second of which runs, with indexes over columns and payloads."""
    path = tmp_path / "data.db"
    services = Services(ServerOptions(data=path))
    queue = services.queues.add({"name": "q"}, ROOT, 1)
    found = services.queues.require("q", queue["_id"], ROOT)
    for customer in ("acme", "other", "acme"):
        payload = f'{{"customer":"{customer}","text":"{"x" * 9000}"}}'
        services.workitems.push(found, NewItem(payload), (), ROOT, 1)
    second = [one.id for one in services.item_table.select("", ())][1]
    services.store.write("UPDATE workitems SET state = 'processing' WHERE id = ?", (second,))
    services.collections.create_index("workitems", BY_CUSTOMER, {}, "customers")
    services.collections.create_index("workitems", {"state": 1}, {}, "states")
    indexes = [
        str(sql).replace("ON payloads", "ON workitems")
        for (sql,) in services.store.rows(
            "SELECT sql FROM sqlite_master WHERE name LIKE 'made%' OR name LIKE 'odd%'"
        )
    ]
    assert len(indexes) == 3
    services.store.close()
    with sqlite3.connect(path) as data:
        names = WITH_PAYLOADS.partition(");")[0].splitlines()[2:]
        columns = ", ".join(name.split()[0] for name in names)
        data.executescript(
            "CREATE TABLE kept AS SELECT * FROM whole_workitems; DROP VIEW whole_workitems;"
            f"DROP TABLE workitems; DROP TABLE payloads; {WITH_PAYLOADS}"
            f"INSERT INTO workitems ({columns}) SELECT {columns} FROM kept; DROP TABLE kept;"
            + ";".join(indexes)
        )
    data.close()
    return path


def customers(services: Services, query: dict[str, Any]) -> list[str]:
    found = services.queries.query("workitems", query, orderby={"_id": 1})
    return [one["payload"]["customer"] for one in found]


def made(services: Services) -> dict[str, str]:
    rows = services.store.rows("SELECT name, tbl_name FROM sqlite_master WHERE name LIKE 'made%'")
    return dict(rows)


def test_a_file_with_payloads_in_its_rows_goes_on_working(older: Path) -> None:
    for _ in ("at the first start", "at the next one"):
        services = Services(ServerOptions(data=older))
        assert sorted(made(services).values()) == ["payloads", "workitems"]
        assert customers(services, {"payload.customer": "acme"}) == ["acme", "acme"]
        assert customers(services, {"state": "processing"}) == ["other"]
        assert services.store.row("PRAGMA integrity_check") == ("ok",)
        services.store.close()
    services = Services(ServerOptions(data=older))
    queue = services.queues.require("q", "", ROOT)
    services.workitems.push(queue, NewItem('{"customer":"late"}'), (), ROOT, 2)
    popped = [services.workitems.pop(queue, ROOT, 3) for _ in range(4)]
    told = [one.payload[:18] for one in popped if one]
    assert told == ['{"customer":"acme"', '{"customer":"acme"', '{"customer":"late"']
    services.workitems.purge({"_id": queue.id, "name": "q"}, ROOT)
    assert services.store.row("SELECT COUNT(*) FROM payloads") == (0,)
    services.store.close()


def everything(path: Path) -> Iterator[str]:
    with sqlite3.connect(path) as data:
        yield from data.iterdump()
    data.close()


def test_a_file_that_cannot_be_moved_stays_as_it_was(older: Path) -> None:
    before = list(everything(older))
    connection = sqlite3.connect(older, isolation_level=None)
    with pytest.raises(sqlite3.Error):
        make_present(connection, SCHEMA + "INSERT INTO nowhere VALUES (1);\n")
    connection.close()
    assert list(everything(older)) == before
    Store(older).close()
    assert list(everything(older)) != before
