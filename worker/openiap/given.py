"""Arguments in the shapes that OpenIAP documents them in: work items as dicts, times as numbers."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.kinds import kind_of
from worker.openiap.values import json_text, parse_iso
from worker.openiap.workitem import JsonObject, Workitem, WorkitemFile

Moment = datetime | float | None
"""A time, or whole or broken seconds since 1970; 0 and None are no time at all."""

_TEXTS = (
    "name",
    "state",
    "wiq",
    "wiqid",
    "username",
    "success_wiqid",
    "failed_wiqid",
    "success_wiq",
    "failed_wiq",
    "errormessage",
    "errorsource",
    "errortype",
)


def moment_of(given: Moment, name: str = "nextrun") -> datetime | None:
    """Return a time.

    Raises:
        TypeError, ValueError: it is none; the text says what is allowed.
    """
    if given is None or isinstance(given, datetime):
        return given
    allowed = "allowed: a datetime, seconds since 1970, or 0 for none"
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"{name}: {given!r} is {kind_of(given)}; {allowed}")
    if given == 0:
        return None
    try:
        return datetime.fromtimestamp(given, UTC)
    except (OverflowError, OSError, ValueError):
        raise ValueError(f"{name}: {given!r} is no time; {allowed}") from None


def workitem_of(given: Workitem | Mapping[str, Any]) -> Workitem:
    """Return a work item; what a dict does not have is what an update leaves as it is stored.

    Names that a work item does not have are passed over: what ``query`` returned may be given.

    Raises:
        TypeError, ValueError: it has no id, or a field is not what it must be.
    """
    if isinstance(given, Workitem):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"workitem: {given!r} is no Workitem and no dict")
    id = given.get("_id") or given.get("id")
    if not isinstance(id, str):
        raise ValueError("workitem: it has no _id; allowed: a Workitem, or a dict with its _id")
    item = Workitem(
        id=id,
        payload=_payload(given.get("payload")),
        # What OpenIAP takes for "as it is".
        priority=_whole(given, "priority"),
        retries=_whole(given, "retries"),
        nextrun=_moment(given, "nextrun"),
        lastrun=_moment(given, "lastrun"),
        files=_files(given.get("files")),
    )
    for name in _TEXTS:
        setattr(item, name, _text(given, name))
    return item


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"workitem: {name} = {value!r} is no text")
    return value


def _whole(given: Mapping[str, Any], name: str) -> int:
    value = given.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"workitem: {name} = {value!r} is no whole number")
    return value


def _moment(given: Mapping[str, Any], name: str) -> datetime | None:
    value = given.get(name)
    if isinstance(value, str):
        return parse_iso(value) if value else None
    return moment_of(value, f"workitem: {name}")


def _payload(value: Any) -> JsonObject | None:
    """Return a payload; none is what keeps the stored one."""
    if value is None or value == "":
        return None
    if isinstance(value, dict):
        return value
    text = value if isinstance(value, str) else json_text(value)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"workitem: payload is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise TypeError(
            f"workitem: payload is {kind_of(found)}; allowed: a JSON object, or its text"
        )
    return found


def _files(value: Any) -> list[WorkitemFile]:
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"workitem: files = {value!r} is no list")
    return [one if isinstance(one, WorkitemFile) else _file(one) for one in value]


def _file(one: Any) -> WorkitemFile:
    if not isinstance(one, Mapping):
        raise TypeError(f"workitem: files: {one!r} is no dict with filename and _id")
    return WorkitemFile(str(one.get("filename") or ""), str(one.get("_id") or one.get("id") or ""))
