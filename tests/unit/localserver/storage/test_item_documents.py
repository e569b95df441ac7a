"""What a change writes of an item is what the whole document would be written as."""

from typing import Any

from tests.cases import each
from worker.localserver.operations.operators import changed
from worker.localserver.storage.item_documents import changed_columns, document_of, item_of
from worker.localserver.storage.item_rules import StoredItem
from worker.localserver.storage.item_table import ItemTable
from worker.localserver.storage.store import Store

NOW = 1_800_000_000_000
MUCH_LATER = 1_900_000_000_000
LATER = "2027-12-01T10:00:00.000Z"
STORED: dict[str, Any] = {
    "_id": "one",
    "_type": "workitem",
    "_acl": [{"_id": "admins", "rights": 1}],
    "name": "an item",
    "payload": {"n": 1, "deep": {"a": True}},
    "state": "processing",
    "priority": 2,
    "retries": 1,
    "wiq": "q",
    "wiqid": "queue",
    "files": [{"name": "a.txt", "filename": "a.txt", "_id": "file"}],
    "lastrun": "2026-11-20T10:00:00.123Z",
    "errortype": "application",
    "_modified": "2026-11-20T10:00:00.123Z",
    "_modifiedby": "somebody",
    "_version": 3,
    "count": 1,
    "list": [1, 2],
    "inside": {"flag": 1},
}
CHANGES: dict[str, dict[str, Any]] = {
    "an ending": {
        "$set": {"wiq": "q", "_version": 0, "state": "successful", "_acl": STORED["_acl"]},
        "$unset": {"nextrun": "", "errortype": ""},
        "$push": {"history.one.last": {"$each": [{"at": 1}], "$slice": -10}},
        "$inc": {"history.one.count": 1},
    },
    "nothing": {"$set": {"state": "processing"}},
    "true for 1": {"$set": {"count": True, "priority": True}},
    "true for 1 inside": {"$set": {"inside": {"flag": True}, "_acl": [{"rights": True}]}},
    "a fraction": {"$inc": {"count": 0.5, "priority": 1.5, "retries": 0.0}},
    "back to new": {"$set": {"state": "new", "nextrun": "2026-11-20T10:00:00.000Z"}},
    "new and later": {"$set": {"state": "new", "nextrun": LATER, "wiqid": "other"}},
    "new and never": {"$set": {"state": "new"}, "$unset": {"wiqid": "", "lastrun": ""}},
    "no dates": {"$set": {"nextrun": "soon", "lastrun": 5, "_modified": None}},
    "odd values": {"$set": {"name": None, "state": None, "wiq": 7, "files": "x", "_version": "v"}},
    "other files": {"$set": {"files": [{"name": "b"}, 5]}},
    "no files": {"$set": {"files": []}},
    "another payload": {"$set": {"payload": {"m": 2}}},
    "no payload": {"$unset": {"payload": ""}},
    "null for a payload": {"$set": {"payload": None}},
    "in the payload": {"$set": {"payload.deep.a": 1}, "$inc": {"payload.n": 1}},
    "the rights": {"$unset": {"_acl": ""}},
    "a field less": {"$unset": {"list": "", "inside.flag": ""}},
    "what mongomock does": {"$pull": {"list": 1}, "$set": {"state": "failed"}},
    "names that are columns": {"$set": {"id": "x", "version": 9, "extra": "y", "waiting": 5}},
    "the type": {"$set": {"_type": "odd", "modifiedbyid": "lost"}},
}


@each("change", CHANGES.values())
def test_change_writes_what_replacing_the_whole_item_would(change: dict[str, Any]) -> None:
    partly, whole = _stored(), _stored()
    before, same = document_of(_read(partly)), document_of(_read(whole))

    partly.change(before, changed(before, change), NOW)
    whole.replace(item_of(changed(same, change)), NOW)

    assert document_of(_read(partly)) == document_of(_read(whole))
    assert repr(_read(partly)) == repr(_read(whole))
    assert _waiting(partly) == _waiting(whole)
    assert partly.has_due("other", MUCH_LATER) == whole.has_due("other", MUCH_LATER)


def test_change_without_payload_leaves_the_stored_one() -> None:
    items = _stored()
    before = {**document_of(_read(items)), "payload": {}}

    items.change(before, {**before, "payload": {"copied": 1}, "name": "b"}, NOW, payload=False)

    assert (_read(items).name, _read(items).payload) == ("b", '{"n":1,"deep":{"a":true}}')


def test_only_what_changed_is_written() -> None:
    before = document_of(item_of(STORED))
    after = changed(before, {"$set": {"state": "failed", "wiq": "q"}, "$unset": {"nextrun": ""}})

    assert changed_columns(before, after) == {"state": "failed"}


def _stored() -> ItemTable:
    items = ItemTable(Store(None))
    items.insert(item_of(STORED), NOW)
    return items


def _read(items: ItemTable) -> StoredItem:
    found = items.get("one")
    assert found is not None
    return found


def _waiting(items: ItemTable) -> bool:
    return items.any("waiting = 1")
