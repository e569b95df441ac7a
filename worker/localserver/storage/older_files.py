"""Data files as older versions left them, made what this version reads; all of it or nothing.

1. Payloads stood in the rows of their items. They move to a table of their own; indexes over their
   fields go with the old table, and are made anew from what is noted of them
   (``operations/collections.py``).
"""

import sqlite3
from typing import Final

_BEFORE: Final = "workitems_before"


def make_present(connection: sqlite3.Connection, schema: str) -> None:
    """Give a file, which may be empty, all tables of a schema, with what stood in older ones.

    Args:
        connection: without a running transaction.
        schema: statements that leave alone what is there.

    Raises:
        sqlite3.Error: the disk refused; the file is as it was.
    """
    older = "payload" in _columns(connection, "workitems")
    if not older:
        connection.executescript(schema)
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        _move(connection, schema)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _move(connection: sqlite3.Connection, schema: str) -> None:
    # A new table, and not one less column: SQLite knows that only from 3.35 on.
    for (index,) in list(
        connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'workitems'"
            " AND sql IS NOT NULL"
        )
    ):
        connection.execute(f'DROP INDEX "{index}"')
    connection.execute(f"ALTER TABLE workitems RENAME TO {_BEFORE}")
    for statement in _statements(schema):
        connection.execute(statement)
    columns = ", ".join(_columns(connection, "workitems"))
    connection.execute(
        f"INSERT INTO workitems ({columns}) SELECT {columns} FROM {_BEFORE}"  # noqa: S608 (the names are the schema's)
    )
    connection.execute(f"INSERT INTO payloads (seq, payload) SELECT seq, payload FROM {_BEFORE}")  # noqa: S608
    connection.execute(f"DROP TABLE {_BEFORE}")


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]


def _statements(script: str) -> list[str]:
    """Return the statements of a script: to run it whole would end the transaction."""
    found, so_far = [], ""
    for line in script.splitlines(keepends=True):
        so_far += line
        if sqlite3.complete_statement(so_far):
            found.append(so_far)
            so_far = ""
    return found
