"""From a filter to one query that a server answers. Pure.

1. Nothing that a user writes becomes part of the query's language: fields are names of payload
   fields, values are single values, texts are escaped, patterns are plain ones.
2. Alternatives stand inside ``$and``: OpenIAP puts an ``$or`` of its own in the place of one that
   stands beside an ``_id`` of 24 digits.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.durations import seconds
from worker.item.outcome import WAITS
from worker.management.items.errors import FilterError
from worker.management.items.patterns import trouble_with
from worker.management.items.types import ItemFilter, PayloadCondition
from worker.openiap.values import iso
from worker.openiap.workitem import NEW, JsonObject

PAST: Final = (
    "a time ago like 90s, 2h or 3d, or a date and time like 2026-12-24T18:00 or"
    " 2026-12-24T18:00+01:00"
)
DEEPEST: Final = 10
MOST_VALUES: Final = 100
LONGEST: Final = 1_000
EXPRESSION: Final = "__REGEXP "
"""What OpenIAP takes for a regular expression, wherever it stands in a query."""
TURN: Final = "waits for its turn: key "
_FIELD: Final = re.compile(r"[^$.\x00][^.\x00]*(?:\.[^$.\x00][^.\x00]*)*")
_COMPARISONS: Final[Mapping[str, str]] = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_CONDITION: Final = re.compile(r"\s*(.+?)\s*(!=|>=|<=|=|>|<|\s+in\s+)\s*(.*?)\s*", re.DOTALL)
_ATTEMPTS: Final = re.compile(r"(>=|<=|>|<|=)?\s*(\d{1,6})|(\d{1,6})\s*\.\.\s*(\d{1,6})")


def query_of(filter: ItemFilter, *, before: datetime | None = None) -> JsonObject:
    """Return the query for a filter; groups of errors are not of it (``grouping.py``).

    Args:
        before: only what did not change after this moment.

    Raises:
        FilterError: a part of it cannot be asked.
    """
    query: JsonObject = {"_type": "workitem"}
    parts: list[JsonObject] = []
    if filter.ids:
        query["_id"] = {"$in": [_plain("ids", id) for id in filter.ids]}
    if filter.queue is not None:
        query["wiq"] = _plain("queue", filter.queue)
    if len(filter.states) == 1:
        query["state"] = filter.states[0]
    elif filter.states:
        query["state"] = {"$in": list(dict.fromkeys(filter.states))}
    if filter.name is not None:
        query["name"] = _plain("name", filter.name)
    if filter.error_kind is not None:
        query["errortype"] = filter.error_kind
    changed = {
        "$gte": None if filter.since is None else _moment("since", filter.since),
        "$lte": _earlier(filter.until, before),
    }
    if any(changed.values()):
        query["_modified"] = {name: text for name, text in changed.items() if text}
    parts += _errors(filter)
    parts += _attempts(filter)
    if filter.worker is not None:
        worker = _plain("worker", filter.worker)
        by = {"$regex": f"^worker {re.escape(worker)},"}
        parts.append({"$or": [{"username": worker}, {"errorsource": by}]})
    if filter.key is not None:
        query["state"] = NEW
        query[f"{WAITS}.why"] = f"{TURN}{_plain('key', filter.key)}"
        if filter.states and NEW not in filter.states:
            raise FilterError("key", filter.key, "with the state new, since only waiting items do")
    parts += [_compared(condition) for condition in filter.payload]
    if parts:
        query["$and"] = parts
    return query


def condition_of(text: str) -> PayloadCondition:
    """Read a condition from text: ``payload.customer=acme``, ``payload.amount>=10``,
    ``payload.country in DE,FR``.

    A value that reads as a number, true, false or null is that, and the same text; ``"4711"`` is
    text alone.

    Raises:
        FilterError: it is none.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise FilterError("where", text, "FIELD=VALUE, with =, !=, >, >=, <, <= or in")
    field, operator, value = found[1], found[2].strip(), found[3]
    if operator == "in":
        values = [one for part in value.split(",") for one in _read(part.strip())]
        return PayloadCondition(field=field, op="in", value=values)
    read = _read(value)
    if operator == "=" and len(read) > 1:
        return PayloadCondition(field=field, op="in", value=read)
    return PayloadCondition(field=field, op=operator, value=read[0])


def attempts_of(text: str) -> tuple[int | None, int | None]:
    """Read a number of attempts as the least and the most: ``3``, ``>=3``, ``<3``, ``1..3``.

    Raises:
        FilterError: it is none.
    """
    found = _ATTEMPTS.fullmatch(text.strip())
    if found is None:
        raise FilterError("attempts", text, "a number, >=3, <3 or 1..3")
    if found[3]:
        return int(found[3]), int(found[4])
    least = most = int(found[2])
    match found[1]:
        case ">=":
            return least, None
        case ">":
            return least + 1, None
        case "<=":
            return None, most
        case "<":
            return None, max(most - 1, 0)
    return least, most


def past_of(text: str, now: datetime) -> datetime:
    """Read a moment that is over: ``2h`` (ago), or an ISO date and time.

    Raises:
        ValueError: it is neither; the message says what is allowed.
    """
    bare = text.strip().removesuffix("ago").strip()
    try:
        return now - timedelta(seconds=seconds(bare))
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(PAST) from error


def filter_of(typed: Mapping[str, Any], past: Callable[[str, str], datetime]) -> ItemFilter:
    """Return the filter that was typed: as options of the command line, or as a query string.

    Args:
        typed: by name; ``state`` and ``where`` are lists, ``attempts``, ``since`` and ``until`` are
            text.
        past: reads ``since`` and ``until``: what is told their names and texts.

    Raises:
        FilterError: attempts, or a condition, that is none.
        pydantic.ValidationError: another part that is none.
    """
    parts = dict(typed)
    states, where = parts.pop("state") or [], parts.pop("where") or []
    attempts = parts.pop("attempts")
    least, most = (None, None) if attempts is None else attempts_of(attempts)
    for name in ("since", "until"):
        parts[name] = None if parts[name] is None else past(name, parts[name])
    conditions = [condition_of(one) for one in where]
    return ItemFilter(
        **parts, states=states, min_attempts=least, max_attempts=most, payload=conditions
    )


def _read(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | dict) or (isinstance(value, float) and not math.isfinite(value)):
        return [text]
    return [value, text]


def _errors(filter: ItemFilter) -> list[JsonObject]:
    parts: list[JsonObject] = []
    if filter.error is not None:
        parts.append(
            {"errormessage": {"$regex": re.escape(_plain("error", filter.error)), "$options": "i"}}
        )
    if filter.error_pattern is not None:
        trouble = trouble_with(filter.error_pattern)
        if trouble:
            raise FilterError("error_pattern", filter.error_pattern, trouble)
        pattern = _plain("error_pattern", filter.error_pattern)
        parts.append({"errormessage": {"$regex": pattern}})
    if filter.error_code is not None:
        code = re.escape(_plain("error_code", filter.error_code))
        parts.append({"errormessage": {"$regex": rf"^\[{code}\] "}})
    if filter.error_class is not None:
        name = re.escape(_plain("error_class", filter.error_class))
        # Those of this package say what is wrong without their name; the last line of the
        # traceback has it.
        parts.append(
            {
                "$or": [
                    {"errormessage": {"$regex": rf"^(\[[^\]]+\] )?{name}(:|$)"}},
                    {
                        "errorsource": {
                            "$regex": rf"(^|\n)([A-Za-z_][A-Za-z0-9_.]*\.)?{name}(:|\n|$)"
                        }
                    },
                ]
            }
        )
    return parts


def _attempts(filter: ItemFilter) -> list[JsonObject]:
    least, most = filter.min_attempts, filter.max_attempts
    if least is None and most is None:
        return []

    def bounds(less: int) -> JsonObject:
        found: JsonObject = {}
        if least is not None:
            found["$gte"] = least - less
        if most is not None:
            found["$lte"] = most - less
        return found

    return [
        {
            "$or": [
                {"state": NEW, "retries": bounds(0)},
                {"state": {"$ne": NEW}, "retries": bounds(1)},
            ]
        }
    ]


def _compared(condition: PayloadCondition) -> JsonObject:
    field = condition.field.removeprefix("payload.")
    if not _FIELD.fullmatch(field) or field.count(".") >= DEEPEST:
        raise FilterError(
            "payload",
            condition.field,
            f"a name like payload.customer, at most {DEEPEST} deep, no part beginning with $",
        )
    path, value = f"payload.{field}", condition.value
    if condition.op == "in":
        values = value if isinstance(value, list) else [value]
        if not 0 < len(values) <= MOST_VALUES:
            raise FilterError(path, f"{len(values)} values", f"1 to {MOST_VALUES} values")
        return {path: {"$in": [_value(path, one) for one in values]}}
    if isinstance(value, list):
        raise FilterError(path, value, f"a list with in alone, and not with {condition.op}")
    wanted = _value(path, value)
    if condition.op == "=":
        return {path: wanted}
    if condition.op == "!=":
        return {path: {"$ne": wanted}}
    if isinstance(wanted, bool) or wanted is None:
        raise FilterError(path, wanted, f"a number or a text after {condition.op}")
    return {path: {_COMPARISONS[condition.op]: wanted}}


def _value(path: str, value: object) -> str | int | float | bool | None:
    if isinstance(value, float) and not math.isfinite(value):
        raise FilterError(path, value, "a number that JSON has")
    if isinstance(value, str):
        return _plain(path, value)
    if isinstance(value, int) and abs(value) > 2**53:
        raise FilterError(path, value, "a number of at most 2^53, beyond which OpenIAP rounds")
    assert value is None or isinstance(value, int | float)
    return value


def _plain(part: str, text: str) -> str:
    if text.startswith(EXPRESSION):
        raise FilterError(part, text, f"text that does not begin with {EXPRESSION.strip()}")
    if len(text) > LONGEST or "\x00" in text:
        raise FilterError(part, text, f"text of at most {LONGEST} characters, without NUL")
    # Half of a pair of surrogates cannot be sent.
    if not text.isascii() and text.encode("utf-8", "replace").decode() != text:
        raise FilterError(part, ascii(text), "Unicode text")
    return text


def _moment(part: str, moment: datetime) -> str:
    try:
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return iso(aware)
    except (ValueError, OverflowError):
        raise FilterError(part, moment, "a moment that UTC has") from None


def _earlier(until: datetime | None, before: datetime | None) -> str | None:
    moments = [
        _moment(part, one)
        for part, one in (("until", until), ("before", before))
        if one is not None
    ]
    return min(moments, default=None)
