"""Python values to the JSON text that OpenIAP carries, and back."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from worker.kinds import kind_of
from worker.openiap.errors import PayloadTooLarge, ServerError
from worker.openiap.workitem import JsonObject, Workitem

MAX_NAME: Final = 1000
"""Bytes of UTF-8 that a name of shared state, or a key, may have."""

SENDER: Final = ("__jwt", "__user")
"""What OpenIAP adds to the data of a message."""

MAX_DEPTH: Final = 500
"""Arrays and objects in each other. Python reads less than 1,000, by how deep its calls are just
then; OpenIAP's database takes some 100."""
DEPTH_ALLOWED: Final = f"allowed: {MAX_DEPTH} arrays and objects in each other"
_NO_BRACKETS: Final = re.compile(r'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^\[\]{}"]++)++', re.DOTALL)

MAX_PAYLOAD: Final = 16 * 1024 * 1024 - 64 * 1024
"""Bytes of payload that travel; the rest of a frame is for the item around it."""


def iso(moment: datetime) -> str:
    """Return a moment as OpenIAP writes them: UTC, milliseconds, ``Z``."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """Read a moment that OpenIAP wrote, in UTC; a missing zone means UTC.

    Raises:
        ValueError: it is none, or one that UTC does not have (the first and last day of all).
    """
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} does not exist in UTC") from None


def plain(value: object) -> Any:
    """Turn what ``json`` does not know into what it does; the ``default`` of ``json.dumps``.

    Raises:
        TypeError: the value has no JSON form; the message names its type.
    """
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | UUID | PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{kind_of(value)} has no JSON form")


# One for all: making an encoder costs as much as encoding a small payload.
_encode: Final = json.JSONEncoder(
    default=plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


_encode_plain: Final = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def json_text(value: object) -> str:
    """Return ``value`` as compact JSON text, which can be read back wherever it may come.

    Raises:
        TypeError: something inside has no JSON form.
        ValueError: a NaN or infinity (JSON has none), a structure that contains itself, or one that
            is nested deeper than ``MAX_DEPTH``.
    """
    try:
        text = _encode(value)
    except RecursionError:
        raise ValueError(f"nested too deep; {DEPTH_ALLOWED}") from None
    return checked_depth(text)


def compact_text(value: object) -> str:
    """Return JSON values as text, several times as fast as ``json_text``; "" where that is to do
    it: half characters, numbers that JSON has none for, and what is nested more than 254 deep.

    Only for what surely is JSON: other values are written as pydantic's core would, and not told.
    """
    try:
        text = to_json(value).decode()
    except PydanticSerializationError:
        return ""
    # Also inside of a text, which costs that value a little time. A search for both costs more.
    return "" if "NaN" in text or "Infinity" in text else text


def depth_of(text: str) -> int:
    """Return how deep JSON text is nested; of one that is surely no deeper than ``MAX_DEPTH``, just
    how many arrays and objects it has at most."""
    if (most := text.count("[") + text.count("{")) <= MAX_DEPTH:
        return most
    depth = deepest = 0
    for char in _NO_BRACKETS.sub("", text):
        if char in "[{":
            depth += 1
            if depth > deepest:
                deepest = depth
        elif char in "]}":
            depth -= 1
    return deepest


def checked_depth(text: str) -> str:
    """Return JSON text that whoever gets it can read, at the end of whatever stack of calls.

    Raises:
        ValueError: it is nested deeper than ``MAX_DEPTH``.
    """
    depth = depth_of(text)
    if depth > MAX_DEPTH:
        raise ValueError(f"nested {depth} levels deep; {DEPTH_ALLOWED}")
    return text


def plain_text(value: object) -> str:
    """Like ``json_text``, of what JSON itself knows.

    Raises:
        TypeError: there is something else inside.
        ValueError: as for ``json_text``.
    """
    return _encode_plain(value)


def argument_text(value: object) -> str:
    """Return an argument that may be JSON text already: text as it is, None as "", else JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)


def query_text(value: object) -> str:
    """Return a query as JSON text; none means every document, which OpenIAP wants to be told."""
    return argument_text(value) or "{}"


def checked_payload(text: str, *, operation: str, item_id: str = "") -> str:
    """Return a payload's JSON text if OpenIAP can carry it.

    Above 16 MB a reply with it breaks the link, again at every pop (server.md, Payload), so such an
    item must never come to be.

    Raises:
        PayloadTooLarge: the text says how many bytes it has and how many are allowed.
    """
    if len(text) * 4 <= MAX_PAYLOAD:  # no character takes more than four bytes
        return text
    size = len(text.encode("utf-8", "surrogatepass"))
    if size <= MAX_PAYLOAD:
        return text
    raise PayloadTooLarge(
        f"the payload has {size} bytes, more than the {MAX_PAYLOAD} that OpenIAP carries;"
        " attach big data as a file",
        operation=operation,
        item_id=item_id,
    )


def payload_text(item: Workitem) -> str:
    """Return a work item's payload as JSON text.

    Raises:
        PayloadTooLarge: OpenIAP cannot carry it.
        TypeError, ValueError: it has no JSON form.
    """
    return checked_payload(json_text(item.payload), operation="workitem", item_id=item.id)


def from_text(text: str, *, operation: str) -> Any:
    """Parse what the server answered; "" is None.

    Raises:
        ServerError: the answer is not JSON.
    """
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ServerError(
            f"the answer is not JSON ({error}): {text[:80]!r}", operation=operation
        ) from error


def from_message(text: str) -> Any:
    """Parse the data of a message or a command, which may be text of any kind; "" is None."""
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def message_data(text: str) -> Any:
    """Parse the data of a message, without what OpenIAP adds to an object: its sender and a token
    of theirs, which is not to get into logs and items."""
    found = from_message(text)
    if isinstance(found, dict):
        return {key: value for key, value in found.items() if key not in SENDER}
    return found


def objects_from_text(text: str, *, operation: str) -> list[JsonObject]:
    """Parse an answer that is an array of objects; "" is an empty one.

    Raises:
        ServerError: the answer is anything else.
    """
    return _array(from_text(text, operation=operation) or [], operation)


def documents_from_text(text: str, *, operation: str) -> list[JsonObject]:
    """Like ``objects_from_text``; one object (an explained query's answer) is an array of one."""
    found = from_text(text, operation=operation)
    return [found] if isinstance(found, dict) else _array(found or [], operation)


def _array(found: Any, operation: str) -> list[JsonObject]:
    if not isinstance(found, list):
        raise ServerError(f"the answer is {kind_of(found)}, not an array", operation=operation)
    return found


def object_from_text(text: str, *, operation: str) -> JsonObject:
    """Parse an answer that is one object; "" is an empty one.

    Raises:
        ServerError: the answer is anything else.
    """
    found = from_text(text, operation=operation) or {}
    if not isinstance(found, dict):
        raise ServerError(f"the answer is {kind_of(found)}, not an object", operation=operation)
    return found


def format_bytes(size: int, decimals: int = 2) -> str:
    """Return a size for people, in steps of 1,024: ``format_bytes(1536)`` is "1.5 KB"."""
    value = float(size)
    units = ("Bytes", "KB", "MB", "GB", "TB", "PB")
    index = 0
    while abs(value) >= 1024 and index < len(units) - 1:
        value /= 1024
        index += 1
    return f"{round(value, max(0, decimals)):g} {units[index]}"


def checked_name(name: object, what: str) -> str:
    """Return a name that can be kept.

    Args:
        what: how errors call it, for example ``"lock"`` or ``"unique"``.

    Raises:
        TypeError: no text.
        ValueError: empty, too long, or with half a character, which no document can hold.
    """
    if not isinstance(name, str):
        raise TypeError(f"{what}: {name!r} is no text; allowed: text of 1 to {MAX_NAME:,} bytes")
    if not name:
        raise ValueError(f'{what}: "" is empty; allowed: text of 1 to {MAX_NAME:,} bytes')
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        half = f"{what}: {name[:40]!r} has half a character; allowed: whole ones"
        raise ValueError(half) from None
    if size > MAX_NAME:
        raise ValueError(
            f"{what}: {name[:40]!r}… has {size:,} bytes; allowed: text of 1 to {MAX_NAME:,} bytes"
        )
    return name
