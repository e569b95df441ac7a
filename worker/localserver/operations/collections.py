"""Collections and their indexes: which there are, and what indexes demand of documents.

Of indexes, ``unique`` and ``expireAfterSeconds`` have an effect here, and those of items make
queries quick that SQL answers; of other documents there are never many.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from worker.localserver.operations import queues
from worker.localserver.operations.item_orders import index_statements, sql_name
from worker.localserver.operations.queries import Queries
from worker.localserver.storage import files, item_table, json_text
from worker.localserver.storage.document_table import DocumentTable
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.store import Store

ALWAYS_THERE: Final = (files.COLLECTION, queues.COLLECTION, "users", item_table.COLLECTION)
EXPIRES: Final = "expireAfterSeconds"


@dataclass(frozen=True, slots=True)
class Expiry:
    """Documents of a collection go so many seconds after the time in a field of theirs."""

    collection: str
    field: str
    seconds: float

    def is_over(self, document: dict[str, Any], now: datetime) -> bool:
        """Say whether a document's time is over; without a time it stays for ever."""
        value = json_text.with_dates(document.get(self.field))
        values = value if isinstance(value, list) else [value]
        times = [one.replace(tzinfo=UTC) for one in values if isinstance(one, datetime)]
        # Reckoned this way round, no number of seconds is too large for a date.
        return bool(times) and (now - min(times)).total_seconds() >= self.seconds


class Collections:
    """Keeps collections and indexes."""

    def __init__(self, store: Store, documents: DocumentTable, queries: Queries) -> None:
        self._store = store
        self._documents = documents
        self._queries = queries

    def names(self) -> list[str]:
        """Return the names of all collections."""
        names = {str(row[0]) for row in self._store.rows("SELECT name FROM collections")}
        return sorted(names | set(ALWAYS_THERE))

    def create(self, collection: str, expire_after: int = 0) -> None:
        """Make an empty collection.

        Args:
            collection: its name.
            expire_after: seconds after which its documents go; 0 keeps them.

        Raises:
            RefusedError: it exists.
        """
        require_name(collection)
        if collection in self.names():
            raise RefusedError(f"Collection already exists. NS: openflow.{collection}")
        self._store.write("INSERT INTO collections (name) VALUES (?)", (collection,))
        if expire_after > 0:
            self.create_index(collection, {"_created": 1}, {EXPIRES: expire_after}, "")

    def drop(self, collection: str) -> None:
        """Remove a collection with all its documents.

        Raises:
            RefusedError: it is one that the server needs.
        """
        require_name(collection)
        if collection in ALWAYS_THERE:
            raise RefusedError(f"Access denied, dropping reserved collection {collection}")
        self._documents.drop(collection)

    def indexes(self, collection: str) -> list[dict[str, Any]]:
        """Return the indexes of a collection, as MongoDB describes them."""
        described: list[dict[str, Any]] = [{"v": 2, "key": {"_id": 1}, "name": "_id_"}]
        for name, keys, options in self._store.rows(
            "SELECT name, keys, options FROM indexes WHERE collection = ? ORDER BY name",
            (collection,),
        ):
            described.append({"v": 2, **json.loads(options), "key": json.loads(keys), "name": name})
        return described

    def create_index(
        self, collection: str, keys: dict[str, Any], options: dict[str, Any], name: str
    ) -> str:
        """Note an index and return its name; the same once more is no error.

        Raises:
            RefusedError: no fields, no number of seconds, or one of this name with other fields or
                options.
        """
        require_name(collection)
        if not keys:
            raise RefusedError("Index keys cannot be empty.")
        after = options.get(EXPIRES)
        if after is not None and (isinstance(after, bool) or not isinstance(after, (int, float))):
            raise RefusedError(f"TTL index '{EXPIRES}' option must be numeric")
        name = name or "_".join(f"{field}_{direction}" for field, direction in keys.items())
        index = {"v": 2, **options, "key": keys, "name": name}
        there = False
        for present in self.indexes(collection):
            there = there or present["name"] == name
            if present["name"] == name and present != index:
                raise RefusedError(
                    f"IndexOptionsConflict: Index with name: {name} already exists with different "
                    "options"
                )
        self._store.write(
            "INSERT OR REPLACE INTO indexes (collection, name, keys, options) VALUES (?, ?, ?, ?)",
            (collection, name, json_text.write(keys), json_text.write(options)),
        )
        self._store.write("INSERT OR IGNORE INTO collections (name) VALUES (?)", (collection,))
        if collection == item_table.COLLECTION and not there:
            self._make(name, keys)
        return name

    def make_anew(self) -> None:
        """See to it that each index of items is there in SQL: those of a file of an older version
        went when it was opened."""
        noted = "SELECT name, keys FROM indexes WHERE collection = ?"
        for name, keys in list(self._store.rows(noted, (item_table.COLLECTION,))):
            self._make(name, json.loads(keys))

    def _make(self, name: str, keys: dict[str, Any]) -> None:
        for statement in index_statements(name, keys):
            self._store.write(statement)

    def drop_index(self, collection: str, name: str) -> None:
        """Remove an index.

        Raises:
            RefusedError: there is none of this name.
        """
        gone = self._store.write(
            "DELETE FROM indexes WHERE collection = ? AND name = ?", (collection, name)
        )
        if gone == 0:
            raise RefusedError(f"index not found with name [{name}]")
        if collection == item_table.COLLECTION:
            self._store.write(f"DROP INDEX IF EXISTS {sql_name(name)}")

    def check_unique(self, collection: str, document: dict[str, Any]) -> None:
        """See to it that a document may be stored.

        Raises:
            RefusedError: another one has its values of a unique index.
        """
        for index in self.indexes(collection)[1:]:
            if not index.get("unique"):
                continue
            values = {field: document.get(field) for field in index["key"]}
            taken = self._queries.query(
                collection, {**values, "_id": {"$ne": document["_id"]}}, top=1
            )
            if taken:
                raise RefusedError(
                    f"E11000 duplicate key error collection: openflow.{collection} index: "
                    f"{index['name']} dup key: {json_text.write(values)}"
                )

    def expiries(self) -> Iterator[Expiry]:
        """Yield what the indexes say of documents whose time is over: those of one field alone."""
        rows = self._store.rows("SELECT collection, keys, options FROM indexes")
        for collection, keys, options in list(rows):
            fields, after = list(json.loads(keys)), json.loads(options).get(EXPIRES)
            if len(fields) == 1 and after is not None:
                yield Expiry(collection, fields[0], float(after))


def require_name(collection: str) -> None:
    """Refuse a command that names no collection.

    Raises:
        RefusedError: it names none.
    """
    if not collection:
        raise RefusedError("collectionname is mandatory")
