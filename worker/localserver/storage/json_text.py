"""JSON as OpenIAP's server reads and writes it: JavaScript numbers, and dates inside text.

Pure functions. OpenIAP's server is JavaScript over MongoDB, so numbers pass through doubles, and
text that looks like an ISO date with fractions of a second is a date in queries.
"""

import functools
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from pydantic_core import from_json, to_json

from worker.localserver.storage.errors import RefusedError

EXACT: Final = 2**53
LARGEST_PLAIN: Final = 1e21
ISO_DATE: Final = re.compile(
    r"^\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{1,9}(?:Z|[+-][0-2]\d:?[0-5]\d)$"
)

_DATE_INSIDE: Final = re.compile(
    r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d+(?:[+-][0-2]\d:[0-5]\d|Z)"
)
_MAYBE_DATE: Final = re.compile(r"T[0-2]\d:[0-5]\d:[0-5]\d\.\d")
"""Stands in every one, and is found much faster."""
_EXPRESSION: Final = "__REGEXP "


class JsonError(RefusedError):
    """The text is not JSON; says so in the words of OpenIAP's server."""


def _float(value: float) -> int | float | None:
    if not isfinite(value):
        return None
    if value.is_integer() and abs(value) < LARGEST_PLAIN:
        return int(value) if abs(value) < EXACT else int(Decimal(repr(value)))
    return value


def _parse_float(text: str) -> int | float | None:
    return _float(float(text))


def _parse_int(text: str) -> int | float | None:
    if len(text) < 16:
        return int(text)
    if len(text) > 400:
        return None
    whole = int(text)
    if -EXACT <= whole <= EXACT:
        return whole
    return _float(float(whole)) if len(text) <= 309 else _float(float(text))


def _constant(text: str) -> None:
    raise JsonError(f"Unexpected token '{text[0]}', \"{text}\" is not valid JSON")


_DECODER: Final = json.JSONDecoder(
    parse_float=_parse_float, parse_int=_parse_int, parse_constant=_constant
)


def parse(text: str) -> Any:
    """Decode JSON text with JavaScript's numbers.

    Raises:
        JsonError: it is not JSON, or nested too deep.
    """
    try:
        # As decode does it, for text with nothing around it.
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return value
    except (ValueError, RecursionError):
        pass  # decode tells what is wrong
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()):
            raise JsonError("Unexpected end of JSON input") from error
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise JsonError(
            f"Unexpected token '{text[error.pos]}', \"{shown}\" is not valid JSON"
        ) from error
    except RecursionError as error:
        raise JsonError("JSON text is nested too deep") from error


def _default(value: Any) -> str:
    if isinstance(value, datetime):
        return write_date(round(value.replace(tzinfo=UTC).timestamp() * 1000))
    return str(value)


# json.dumps would build an encoder for every call with such arguments.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_default)
_ASCII_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), default=_default)


def write(value: Any) -> str:
    """Encode a value as compact JSON text; dates become ISO text with milliseconds."""
    text = _ENCODER.encode(value)
    if text.isascii() or _encodes(text):
        return text
    # Lone surrogates cannot be UTF-8; JavaScript writes them escaped as well.
    return _ASCII_ENCODER.encode(value)


def write_plain(value: Any) -> str:
    """Encode what ``parse`` has returned, or was made of such values: in a quarter of the time."""
    try:
        return to_json(value).decode()
    except ValueError:  # a lone surrogate
        return write(value)


def read_plain(text: str) -> Any:
    """Decode what this server has written."""
    try:
        return from_json(text, cache_strings="keys")
    except ValueError:  # a lone surrogate, which is written escaped
        return json.loads(text)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def write_date(milliseconds: int) -> str:
    """Return milliseconds since 1970 as ISO text, the way JavaScript writes dates."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_to_the_second(seconds)}.{rest:03d}Z"


@functools.lru_cache(maxsize=256)
def _to_the_second(seconds: int) -> str:
    """Items of one moment are written by the hundred."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def read_date(value: object) -> int | None:
    """Return ISO text as milliseconds since 1970, or None where it is no date."""
    if not isinstance(value, str) or len(value) < 19 or value[4] != "-" or value[10] not in "T ":
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def is_date(text: str) -> bool:
    """Say whether text is a date to OpenIAP; most is not, and is known by a letter or two."""
    return (
        len(text) > 20 and text[4] == "-" and text[10] == "T" and ISO_DATE.match(text) is not None
    )


def with_dates(value: Any) -> Any:
    """Return the value with every text that looks like an ISO date turned into a date (naive UTC).

    The same rule on stored documents and on queries makes comparisons of dates work.
    """
    if isinstance(value, str):
        if is_date(value):
            try:
                return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
            except (ValueError, OverflowError):
                return value
        return value
    if isinstance(value, dict):
        return {key: with_dates(part) for key, part in value.items()}
    if isinstance(value, list):
        return [with_dates(part) for part in value]
    return value


def misread(text: str, value: Any) -> Any:
    """Return what OpenIAP makes of the change of a conditional update: it takes a text that has a
    date anywhere inside for a date, which is none then, and one that begins with ``__REGEXP`` for a
    regular expression.

    Args:
        text: the change as it came.
        value: the same, parsed.

    Raises:
        RefusedError: it is no such expression.
    """
    if _EXPRESSION not in text and (
        _MAYBE_DATE.search(text) is None or _DATE_INSIDE.search(text) is None
    ):
        return value
    return _misread(value)


def _misread(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _misread(part) for key, part in value.items()}
    if isinstance(value, list):
        value = [_misread(part) for part in value]
        if value and isinstance(value[0], str) and value[0].startswith(_EXPRESSION):
            raise RefusedError("value.split is not a function")
        return value
    if not isinstance(value, str):
        return value
    if _DATE_INSIDE.search(value):
        return value if ISO_DATE.match(value) and read_date(value) else write_date(0)
    if value.startswith(_EXPRESSION):
        if value.count("/") < 2:
            raise RefusedError("Cannot read properties of null (reading '1')")
        return {}
    return value
