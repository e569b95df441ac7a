"""Documents of all collections but ``workitems`` in the store: one row of JSON text each."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from worker.localserver.storage import json_text
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.store import Store

COMPARISONS: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class DocumentTable:
    """Reads and writes whole documents by collection and id."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writes: dict[str, int] = {}

    def writes(self, collection: str) -> int:
        """Return a number that is another one after each write to the collection."""
        return self._writes.get(collection, 0)

    def get(self, collection: str, document_id: str) -> dict[str, Any] | None:
        """Return one document, or None."""
        found = self._store.row(
            "SELECT body FROM documents WHERE collection = ? AND id = ?", (collection, document_id)
        )
        return dict(json.loads(found[0])) if found else None

    def all(self, collection: str) -> Iterator[dict[str, Any]]:
        """Yield the documents of a collection in the order they were added."""
        for (body,) in self._store.rows(
            "SELECT body FROM documents WHERE collection = ? ORDER BY seq", (collection,)
        ):
            yield json.loads(body)

    def between(
        self, collection: str, bounds: Mapping[str, str], *, descending: bool
    ) -> Iterator[dict[str, Any]]:
        """Yield the documents whose ids lie within bounds, in the order of their ids.

        Args:
            collection: its name.
            bounds: ``$gt``, ``$gte``, ``$lt`` or ``$lte`` to an id.
            descending: the greatest first.
        """
        where = " AND ".join(f"id {COMPARISONS[bound]} ?" for bound in bounds)
        order = "DESC" if descending else "ASC"
        for (body,) in self._store.rows(
            f"SELECT body FROM documents WHERE collection = ? AND {where} ORDER BY id {order}",  # noqa: S608 (both made here)
            (collection, *bounds.values()),
        ):
            yield json.loads(body)

    def count(self, collection: str) -> int:
        """Return how many documents a collection has."""
        found = self._store.row(
            "SELECT COUNT(*) FROM documents WHERE collection = ?", (collection,)
        )
        return int(found[0]) if found else 0

    def insert(self, collection: str, document: dict[str, Any]) -> None:
        """Add a document.

        Raises:
            RefusedError: its id is taken.
        """
        document_id = str(document["_id"])
        added = self._store.write(
            "INSERT OR IGNORE INTO documents (collection, id, body) VALUES (?, ?, ?)",
            (collection, document_id, json_text.write(document)),
        )
        if added == 0:
            raise duplicate(collection, document_id)
        self._store.write("INSERT OR IGNORE INTO collections (name) VALUES (?)", (collection,))
        self._note(collection)

    def replace(self, collection: str, document: dict[str, Any]) -> bool:
        """Write a document over the one of its id, and say whether there was one."""
        changed = self._store.write(
            "UPDATE documents SET body = ? WHERE collection = ? AND id = ?",
            (json_text.write(document), collection, str(document["_id"])),
        )
        self._note(collection)
        return changed > 0

    def delete(self, collection: str, document_id: str) -> bool:
        """Remove a document and say whether there was one."""
        gone = self._store.write(
            "DELETE FROM documents WHERE collection = ? AND id = ?", (collection, document_id)
        )
        self._note(collection)
        return gone > 0

    def drop(self, collection: str) -> None:
        """Remove a collection with its documents and indexes."""
        self._store.write("DELETE FROM documents WHERE collection = ?", (collection,))
        self._store.write("DELETE FROM indexes WHERE collection = ?", (collection,))
        self._store.write("DELETE FROM collections WHERE name = ?", (collection,))
        self._note(collection)

    def _note(self, collection: str) -> None:
        self._writes[collection] = self._writes.get(collection, 0) + 1


def duplicate(collection: str, document_id: str) -> RefusedError:
    """Return MongoDB's complaint about an id that is taken."""
    return RefusedError(
        f"E11000 duplicate key error collection: openflow.{collection} index: _id_ "
        f'dup key: {{ _id: "{document_id}" }}'
    )
