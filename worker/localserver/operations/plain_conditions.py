"""The plain part of MongoDB's query language, for conditions that come with every item.

mongomock knows all of the language and takes its time. Here are comparisons of single values with
fields, also deep inside, and the alternatives of those; whatever else there is, on either side, is
left to mongomock. Pure.
"""

from datetime import datetime, timedelta
from typing import Any, Final, TypeGuard

from worker.localserver.storage import json_text


class NotPlain(Exception):
    """It is for mongomock to say."""


_EPOCH: Final = datetime(1970, 1, 1)
"""Without a zone, as ``json_text.with_dates`` makes them."""
_LAST: Final = 50_000_000_000_000
"""Milliseconds around 1970 of which Python makes dates."""
_SINGLE: Final = frozenset({str, int, float, bool, type(None)})


def applies_plainly(condition: dict[str, Any], document: dict[str, Any]) -> bool:
    """Say whether a document, as it is stored, meets a condition in which texts are no dates.

    Raises:
        NotPlain: this cannot tell.
    """
    for key, wanted in condition.items():
        if key[:1] != "$":
            met = _compares(_value(document, key), wanted)
        elif key in ("$and", "$or"):
            if not isinstance(wanted, list) or not wanted:
                raise NotPlain
            # All of them, not as many as decide it: one may be for mongomock.
            found = 0
            for part in wanted:
                if not isinstance(part, dict):
                    raise NotPlain
                found += applies_plainly(part, document)
            met = found == len(wanted) if key == "$and" else found > 0
        elif key == "$expr":
            met = _same_moment(wanted, document)
        else:
            raise NotPlain
        if not met:
            return False
    return True


def _compares(value: object, wanted: object) -> bool:
    if not isinstance(wanted, dict):
        return _same(value, wanted)
    if len(wanted) != 1:
        raise NotPlain
    ((operator, operand),) = wanted.items()
    if operator == "$ne":
        return not _same(value, operand)
    if operator == "$in" and isinstance(operand, list):
        for one in operand:  # noqa: SIM110 (thrice per item: no generator)
            if _same(value, one):
                return True
        return False
    raise NotPlain


def _same(value: object, wanted: object) -> bool:
    if wanted is None:
        return value is None
    kind = wanted.__class__
    if kind is str:
        return value == wanted
    if kind not in _SINGLE:
        raise NotPlain
    if (value.__class__ is bool) is not (kind is bool):
        return False  # Python takes true for 1
    return value == wanted


def _value(document: dict[str, Any], path: str) -> object:
    """Return what a document has at a path; None for nothing, which compares like null."""
    value: object = document
    if "." not in path:
        value = document.get(path)
    else:
        for name in path.split("."):
            if not isinstance(value, dict):
                raise NotPlain
            if name not in value:
                return None
            value = value[name]
    # In MongoDB a list equals each of its members, and a date no text.
    if isinstance(value, list) or (isinstance(value, str) and json_text.is_date(value)):
        raise NotPlain
    return value


def _same_moment(expression: object, document: dict[str, Any]) -> bool:
    """Compare a date with one that is made of milliseconds: ``{"$eq": ["$field", {"$toDate"}]}``"""
    # No match statement: this comes with every item, and it takes three times as long.
    sides = expression.get("$eq") if isinstance(expression, dict) and len(expression) == 1 else None
    if not isinstance(sides, list) or len(sides) != 2 or not isinstance(sides[1], dict):
        raise NotPlain
    field, moment = sides[0], sides[1].get("$toDate")
    if not isinstance(field, str) or not isinstance(moment, int) or len(sides[1]) != 1:
        raise NotPlain
    if not field.startswith("$") or "." in field or field[1:2] == "$":
        raise NotPlain
    text = document.get(field[1:])
    if not isinstance(text, str):
        return False
    # As the server itself writes it, nearly always.
    if abs(moment) < _LAST and text == json_text.write_date(moment):
        return True
    return json_text.is_date(text) and json_text.read_date(text) == moment


def with_made_dates(query: Any) -> Any:
    """Return a query in which ``{"$toDate": milliseconds}`` is the date that MongoDB makes of it;
    mongomock has no such operator."""
    if isinstance(query, list):
        return [with_made_dates(part) for part in query]
    if not isinstance(query, dict):
        return query
    moment = query.get("$toDate")
    if len(query) == 1 and isinstance(moment, int) and abs(moment) < _LAST:
        return _EPOCH + timedelta(milliseconds=moment)
    return {key: with_made_dates(part) for key, part in query.items()}


def names_one(alternatives: object) -> TypeGuard[list[dict[str, str]]]:
    """Say whether this is one alternative, which is an ``_id`` and nothing else."""
    if not isinstance(alternatives, list) or len(alternatives) != 1:
        return False
    (only,) = alternatives
    return isinstance(only, dict) and set(only) == {"_id"} and isinstance(only["_id"], str)
