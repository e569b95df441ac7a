"""The sizes of documents in queries: ``{"$expr": {"$lte": [{"$bsonSize": "$$ROOT"}, 4000]}}``.

Of a whole document, of some of its fields (``{"$bsonSize": {"a": "$name", "b": "$a.b"}}``), or of
the whole without some (``$subtract``): what a client asks that wants to know beforehand what an
answer is going to weigh. mongomock has no such operator. Pure.

The size is that of the JSON text in bytes; MongoDB counts its own form, which differs by a little.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from worker.localserver.storage import json_text

_COMPARISONS: Final[Mapping[str, Callable[[int, float], bool]]] = {
    "$lte": operator.le,
    "$lt": operator.lt,
    "$gte": operator.ge,
    "$gt": operator.gt,
}
ROOT: Final = "$$ROOT"

Document = Mapping[str, Any]


class SizeCondition:
    """Compares a document's size with a number.

    Attributes:
        fields: what is weighed; () is the whole document.
        without: whether the fields are what is not.
    """

    def __init__(
        self, compares: Callable[[int, float], bool], fields: tuple[str, ...], limit: float
    ) -> None:
        self._compares = compares
        self._limit = limit
        self.fields: Final = fields
        self.without = False

    def met_by(self, document: Document) -> bool:
        """Say whether a document is as large as was asked for."""
        size = sum(map(len, (_text(_value(document, path)) for path in self.fields)))
        if self.without or not self.fields:
            size = len(_text(document)) - size
        return self._compares(size, self._limit)

    @property
    def needs_payload(self) -> bool:
        """Whether an item's payload is weighed."""
        return not self.fields or self.without or any(f.startswith("payload") for f in self.fields)


def size_condition(expression: object) -> SizeCondition | None:
    """Read what stands under ``$expr``; None for whatever else there may be."""
    match expression:
        case {**rest} if len(rest) == 1:
            ((name, operands),) = rest.items()
        case _:
            return None
    compares = _COMPARISONS.get(str(name))
    if compares is None or not isinstance(operands, list) or len(operands) != 2:
        return None
    size, limit = operands
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        return None
    match size:
        case {"$bsonSize": "$$ROOT"}:
            return SizeCondition(compares, (), limit)
        case {"$bsonSize": {**named}} if (fields := _fields(named)) is not None:
            return SizeCondition(compares, fields, limit)
        case {"$subtract": [{"$bsonSize": "$$ROOT"}, {"$bsonSize": {**named}}]} if (
            fields := _fields(named)
        ) is not None:
            condition = SizeCondition(compares, fields, limit)
            condition.without = True
            return condition
    return None


def _fields(named: Mapping[Any, object]) -> tuple[str, ...] | None:
    """Return the paths of the fields that an object is made of; None where it is of others."""
    found = []
    for path in named.values():
        if not isinstance(path, str) or not path.startswith("$") or path.startswith("$$"):
            return None
        found.append(path[1:])
    return tuple(found) or None


def _value(document: Document, path: str) -> object:
    value: object = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _text(value: object) -> bytes:
    return b"" if value is None else json_text.write(value).encode("utf-8", "surrogatepass")
