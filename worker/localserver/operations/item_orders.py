"""The order of items in SQL, and the indexes that help with it. Pure.

SQLite orders as MongoDB does: nothing, then numbers, then text. What else there may be (an array, a
date that is no column of its own) is odd: a query for which there is an odd item is mongomock's.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.localserver.operations.item_conditions import (
    CREATED,
    DATE,
    DATE_LIKE,
    extracted,
    is_path,
    oddness,
)

COLUMNS: Final[Mapping[str, str]] = {
    "_id": "id",
    "_modified": "modified",
    "nextrun": "nextrun",
    "lastrun": "lastrun",
    "priority": "priority",
    "retries": "retries",
    "name": "name",
    "state": "state",
    "wiq": "wiq",
    "errortype": "errortype",
    "errormessage": "errormessage",
    "username": "username",
}
NEVER_ODD: Final = ("modified", "nextrun", "lastrun", "priority", "retries", "state")
ODD_CREATED: Final = f"(ifnull({CREATED}, '') NOT GLOB '{DATE}')"
ODD_IDS: Final = "workitems_odd_ids"
"""Always there (``store.py``), since pages are walked by id."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as SQL.

    Attributes:
        odd: conditions for items that are not in this order, each with the name of an index that
            has just these, where there may be one.
    """

    text: str
    odd: tuple[tuple[str, str], ...]


def item_order(orderby: Mapping[str, Any]) -> Order | None:
    """Return an order of items as SQL; None where SQL cannot tell."""
    terms: list[str] = []
    odd: list[tuple[str, str]] = []
    for field, direction in orderby.items():
        if isinstance(direction, bool) or not isinstance(direction, int | float):
            return None
        known = _expression(field)
        if known is None:
            return None
        expression, oddly = known
        terms.append(f"{expression} {'DESC' if direction < 0 else 'ASC'}")
        if field == "_id":
            odd.append((oddly, ODD_IDS))
        elif oddly:
            odd.append((f"{oddly} = 1", odd_index(field)))
    if "_id" not in orderby:
        terms.append("seq")  # of the same value in the order they were added
    return Order(", ".join(terms), tuple(odd))


def index_statements(name: str, keys: Mapping[str, Any]) -> list[str]:
    """Return what makes an index of items that SQL has use of; [] for one that it has not.

    Payloads stand in a table of their own, and no index is over two. Of one that has fields of the
    payload these make the index, since they tell more than queue and state.
    """
    inside = any(map(is_path, keys))
    table = "payloads" if inside else "workitems"
    terms = []
    statements = []
    for field, direction in keys.items():
        known = _expression(field)
        if known is None or isinstance(direction, bool) or not isinstance(direction, int | float):
            return []
        expression, odd = known
        if inside and not is_path(field):
            continue
        terms.append(f"{expression} {'DESC' if direction < 0 else 'ASC'}")
        if odd and (field == "_created" or is_path(field)):
            statements.append(f"CREATE INDEX IF NOT EXISTS {odd_index(field)} ON {table} ({odd})")
    index = f"CREATE INDEX IF NOT EXISTS {sql_name(name)} ON {table} ({', '.join(terms)})"
    return [index, *statements]


def sql_name(name: str) -> str:
    """Return the name under which SQL has an index; the given one may be any text."""
    return f"made_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:24]}"


def odd_index(field: str) -> str:
    """Return the name of the index of the items that are odd in a field."""
    return f"odd_{hashlib.sha256(field.encode('utf-8', 'replace')).hexdigest()[:24]}"


def _expression(field: str) -> tuple[str, str] | None:
    """Return a field as SQL, and what is 1 for items in which it is odd ("" for none)."""
    if field == "_created":
        return CREATED, ODD_CREATED
    if is_path(field):
        return extracted(field), oddness(field)
    column = COLUMNS.get(field)
    if column is None:
        return None
    return column, "" if column in NEVER_ODD else f"({column} GLOB '{DATE_LIKE}')"
