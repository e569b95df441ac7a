"""Python values to the JSON text that OpenIAP carries, and back."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from worker.openiap.errors import PayloadTooLarge, ServerError
from worker.openiap.workitem import JsonObject, Workitem

MAX_NAME: Final = 1000
"""Bytes of UTF-8 that a name of shared state, or a key, may have."""

MAX_PAYLOAD: Final = 16 * 1024 * 1024 - 64 * 1024
"""Bytes of payload that travel; the rest of a frame is for the item around it."""


def iso(moment: datetime) -> str:
    """Return a moment as OpenIAP writes them: UTC, milliseconds, ``Z``."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """Read a moment that OpenIAP wrote; a missing zone means UTC."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def moment_of(value: object) -> datetime | None:
    """Return a document's field as a moment; None for what is none, so that one odd document does
    not end a look at all of them."""
    if not isinstance(value, str) or not value:
        return None
    try:
        return parse_iso(value)
    except ValueError:
        return None


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
    raise TypeError(f"a {type(value).__name__} has no JSON form")


# One for all: making an encoder costs as much as encoding a small payload.
_encode: Final = json.JSONEncoder(
    default=plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


_encode_plain: Final = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def json_text(value: object) -> str:
    """Return ``value`` as compact JSON text.

    Raises:
        TypeError: something inside has no JSON form.
        ValueError: a NaN or infinity (JSON has none), or a structure that contains itself.
    """
    return _encode(value)


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
    except ValueError as error:
        raise ServerError(
            f"the answer is not JSON ({error}): {text[:80]!r}", operation=operation
        ) from error


def from_message(text: str) -> Any:
    """Parse the data of a message or a command, which may be text of any kind; "" is None."""
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


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
        raise ServerError(
            f"the answer is a {type(found).__name__}, not an array", operation=operation
        )
    return found


def object_from_text(text: str, *, operation: str) -> JsonObject:
    """Parse an answer that is one object; "" is an empty one.

    Raises:
        ServerError: the answer is anything else.
    """
    found = from_text(text, operation=operation) or {}
    if not isinstance(found, dict):
        raise ServerError(
            f"the answer is a {type(found).__name__}, not an object", operation=operation
        )
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


def number(value: object) -> int:
    """Read a count from a document; what is none counts as 0."""
    return int(value) if isinstance(value, int | float) else 0


def checked_name(name: object, what: str) -> str:
    """Return a name that can be kept.

    Args:
        what: how errors call it, for example ``"lock"`` or ``"unique"``.

    Raises:
        TypeError: no text.
        ValueError: empty, or too long.
    """
    if not isinstance(name, str):
        raise TypeError(f"{what}: {name!r} is no text; allowed: text of 1 to {MAX_NAME:,} bytes")
    if not name:
        raise ValueError(f'{what}: "" is empty; allowed: text of 1 to {MAX_NAME:,} bytes')
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > MAX_NAME:
        raise ValueError(
            f"{what}: {name[:40]!r}… has {size:,} bytes; allowed: text of 1 to {MAX_NAME:,} bytes"
        )
    return name
