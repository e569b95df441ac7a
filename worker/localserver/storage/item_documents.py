"""The documents that queries see of work items; one that a client has written becomes an item
again. Pure."""

import json
from typing import Any, Final

from worker.localserver.storage import json_text
from worker.localserver.storage.item_rules import DEFAULT_PRIORITY, NEW, StoredItem
from worker.localserver.storage.item_table import COLUMNS

_TEXTS: Final = (
    "errormessage",
    "errorsource",
    "errortype",
    "success_wiq",
    "success_wiqid",
    "failed_wiq",
    "failed_wiqid",
)
_OWN: Final = frozenset(COLUMNS.split(", ")) - {
    "id",
    "version",
    "modified",
    "modifiedby",
    "extra",
} | {
    "_id",
    "_type",
    "_version",
    "_modified",
    "_modifiedby",
    "_modifiedbyid",
}


def document_of(item: StoredItem) -> dict[str, Any]:
    """Return the document that queries see: dates as ISO text, empty fields left out."""
    document: dict[str, Any] = {
        "_id": item.id,
        "_type": "workitem",
        "name": item.name,
        "payload": json.loads(item.payload),
        "state": item.state,
        "priority": item.priority,
        "retries": item.retries,
        "wiq": item.wiq,
        "wiqid": item.wiqid,
        "files": item.files,
        "userid": item.userid or None,
        "username": item.username or None,
    }
    if item.nextrun is not None:
        document["nextrun"] = json_text.write_date(item.nextrun)
    # Null and not absent, as in OpenIAP: what chokes on null there is to choke on it here.
    document["lastrun"] = None if item.lastrun is None else json_text.write_date(item.lastrun)
    for name in _TEXTS:
        if text := getattr(item, name):
            document[name] = text
    if item.extra:
        document.update(json.loads(item.extra))
    document["_modified"] = json_text.write_date(item.modified)
    document["_modifiedby"] = item.modifiedby
    document["_modifiedbyid"] = item.modifiedbyid
    document["_version"] = item.version
    return document


def item_of(document: dict[str, Any]) -> StoredItem:
    """Return a document, as a client wrote it, as an item; odd values become usable ones."""
    payload = document.get("payload")
    files = document.get("files")
    item = StoredItem(
        id=str(document["_id"]),
        wiqid=_text(document.get("wiqid")),
        wiq=_text(document.get("wiq")),
        state=_text(document.get("state")) or NEW,
        priority=_number(document.get("priority"), DEFAULT_PRIORITY),
        nextrun=json_text.read_date(document.get("nextrun")),
        lastrun=json_text.read_date(document.get("lastrun")),
        retries=_number(document.get("retries"), 0),
        name=_text(document.get("name")),
        payload=json_text.write({} if payload is None else payload),
        files=[file for file in files if isinstance(file, dict)] if isinstance(files, list) else [],
        userid=_text(document.get("userid")),
        username=_text(document.get("username")),
        version=_number(document.get("_version"), 0),
        modified=json_text.read_date(document.get("_modified")) or 0,
        modifiedby=_text(document.get("_modifiedby")),
        modifiedbyid=_text(document.get("_modifiedbyid")),
        # The rights first: so they are found without reading all of it.
        extra=json_text.write(
            {"_acl": document.get("_acl"), **{k: v for k, v in document.items() if k not in _OWN}}
        ),
    )
    for name in _TEXTS:
        setattr(item, name, _text(document.get(name)))
    return item


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: object, default: int) -> int:
    return int(value) if isinstance(value, (int, float)) else default
