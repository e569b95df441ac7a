"""Work items in the store.

1. A pop costs the same from 100,000 items as from 100: due items are in a partial index in the
   order they are popped in; items whose time has not come wait in another, by time, and move over
   when it has.
2. A payload is written when it is new or another one, and at no other time: a pop and an outcome
   write some hundred bytes, however large the item is.
3. Of a changed document only those columns are written that are others (``item_documents.py``).
"""

# ruff: noqa: S608
# Statements are put together from this module's constants and from conditions with placeholders; no
# value ever becomes part of one.

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from worker.localserver.storage.item_counts import ItemCounts, Place
from worker.localserver.storage.item_documents import changed_columns, files_text, nextrun_of
from worker.localserver.storage.item_rules import NEW, PROCESSING, StoredItem
from worker.localserver.storage.store import Store
from worker.localserver.storage.user import User

COLLECTION: Final = "workitems"
COLUMNS: Final = (
    "id, wiqid, wiq, state, priority, nextrun, lastrun, retries, name, payload, files, userid, "
    "username, errormessage, errorsource, errortype, success_wiq, success_wiqid, failed_wiq, "
    "failed_wiqid, version, modified, modifiedby, modifiedbyid, extra"
)
_NAMES: Final = tuple(COLUMNS.split(", "))
_WHOLE: Final = "whole_workitems"
"""Items with their payloads (``store.py``)."""
_WITHOUT_PAYLOAD: Final = COLUMNS.replace(" payload,", " '{}',")
_OWN_COLUMNS: Final = tuple(name for name in _NAMES if name != "payload")
_INSERT: Final = (
    f"INSERT INTO workitems ({', '.join(_OWN_COLUMNS)}, waiting)"
    f" VALUES ({', '.join('?' * (len(_OWN_COLUMNS) + 1))})"
)
_INSERT_PAYLOAD: Final = "INSERT INTO payloads (seq, payload) VALUES (last_insert_rowid(), ?)"
# Not the id: setting it, even to itself, would cost a rewrite of its index.
_REPLACE: Final = (
    f"UPDATE workitems SET {', '.join(f'{name} = ?' for name in _OWN_COLUMNS[1:])}, waiting = ?"
    " WHERE id = ?"
)
# SQLite leaves the pages of a row alone that becomes what it was.
_REPLACE_PAYLOAD: Final = (
    "UPDATE payloads SET payload = ? WHERE seq = (SELECT seq FROM workitems WHERE id = ?)"
)
_DUE_ORDER: Final = (
    " FROM workitems WHERE wiqid = ? AND state = 'new' AND waiting = 0 ORDER BY priority, seq"
)
_DUE: Final = f"SELECT seq, {_WITHOUT_PAYLOAD}{_DUE_ORDER}"
_PAYLOAD_BESIDE: Final = (
    "ifnull((SELECT payload FROM payloads WHERE payloads.seq = workitems.seq), '{}')"
)
_FIRST_DUE: Final = f"SELECT seq, {COLUMNS.replace('payload', _PAYLOAD_BESIDE)}{_DUE_ORDER} LIMIT 1"
_PAYLOAD_OF: Final = "SELECT payload FROM payloads WHERE seq = ?"
_TAKE: Final = (
    "UPDATE workitems SET state = 'processing', userid = ?, username = ?, lastrun = ?,"
    " nextrun = NULL, modified = ?, modifiedby = ?, modifiedbyid = ?"
    " WHERE seq = ? AND state = 'new'"
)


class ItemTable:
    """Reads and writes work items; the rules are in ``item_rules``.

    Attributes:
        counts: how many there are, by queue and state.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.counts: Final = ItemCounts(store)
        self._wakes: dict[str, float] = {}
        """By queue: no item that waits for its time is due before this; absent where unknown."""
        self._undone = store.undone

    def insert(self, item: StoredItem, now: int) -> None:
        """Add an item behind all others of its priority.

        Raises:
            sqlite3.IntegrityError: there is an item of this id.
        """
        waits = self._waits(item.wiqid, item.nextrun, now)
        self._store.write(_INSERT, (*_row(item), waits))
        self._store.write(_INSERT_PAYLOAD, (item.payload,))
        self.counts.added((item.wiq, item.state))

    def replace(self, item: StoredItem, now: int, *, payload: bool = True) -> None:
        """Write an item over its stored self; it keeps its place in the order.

        Args:
            item: what to write.
            now: the server's time in milliseconds.
            payload: without it, the stored payload stays, whatever the item says.
        """
        row = _row(item)
        waits = self._waits(item.wiqid, item.nextrun, now)
        before = self._place_of(item.id)
        self._store.write(_REPLACE, (*row[1:], waits, item.id))
        if before is not None:
            self.counts.moved(before, (item.wiq, item.state))
        if payload:
            self._store.write(_REPLACE_PAYLOAD, (item.payload, item.id))

    def change(
        self, before: dict[str, Any], after: dict[str, Any], now: int, *, payload: bool = True
    ) -> None:
        """Write what became of an item's document: as ``replace``, but only what is another.

        Args:
            before: the document as it is stored.
            after: what it has become; see ``changed_columns``.
            now: the server's time in milliseconds.
            payload: without it, the stored payload stays, whatever the document says.
        """
        columns = changed_columns(before, after)
        item_id, text = before["_id"], columns.pop("payload", None)
        if "files" in columns:
            columns["files"] = files_text(columns["files"])
        wiqid = columns.get("wiqid", before["wiqid"])
        columns["waiting"] = self._waits(wiqid, nextrun_of(after), now)
        self._store.write(_changing(tuple(columns)), (*columns.values(), item_id))
        place = before["wiq"], before["state"]
        self.counts.moved(place, (columns.get("wiq", place[0]), columns.get("state", place[1])))
        if payload and text is not None:
            self._store.write(_REPLACE_PAYLOAD, (text, item_id))

    def get(self, item_id: str) -> StoredItem | None:
        """Return the item of this id, or None."""
        found = self._store.row(f"SELECT {COLUMNS} FROM {_WHOLE} WHERE id = ?", (item_id,))
        return _item(found) if found else None

    def first_due(
        self, wiqid: str, now: int, seen: Callable[[StoredItem], bool] | None = None
    ) -> tuple[int, StoredItem] | None:
        """Return the most urgent due item of a queue and its place in the order, or None.

        Args:
            wiqid: the queue's id.
            now: the server's time in milliseconds.
            seen: says which items there are for whoever asks; None for all.
        """
        self._wake(wiqid, now)
        if seen is None:
            found = self._store.row(_FIRST_DUE, (wiqid,))
            return None if found is None else (int(found[0]), _item(found[1:]))
        for row in self._store.rows(_DUE, (wiqid,)):
            if seen(_item(row[1:])):
                return self._whole(row)
        return None

    def take(self, place: int, item: StoredItem, user: User, now: int) -> bool:
        """Take an item into processing if it is still new, and say whether it was."""
        taken = self._store.write(
            _TAKE, (user.id, user.username, now, now, user.username, user.id, place)
        )
        if not taken:
            return False
        self.counts.moved((item.wiq, NEW), (item.wiq, PROCESSING))
        item.state = PROCESSING
        item.userid = item.modifiedbyid = user.id
        item.username = item.modifiedby = user.username
        item.lastrun = item.modified = now
        item.nextrun = None
        return True

    def has_due(self, wiqid: str, now: int) -> bool:
        """Say whether a pop from this queue would find an item now."""
        found = self._store.row(
            "SELECT 1 FROM workitems WHERE wiqid = ? AND state = 'new' AND waiting = 0 LIMIT 1",
            (wiqid,),
        )
        return found is not None or self._has_woken(wiqid, now)

    def delete(self, item_id: str) -> bool:
        """Remove an item and say whether it was there."""
        place = self._place_of(item_id)
        gone = self._store.write("DELETE FROM workitems WHERE id = ?", (item_id,)) > 0
        if place is not None:
            self.counts.removed(place)
        return gone

    def of_queue(self, wiqid: str) -> list[StoredItem]:
        """Return every item of a queue, without payloads."""
        rows = self._store.rows(
            f"SELECT {_WITHOUT_PAYLOAD} FROM workitems WHERE wiqid = ?", (wiqid,)
        )
        return [_item(row) for row in rows]

    def with_file(self, file_id: str) -> StoredItem | None:
        """Return an item that has a stored file, without its payload, or None."""
        found = self._store.row(
            f"SELECT {_WITHOUT_PAYLOAD} FROM workitems WHERE instr(files, ?) LIMIT 1",
            (file_id,),
        )
        return _item(found) if found else None

    def delete_queue(self, wiqid: str) -> int:
        """Remove every item of a queue and return how many there were."""
        self.counts.forget()
        return self._store.write("DELETE FROM workitems WHERE wiqid = ?", (wiqid,))

    def select(
        self,
        where: str,
        values: Sequence[Any],
        *,
        payloads: bool = True,
        order: str = "",
        most: int = -1,
        offset: int = 0,
    ) -> Iterator[StoredItem]:
        """Yield items, in the order they were added unless another is asked for.

        Args:
            where: an SQL condition over the columns, written by this package; "" for all.
            values: the values of its placeholders; a function among them is what ``asked`` asks.
            payloads: without them, big payloads are not even read.
            order: SQL, written by this package, to order by.
            most: at most so many; -1 for all.
            offset: so many are left out first.

        Raises:
            RefusedError: what a function among the values raised.
        """
        if order:
            order = f" ORDER BY {order} LIMIT {most} OFFSET {offset}"
        for row in self._store.asking(_selecting(where, order, payloads), values):
            yield _item(row)

    def count(self, where: str, values: Sequence[Any]) -> int:
        """Return how many items meet an SQL condition written by this package."""
        condition = f" WHERE {where}" if where else ""
        statement = f"SELECT COUNT(*) FROM {_table(condition)}{condition}"
        return sum(int(row[0]) for row in self._store.asking(statement, values))

    def grouped(
        self, where: str, values: Sequence[Any], columns: str, by: int
    ) -> Iterator[tuple[Any, ...]]:
        """Yield a row for each group of the items that meet an SQL condition.

        Args:
            columns: SQL written by this package; groups differ in the first ``by`` of them.
        """
        condition = f" WHERE {where}" if where else ""
        places = ", ".join(str(place) for place in range(1, by + 1))
        table = _table(columns, condition)
        statement = f"SELECT {columns} FROM {table}{condition} GROUP BY {places}"
        yield from self._store.asking(statement, values)

    def any(self, where: str, values: Sequence[Any] = (), *, index: str = "") -> bool:
        """Say whether any item meets an SQL condition written by this package.

        Args:
            index: the index to look into, which is one of what the condition is about.
        """
        table = _table(where)
        if index:
            table = f"{table.replace(_WHOLE, 'payloads')} INDEXED BY {index}"
        statement = f"SELECT 1 FROM {table} WHERE {where} LIMIT 1"
        return any(True for _ in self._store.asking(statement, values))

    def has_index(self, name: str) -> bool:
        """Say whether there is an index of this name in SQL."""
        found = self._store.row(
            "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?", (name,)
        )
        return found is not None

    def _place_of(self, item_id: str) -> Place | None:
        """Return where an item is counted; None where nobody counts, or there is none."""
        if not self.counts.is_kept:
            return None
        found = self._store.row("SELECT wiq, state FROM workitems WHERE id = ?", (item_id,))
        return None if found is None else (str(found[0]), str(found[1]))

    def _whole(self, row: Sequence[Any]) -> tuple[int, StoredItem]:
        """Return an item that was found without its payload, and its place in the order."""
        place, item = int(row[0]), _item(row[1:])
        found = self._store.row(_PAYLOAD_OF, (place,))
        item.payload = str(found[0]) if found else "{}"
        return place, item

    def _has_woken(self, wiqid: str, now: int) -> bool:
        found = self._store.row(
            "SELECT 1 FROM workitems WHERE wiqid = ? AND state = 'new' AND waiting = 1"
            " AND nextrun <= ? LIMIT 1",
            (wiqid, now),
        )
        return found is not None

    def _wake(self, wiqid: str, now: int) -> None:
        if self._undone != self._store.undone:  # what had woken may wait again
            self._undone = self._store.undone
            self._wakes.clear()
        if self._wakes.get(wiqid, 0) > now:
            return
        if self._has_woken(wiqid, now):
            self._store.write(
                "UPDATE workitems SET waiting = 0 WHERE wiqid = ? AND state = 'new'"
                " AND waiting = 1 AND nextrun <= ?",
                (wiqid, now),
            )
        found = self._store.row(
            "SELECT MIN(nextrun) FROM workitems WHERE wiqid = ? AND state = 'new' AND waiting = 1",
            (wiqid,),
        )
        self._wakes[wiqid] = float("inf") if found is None or found[0] is None else found[0]

    def _waits(self, wiqid: str, nextrun: int | None, now: int) -> int:
        """Say whether an item's time has not come; without a nextrun it is never popped, as in
        the real server's query."""
        if nextrun is None:
            return 1
        if nextrun <= now:
            return 0
        if nextrun < self._wakes.get(wiqid, 0):
            self._wakes[wiqid] = nextrun
        return 1


@functools.lru_cache(maxsize=256)
def _selecting(where: str, order: str, payloads: bool) -> str:
    """Return the statement that reads items."""
    columns = COLUMNS if payloads else _WITHOUT_PAYLOAD
    condition = f" WHERE {where}{order}" if where else order
    return f"SELECT {columns} FROM {_table(columns, condition)}{condition}"


@functools.lru_cache(maxsize=256)
def _changing(columns: tuple[str, ...]) -> str:
    """Return the statement that writes some columns of one item."""
    return f"UPDATE workitems SET {', '.join(f'{name} = ?' for name in columns)} WHERE id = ?"


def _table(*parts: str) -> str:
    """Return from where SQL is to take what these parts of a statement are about."""
    return _WHOLE if any("payload" in part for part in parts) else "workitems"


def _row(item: StoredItem) -> tuple[Any, ...]:
    return (
        item.id,
        item.wiqid,
        item.wiq,
        item.state,
        item.priority,
        item.nextrun,
        item.lastrun,
        item.retries,
        item.name,
        files_text(item.files),
        item.userid,
        item.username,
        item.errormessage,
        item.errorsource,
        item.errortype,
        item.success_wiq,
        item.success_wiqid,
        item.failed_wiq,
        item.failed_wiqid,
        item.version,
        item.modified,
        item.modifiedby,
        item.modifiedbyid,
        item.extra,
    )


def _item(row: Sequence[Any]) -> StoredItem:
    item = StoredItem(*row)
    item.files = json.loads(row[10]) if row[10] else []
    return item
