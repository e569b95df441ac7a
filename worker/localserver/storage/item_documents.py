"""A work item as a row and as the document that queries see. Pure.

1. What is stored becomes a document: dates are ISO text, empty fields are left out.
2. A document, as a client wrote it, becomes a row: odd values become usable ones.
3. Of a changed document only those columns are made that are others than before.
"""

import json
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

from worker.localserver.storage import json_text
from worker.localserver.storage.item_rules import DEFAULT_PRIORITY, NEW, StoredItem

TEXTS: Final = (
    "errormessage",
    "errorsource",
    "errortype",
    "success_wiq",
    "success_wiqid",
    "failed_wiq",
    "failed_wiqid",
)
_TEXTS_OF: Final = attrgetter(*TEXTS)
_ABSENT: Final = object()


def document_of(item: StoredItem) -> dict[str, Any]:
    """Return the document that queries see: dates as ISO text, empty fields left out."""
    document: dict[str, Any] = {
        "_id": item.id,
        "_type": "workitem",
        "name": item.name,
        "payload": {} if item.payload == "{}" else json_text.read_plain(item.payload),
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
    texts = _TEXTS_OF(item)
    if any(texts):
        document.update((name, text) for name, text in zip(TEXTS, texts, strict=True) if text)
    if item.extra:
        document.update(json_text.read_plain(item.extra))
    document["_modified"] = json_text.write_date(item.modified)
    document["_modifiedby"] = item.modifiedby
    document["_modifiedbyid"] = item.modifiedbyid
    document["_version"] = item.version
    return document


def item_of(document: dict[str, Any]) -> StoredItem:
    """Return a document, as a client wrote it, as an item; odd values become usable ones."""
    return StoredItem(
        id=str(document["_id"]),
        payload=_payload(document.get("payload")),
        extra=_extra(document),
        **{column: read(document.get(field)) for field, (column, read) in _FIELDS.items()},
    )


def changed_columns(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of ``item_of(after)`` that are others than before, by name.

    A column may be among them that is what it was: what is in an object is not compared.

    Args:
        before: the document as ``document_of`` returned it.
        after: another one of the same ``_id``; what did not change is the same object in it, or
            equal text.
    """
    columns: dict[str, Any] = {}
    extra = False
    for field in _changed_fields(before, after):
        own = _FIELDS.get(field)
        if own is not None:
            columns[own[0]] = own[1](after.get(field))
        elif field == "payload":
            columns["payload"] = _payload(after.get(field))
        elif field not in _OWN:
            extra = True
    if extra:
        columns["extra"] = _extra(after)
    return columns


def nextrun_of(document: dict[str, Any]) -> int | None:
    """Return when a document says that its item is due, in milliseconds since 1970."""
    return json_text.read_date(document.get("nextrun"))


def files_text(files: list[dict[str, str]]) -> str:
    """Return an item's files as its row has them."""
    return json.dumps(files) if files else ""


def _changed_fields(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    # Equal text alone: to Python true is 1 and 1.0 is 1, inside of an object as well.
    changed = [
        field
        for field, value in after.items()
        if (was := before.get(field, _ABSENT)) is not value
        and not (value.__class__ is was.__class__ is str and value == was)
    ]
    if not before.keys() <= after.keys():
        changed += [field for field in before if field not in after]
    return changed


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _state(value: object) -> str:
    return _text(value) or NEW


def _number(value: object, default: int = 0) -> int:
    return int(value) if isinstance(value, (int, float)) else default


def _priority(value: object) -> int:
    return _number(value, DEFAULT_PRIORITY)


def _moment(value: object) -> int:
    return json_text.read_date(value) or 0


def _files(value: object) -> list[dict[str, str]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _payload(value: object) -> str:
    return json_text.write_plain({} if value is None else value)


def _extra(document: dict[str, Any]) -> str:
    # The rights first: so they are found without reading all of it.
    return json_text.write_plain(
        {"_acl": document.get("_acl"), **{k: v for k, v in document.items() if k not in _OWN}}
    )


_FIELDS: Final[Mapping[str, tuple[str, Callable[[object], Any]]]] = {
    "wiqid": ("wiqid", _text),
    "wiq": ("wiq", _text),
    "state": ("state", _state),
    "priority": ("priority", _priority),
    "nextrun": ("nextrun", json_text.read_date),
    "lastrun": ("lastrun", json_text.read_date),
    "retries": ("retries", _number),
    "name": ("name", _text),
    "files": ("files", _files),
    "userid": ("userid", _text),
    "username": ("username", _text),
    **{name: (name, _text) for name in TEXTS},
    "_version": ("version", _number),
    "_modified": ("modified", _moment),
    "_modifiedby": ("modifiedby", _text),
    "_modifiedbyid": ("modifiedbyid", _text),
}
"""By field of the document: its column, and what makes the one of the other."""
_OWN: Final = frozenset(_FIELDS) | {"_id", "_type", "payload", "modifiedbyid"}
"""What does not stand among the fields that clients added."""
