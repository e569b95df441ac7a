"""MongoDB's update operators on one document. Pure.

``$set``, ``$unset``, ``$inc`` and ``$push`` (with ``$each`` and ``$slice``) of fields inside of
objects are done here: an item is changed so for every one that a worker finishes. All else is
mongomock's.
"""

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

from worker.localserver.operations.bounded import require_places
from worker.localserver.operations.matching import asked
from worker.localserver.operations.patterns import with_timed_patterns
from worker.localserver.operations.queries import in_mongomock
from worker.localserver.storage import json_text
from worker.localserver.storage.errors import RefusedError

Document = dict[str, Any]
_MISSING: Final = object()


class _NotHereError(Exception):
    """An update that is mongomock's."""


def changed(document: Document, update: Document) -> Document:
    """Return a document after an update.

    Raises:
        RefusedError: MongoDB would refuse it, or the local server does not know it.
    """
    try:
        return _quickly(document, update)
    except _NotHereError:
        pass
    require_places(document, update)
    for operator in {"$set", "$inc", "$push"} & set(update):
        for path in update[operator]:
            _require_place(document, path)
    found = asked(lambda: in_mongomock([document]))
    asked(lambda: found.update_one({}, with_timed_patterns(update)))
    # Dates that it has made become text: documents are JSON here.
    return dict(json.loads(json_text.write(found.find_one({}))))


def changes_payload(update: Document) -> bool:
    """Say whether an update has to know payloads to change them; when in doubt it does."""
    for operator, fields in update.items():
        if operator not in _OPERATORS or (operator != "$set" and "payload" in fields):
            return True
        for path in fields:
            if path[:8] == "payload.":
                return True
    return False


def _quickly(document: Document, update: Document) -> Document:
    result = dict(document)
    copied: set[int] = set()
    for operator, fields in update.items():
        act = _OPERATORS.get(operator)
        if act is None:
            raise _NotHereError
        if "." not in "".join(fields):
            if operator == "$set":
                result.update(fields)
                continue
            for path, value in fields.items():
                act(result, path, value, path)
            continue
        for path, value in fields.items():
            if "." not in path:
                act(result, path, value, path)
                continue
            above, _, name = path.rpartition(".")
            place = _place(result, above, copied, make=operator != "$unset")
            if place is not None:
                act(place, name, value, path)
    return result


def _place(result: Document, above: str, copied: set[int], *, make: bool) -> Document | None:
    """Return the object that a field is in, a copy of its own; None where there is none.

    Args:
        make: whether objects on the way are made where there are none.
    """
    inside = result
    names = above.split(".")
    for name in names:
        found = inside.get(name, _MISSING)
        if found is _MISSING:
            if not make:
                return None
            found = {}
        elif not isinstance(found, dict):
            raise _NotHereError
        elif id(found) not in copied:
            found = dict(found)
        inside[name] = found
        copied.add(id(found))
        inside = found
    return inside


def _set(place: Document, name: str, value: Any, path: str) -> None:
    place[name] = value


def _unset(place: Document, name: str, value: Any, path: str) -> None:
    place.pop(name, None)


def _inc(place: Document, name: str, value: Any, path: str) -> None:
    found = place.get(name, 0)
    if not _is_number(value):
        raise _NotHereError
    if not _is_number(found):
        raise RefusedError(
            "Cannot apply $inc to a value of non-numeric type."
            f" The document has the field '{name}' of non-numeric type"
        )
    place[name] = found + value


def _push(place: Document, name: str, value: Any, path: str) -> None:
    new, last = [value], None
    if isinstance(value, dict) and ("$each" in value or any(key[:1] == "$" for key in value)):
        each, last = value.get("$each"), value.get("$slice")
        if not value.keys() <= {"$each", "$slice"} or not isinstance(each, list):
            raise _NotHereError
        if last is not None and (not isinstance(last, int) or isinstance(last, bool)):
            raise _NotHereError
        new = each
    found = place.get(name, [])
    if not isinstance(found, list):
        raise RefusedError(f"The field '{path}' must be an array but is of another type")
    found = [*found, *new]
    if last is not None:
        found = found[:last] if last >= 0 else found[last:]
    place[name] = found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require_place(document: Document, path: str) -> None:
    """Refuse a field inside of what is no object, as MongoDB does.

    Raises:
        RefusedError: there is no place for it.
    """
    inside: Any = document
    for name, following in pairwise(path.split(".")):
        if not isinstance(inside, dict) or name not in inside:
            return
        inside = inside[name]
        in_list = isinstance(inside, list) and (following.isdecimal() or following[:1] == "$")
        if not isinstance(inside, dict) and not in_list:
            raise RefusedError(
                f"Cannot create field '{following}' in element {{{name}: {json.dumps(inside)}}}"
            )


_OPERATORS: Final[Mapping[str, Callable[[Document, str, Any, str], None]]] = {
    "$set": _set,
    "$unset": _unset,
    "$inc": _inc,
    "$push": _push,
}
