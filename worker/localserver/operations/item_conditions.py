"""What SQL says of conditions and orders of items, exactly as mongomock would. Pure.

1. A part of a query becomes SQL only where it means the same for every item; what does not stays
   for mongomock.
2. A condition on a payload's field is SQL for the items in which that field is a plain value, and a
   question to mongomock for each of the others (an array on the way, text that is a date): so the
   answer is whole, and 100,000 usual items cost what SQL takes.
3. Values never become part of a statement; names of fields do where they are letters, digits, ``_``
   and ``-``.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from worker.localserver.operations.matching import applies, prepared
from worker.localserver.operations.plain_conditions import names_one
from worker.localserver.storage import json_text
from worker.localserver.storage.document_table import COMPARISONS
from worker.localserver.storage.item_rules import FAILED, NEW, PROCESSING

ITEM_TIMES: Final = ("nextrun", "lastrun")
ITEM_COLUMNS: Final = {"_id": "id", "wiq": "wiq", "wiqid": "wiqid", "state": "state"}
WITH_INDEXES: Final = (NEW, PROCESSING, FAILED)
"""States whose items are in partial indexes (``store.py``)."""
TEXTS: Final = ("name", "errormessage", "errorsource", "errortype", "username")
"""Columns of text; of all but the name, "" is a field that is not there."""
NUMBERS: Final = ("priority", "retries")
OF_CLIENTS: Final = "openiap_worker_"
"""How the names of fields begin that this package puts beside those of OpenIAP."""
DATE_LIKE: Final = "[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T*"
"""Every text that is a date to OpenIAP is like this, and few others."""
DATE: Final = (
    "[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9]Z"
)
"""A date as the server itself writes it: such ones are in the order of their texts."""
CREATED: Final = "json_extract(extra, '$._created')"
MOST_VALUES: Final = 500
EXACT: Final = 2**53
_EPOCH: Final = datetime(1970, 1, 1)
"""Without a zone, as ``json_text.with_dates`` makes them."""
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_COLUMN: Final = re.compile(
    rf"\b(?:{'|'.join((*ITEM_COLUMNS.values(), *TEXTS, *NUMBERS, *ITEM_TIMES))}"
    r"|modified|extra|payload)\b"
)
_QUOTED: Final = re.compile("'[^']*'")
"""In it, a field of a payload may be called as a column."""
_FLIPPED: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}

Question = Callable[[Any], bool]
"""Asked of a column's text where SQL cannot tell; stands among the values."""


@dataclass(slots=True)
class Sql:
    """A condition, and the values of its placeholders."""

    parts: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, part: str, *values: Any) -> None:
        """Take another condition, which must hold as well."""
        self.parts.append(part)
        self.values.extend(values)

    @property
    def text(self) -> str:
        """The condition; "" for none."""
        return " AND ".join(self.parts)


def item_condition(
    query: dict[str, Any],
    *,
    dates: bool = True,
    indexed: Callable[[str], bool] = lambda path: False,
) -> tuple[str, list[Any], dict[str, Any]]:
    """Return the part of a query on items that SQL answers, its values, and the rest.

    Args:
        query: MongoDB's query language.
        dates: see ``Queries.matching``; else no text is compared with an item's times, and only
            what names items is SQL.
        indexed: whether there is an index on a payload's field.
    """
    named, plain, dear = Sql(), Sql(), Sql()
    rest: dict[str, Any] = {}
    for key, wanted in query.items():
        if key == "$or" and names_one(wanted):  # as conditional updates come here
            named.add("id = ?", wanted[0]["_id"])
        elif key == "_type" and wanted == "workitem":
            continue
        elif not (_names(named, key, wanted) or (dates and _says(plain, dear, key, wanted))):
            rest[key] = wanted
    if dates and any(indexed(path) for path in _looked_up(query)):
        # A field of the payload tells more than the queue; SQLite thinks otherwise. The plus keeps
        # it from the queue's index.
        named.parts = [f"+{part}" for part in named.parts]
    # What has to ask Python comes last: SQLite goes from the left where no index helps.
    found = (named, plain, dear)
    return (
        " AND ".join(part for one in found for part in one.parts),
        [value for one in found for value in one.values],
        rest,
    )


def _looked_up(query: dict[str, Any]) -> Iterator[str]:
    """Yield the payload's fields that have to be one of some values."""
    for key, wanted in query.items():
        if key.startswith("payload.") and (not isinstance(wanted, dict) or "$in" in wanted):
            yield key
        elif key == "$and" and isinstance(wanted, list):
            for one in wanted:
                if isinstance(one, dict):
                    yield from _looked_up(one)


def _names(sql: Sql, key: str, wanted: object) -> bool:
    """Take what names items by id, queue or state; say whether it is that."""
    column = ITEM_COLUMNS.get(key)
    if column is None:
        return False
    several = wanted.get("$in") if isinstance(wanted, dict) and len(wanted) == 1 else None
    if isinstance(wanted, str):
        # As text where SQLite is to find a partial index.
        if column == "state" and wanted in WITH_INDEXES:
            sql.add(f"state = '{wanted}'")
        else:
            sql.add(f"{column} = ?", wanted)
        return True
    if isinstance(several, list) and 0 < len(several) <= MOST_VALUES and _all_text(several):
        sql.add(f"{column} IN ({', '.join('?' * len(several))})", *several)
        return True
    return False


def _says(sql: Sql, dear: Sql, key: str, wanted: object) -> bool:
    """Take whatever else SQL can say; say whether it can."""
    if key in ("$and", "$or"):
        return _combined(dear, key, wanted)
    if key in ITEM_TIMES or key == "_modified":
        times = _times(wanted)
        column = "modified" if key == "_modified" else key
        for name, moment in times.items():
            sql.add(f"{column} {COMPARISONS[name]} ?", _milliseconds(name, moment))
        return bool(times)
    if key == "_created":
        return _about_created(sql, wanted)
    if key in ("_id", "state", "wiq"):
        return _compares_text(sql, ITEM_COLUMNS[key], wanted)
    if key in TEXTS:
        return _about_text(sql, dear, key, wanted)
    if key in NUMBERS:
        return _about_number(sql, key, wanted)
    if key.startswith("payload."):
        return _about_payload(dear, key, wanted)
    if key.startswith(OF_CLIENTS):
        return _about_extra(sql, key, wanted)
    return False


def _about_extra(sql: Sql, key: str, wanted: object) -> bool:
    """Take what a field that workers put beside the others is."""
    if not _SEGMENT.fullmatch(key) or not _is_text(wanted):
        return False
    value, kind = (f"json_{what}(extra, '$.\"{key}\"')" for what in ("extract", "type"))
    odd = f"ifnull({kind}, '') = 'array'"
    # Most have no such field, and are not read for it.
    there = f"instr(extra, '\"{key}\"') > 0"
    is_it = f"({value} = ? AND NOT {odd}) OR ({odd} AND asked(?, extra))"
    sql.add(f"CASE WHEN {there} THEN ({is_it}) ELSE 0 END", wanted, _met_by_extra(key, wanted))
    return True


def _about_created(sql: Sql, wanted: object) -> bool:
    """Take bounds for when items came: texts of dates as the server writes them are in order."""
    try:
        bounds = {
            name: json_text.write_date(_milliseconds(name, moment))
            for name, moment in _times(wanted).items()
        }
    except (ValueError, OverflowError):  # beyond the last year
        return False
    if not bounds:
        return False
    plain = " AND ".join(f"{CREATED} {COMPARISONS[name]} ?" for name in bounds)
    sql.add(
        f"CASE WHEN {CREATED} GLOB '{DATE}' THEN {plain} ELSE asked(?, extra) END",
        *bounds.values(),
        _met_by_extra("_created", wanted),
    )
    return True


def _met_by_extra(key: str, wanted: object) -> Question:
    """Return what says of the fields beside the columns whether one is as wanted."""
    condition = prepared({key: wanted}, dates=True)

    def meets(found: Any) -> bool:
        return applies(condition, json_text.with_dates(json_text.parse(found)))

    return meets


def _combined(sql: Sql, key: str, wanted: object) -> bool:
    if not isinstance(wanted, list) or not wanted:
        return False
    parts: list[str] = []
    values: list[Any] = []
    for one in wanted:
        if not isinstance(one, dict) or not one:
            return False
        text, found, rest = item_condition(one)
        if rest or not text:
            return False
        parts.append(f"({text})")
        values += found
    if key == "$or" and any("payload" in part for part in parts):
        each = _each_by_itself(parts)
        if each:
            sql.add(each, *values)
            return True
    sql.add(f"({' AND '.join(parts) if key == '$and' else ' OR '.join(parts)})", *values)
    return True


def _each_by_itself(parts: list[str]) -> str:
    """Return alternatives as what is found for each, so that each has the use of its indexes, some
    of which are of items and some of their payloads; "" where one is of both, or where they are
    more than SQLite puts together."""
    if len(parts) > MOST_VALUES:
        return ""
    found = []
    for part in parts:
        columns = set(_COLUMN.findall(_QUOTED.sub("", part)))
        if "payload" in columns and columns != {"payload"}:
            return ""
        table = "payloads" if "payload" in columns else "workitems"
        found.append(f"SELECT seq FROM {table} WHERE {part}")  # noqa: S608 (made here)
    return f"seq IN ({' UNION '.join(found)})"


def _compares_text(sql: Sql, column: str, wanted: object) -> bool:
    """Take bounds, and what is not, for a column whose texts are never dates, nor empty."""
    if not isinstance(wanted, dict) or not wanted:
        return False
    found = Sql()
    for operator, value in wanted.items():
        if operator == "$in" and isinstance(value, list) and 0 < len(value) <= MOST_VALUES:
            if not _all_text(value):
                return False
            found.add(f"{column} IN ({', '.join('?' * len(value))})", *value)
        elif not _is_text(value):
            return False
        elif operator == "$ne":
            found.add(f"{column} <> ?", value)
        elif operator in COMPARISONS:
            found.add(f"{column} {COMPARISONS[operator]} ?", value)
        else:
            return False
    sql.parts += found.parts
    sql.values += found.values
    return True


def _about_text(sql: Sql, dear: Sql, column: str, wanted: object) -> bool:
    if _is_text(wanted) and wanted:
        sql.add(f"{column} = ?", wanted)
        return True
    several = wanted.get("$in") if isinstance(wanted, dict) and len(wanted) == 1 else None
    if isinstance(several, list) and 0 < len(several) <= MOST_VALUES and all(several):
        if not _all_text(several):
            return False
        sql.add(f"{column} IN ({', '.join('?' * len(several))})", *several)
        return True
    if isinstance(wanted, dict) and "$regex" in wanted and set(wanted) <= {"$regex", "$options"}:
        condition = prepared({"it": wanted}, dates=True)

        def has(text: Any) -> bool:
            return applies(condition, {"it": json_text.with_dates(text)})

        missing = "" if column == "name" else f"{column} <> '' AND "
        dear.add(f"({missing}asked(?, {column}))", has)
        return True
    return False


def _about_number(sql: Sql, column: str, wanted: object) -> bool:
    if _is_number(wanted):
        sql.add(f"{column} = ?", wanted)
        return True
    if not isinstance(wanted, dict) or not wanted:
        return False
    if not all(name in COMPARISONS and _is_number(value) for name, value in wanted.items()):
        return False
    for name, value in wanted.items():
        sql.add(f"{column} {COMPARISONS[name]} ?", value)
    return True


def _about_payload(sql: Sql, key: str, wanted: object) -> bool:
    names = key.split(".")[1:]
    if not all(_SEGMENT.fullmatch(name) for name in names) or len(names) > 20:
        return False
    value, kind = extracted(key), f"json_type(payload, '{_path(names)}')"
    odd, known = _odd(names, kind), _plain_condition(value, kind, wanted)
    if known is None:
        return False
    plain, values = known
    condition = prepared({key: wanted}, dates=True)

    def meets(payload: Any) -> bool:
        document = {"payload": json_text.with_dates(json_text.parse(payload))}
        return applies(condition, document)

    if isinstance(wanted, dict) and set(wanted) != {"$in"}:
        sql.add(f"CASE WHEN {odd} THEN asked(?, payload) ELSE {plain} END", meets, *values)
    else:
        # In two parts, so that an index on the field is of use, beside one of the odd ones.
        sql.add(f"(({plain} AND NOT {odd}) OR ({odd} = 1 AND asked(?, payload)))", *values, meets)
    return True


def _plain_condition(value: str, kind: str, wanted: object) -> tuple[str, list[Any]] | None:
    """Return what a comparison is for items in which the field is plain, or is not there."""
    if _is_text(wanted) or _is_number(wanted):
        return f"{value} = ?", [wanted]
    if not isinstance(wanted, dict) or len(wanted) != 1:
        return None
    ((operator, operand),) = wanted.items()
    if operator == "$in" and isinstance(operand, list) and 0 < len(operand) <= MOST_VALUES:
        if not all(_is_text(one) or _is_number(one) for one in operand):
            return None
        return f"{value} IN ({', '.join('?' * len(operand))})", list(operand)
    if operator == "$ne" and (_is_text(operand) or _is_number(operand)):
        return f"{value} IS NOT ?", [operand]
    if operator in _FLIPPED and _is_number(operand):
        kinds = "('integer', 'real')"
    elif operator in _FLIPPED and _is_text(operand):
        kinds = "('text')"
    else:
        return None
    return f"({kind} IN {kinds} AND {value} {_FLIPPED[operator]} ?)", [operand]


def oddness(key: str) -> str:
    """Return what is 1 for items in which a payload's field is not plain, else 0."""
    names = key.split(".")[1:]
    return _odd(names, f"json_type(payload, '{_path(names)}')")


def _odd(names: list[str], kind: str) -> str:
    """Return when a field is no plain value: in an array, or itself an array, an object, true,
    false, or what may be a date. Python takes true for 1; an array equals each of its members."""
    above = [_path(names[:depth]) for depth in range(len(names))]
    ways = [f"ifnull(json_type(payload, '{path}'), '') = 'array'" for path in above]
    ways.append(f"ifnull({kind}, '') IN ('array', 'object', 'true', 'false')")
    value = f"json_extract(payload, '{_path(names)}')"
    ways.append(f"ifnull({value}, '') GLOB '{DATE_LIKE}'")
    return f"({' OR '.join(ways)})"


def extracted(key: str) -> str:
    """Return a payload's field as SQL."""
    return f"json_extract(payload, '{_path(key.split('.')[1:])}')"


def is_path(key: str) -> bool:
    """Say whether SQL can have a payload's field."""
    names = key.split(".")[1:]
    return key.startswith("payload.") and all(_SEGMENT.fullmatch(one) for one in names)


def _path(names: list[str]) -> str:
    return "$" + "".join(f'."{name}"' for name in names)


def _times(wanted: object) -> dict[str, datetime]:
    """Return bounds for a time, or {} where this is none."""
    if not isinstance(wanted, dict) or not all(name in COMPARISONS for name in wanted):
        return {}
    moments = {name: json_text.with_dates(text) for name, text in wanted.items()}
    return moments if all(isinstance(one, datetime) for one in moments.values()) else {}


def _milliseconds(operator: str, moment: datetime) -> int:
    """Return a bound in whole milliseconds, which items' times are in, that lets pass the same."""
    micros = (moment - _EPOCH) // timedelta(microseconds=1)
    below, rest = divmod(micros, 1000)
    # Later than 3.4 is later than 3; from 3.4 on is from 4 on.
    return below + 1 if rest and operator in ("$gte", "$lt") else below


def _is_text(value: object) -> bool:
    """Say whether this is text that is no date, and that SQLite can have."""
    return (
        isinstance(value, str)
        and isinstance(json_text.with_dates(value), str)
        and "\x00" not in value
        and (value.isascii() or value.encode("utf-8", "replace").decode() == value)
    )


def _all_text(values: list[Any]) -> bool:
    return all(isinstance(one, str) and _is_text(one) for one in values)


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and -EXACT <= value <= EXACT
    )
