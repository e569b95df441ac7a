"""The JSON form of any value, as payloads, results and checkpoints are stored.

What does not come back as it was is refused, with its place and what to write instead:

1. Whole numbers beyond 2**53 that OpenIAP's JavaScript would round; NaN and infinity.
2. Secrets of pydantic, which write stars; bytes; text with half a character; keys that are no text
   or hold a NUL.
3. What is nested too deeply for OpenIAP's database, or contains itself.
4. A model or dataclass that its own type would read otherwise.

Everything else is carried exactly. Where a type reads it, that gives the value back; where none
does, a date, time, UUID, path or Decimal is its own text, an enum its value, and a tuple or set an
array.
"""

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, PydanticUserError, Secret, SecretBytes, SecretStr, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from worker.item.error_text import clip, problems_of
from worker.item.type_form import TypeForm, form_of
from worker.kinds import kind_of

EXACT: Final = 2**53
MAX_DEPTH: Final = 90
"""Objects and arrays inside each other; OpenIAP's database takes 100 around everything."""
UNWRITABLE: Final = (PydanticSerializationError, ValueError, TypeError, RecursionError)
MAX_SHOWN: Final = 60
MOST_SAID: Final = 300
INSTEAD: Final = "declare a type that JSON carries, or write text"
STARS: Final = "**********"
SECRETS: Final = (SecretStr, SecretBytes, Secret)
OF_SECRETS: Final = "stars would be stored; pass the name by which it is found, or plain text"


class NotJson(ValueError):
    """A value that JSON does not carry.

    Attributes:
        path: where it is, from the outside in.
        why: what is wrong with it, and what to write instead.
    """

    def __init__(self, why: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(why, path)
        self.why = why
        self.path = path

    def __str__(self) -> str:
        if not self.path:
            return self.why
        shown = self.path if len(self.path) <= 8 else (*self.path[:7], "…")
        return f"{'.'.join(shown)}: {self.why}"


def json_form(value: object) -> Any:
    """Return a value as JSON values of its own.

    Raises:
        NotJson: it would not come back as it is.
    """
    return _form(value, 0)


def typed_form(form: TypeForm, value: object) -> Any:
    """Return a value of a type as JSON values, from which the type reads the very same value.

    Raises:
        NotJson: it would not come back as it is, or its type does not read what it writes.
    """
    try:
        written = form.write(value, whole=True, strict=True)
    except UNWRITABLE as error:
        raise _without_form(error, value) from None
    stored = _form(written, 0)
    try:
        read = form.read(stored)
    except ValidationError as error:
        _refuse_secrets(value)
        raise NotJson(
            f"its type does not read what it writes ({problems_of(error)}); {INSTEAD}"
        ) from None
    _compare(form, value, read)
    return stored


def _form(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        if not value.isascii():
            _check_text(value)
        return value
    if kind is bool or value is None:
        return value
    if kind is int:
        if not -EXACT <= value <= EXACT:
            _check_large(value)
        return value
    if kind is float:
        if not math.isfinite(value):
            raise NotJson(f"{value} has no JSON form; write None, or text")
        return value
    if depth >= MAX_DEPTH:
        raise NotJson(
            f"nested more than {MAX_DEPTH} deep, or inside itself; attach such data as a file"
        )
    if kind is dict:
        return _object(value, depth)
    if kind is list or kind is tuple:
        return _array(value, depth)
    return _other(value, depth)


def _object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    found = {}
    name: Any = None
    try:
        for name, one in value.items():
            if not isinstance(name, str):
                raise NotJson(f"the key {_shown(name)} is {kind_of(name)}; keys must be text")
            if "\0" in name:
                raise NotJson("the key holds a NUL, which OpenIAP's database refuses; write text")
            if not name.isascii():
                _check_text(name)
            if type(name) is not str:
                name = str.__str__(name)
            kind = type(one)
            if (kind is str and one.isascii()) or (kind is int and -EXACT <= one <= EXACT):
                found[name] = one  # most values: what _form would say, without the call
            else:
                found[name] = _form(one, depth + 1)
    except NotJson as error:
        error.path = (_shown_key(name), *error.path)
        raise
    return found


def _array(value: Any, depth: int) -> list[Any]:
    found: list[Any] = []
    try:
        for one in value:
            kind = type(one)
            if (kind is str and one.isascii()) or (kind is int and -EXACT <= one <= EXACT):
                found.append(one)
            else:
                found.append(_form(one, depth + 1))
    except NotJson as error:
        error.path = (str(len(found)), *error.path)
        raise
    return found


def _other(value: Any, depth: int) -> Any:
    """Return the form of what ``json`` itself does not know."""
    if isinstance(value, Enum):
        return _form(value.value, depth)
    if isinstance(value, str):
        return _form(str.__str__(value), depth)
    if isinstance(value, int):
        return _form(int(value), depth)
    if isinstance(value, float):
        return _form(float(value), depth)
    if isinstance(value, BaseModel) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    ):
        return _model(value, depth)
    if isinstance(value, Mapping):
        return _object(value, depth)
    if isinstance(value, tuple | set | frozenset):
        return _array(value, depth)
    if isinstance(value, datetime | time):
        text = value.isoformat()
        return f"{text[:-6]}Z" if text.endswith("+00:00") else text
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return to_jsonable_python(value)
    if isinstance(value, Decimal | UUID | PurePath):
        return _form(str(value), depth)
    if isinstance(value, SECRETS):
        raise NotJson(OF_SECRETS)
    if isinstance(value, bytes | bytearray | memoryview):
        raise NotJson("bytes have no JSON form; attach them as a file, or write them as text")
    raise NotJson(f"{kind_of(value)} has no JSON form; write text, a number, list or dict")


def _model(value: Any, depth: int) -> Any:
    """Return the form of a model or dataclass, compared with what its type would read."""
    try:
        form = form_of(type(value))
    except PydanticUserError as error:
        if isinstance(value, BaseModel):
            raise NotJson(f"{kind_of(value)} cannot be written: {error.message}") from None
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return _form(fields, depth)
    try:
        written = form.write(value)
    except UNWRITABLE as error:
        raise _without_form(error, value) from None
    found = _form(written, depth)
    if form.exact:
        return found
    if form.custom:
        if STARS in str(found):
            _refuse_secrets(value)
        return found
    try:
        read = form.read(found)
    except ValidationError:
        _refuse_secrets(value)
        return found  # its own rules: what is written is what it says
    _compare(form, value, read, left_out=True)
    return found


def _compare(form: TypeForm, given: Any, read: Any, *, left_out: bool = False) -> None:
    if given != read:
        _difference(given, read, (), form.untyped, left_out)


def _difference(
    given: Any, read: Any, path: tuple[str, ...], untyped: bool, left_out: bool
) -> None:
    """Refuse a value at the first place where it would be read as another.

    Args:
        untyped: values that no type reads count by their JSON form.
        left_out: fields that the model itself leaves out may differ.

    Raises:
        NotJson: there is such a place.
    """
    if given is read or (_is_nan(given) and _is_nan(read)):
        return
    if isinstance(given, SECRETS):
        raise NotJson(OF_SECRETS, path)
    if type(given) is type(read):
        pairs = _parts(given, read, left_out)
        if pairs is not None:
            for name, one, other in pairs:
                _difference(one, other, (*path, name) if name else path, untyped, left_out)
            return
        if given == read or getattr(type(given), "__eq__", None) is object.__eq__:
            return
    elif untyped or (isinstance(given, int | float) and isinstance(read, int | float)):
        try:
            if _form(given, len(path)) == read:
                return
        except NotJson as error:
            raise NotJson(error.why, (*path, *error.path)) from None
    raise NotJson(
        f"{_shown(given)} ({type(given).__name__}) would be read as {_shown(read)}"
        f" ({type(read).__name__}); {INSTEAD}",
        path,
    )


def _parts(given: Any, read: Any, left_out: bool) -> list[tuple[str, Any, Any]] | None:
    """Return what two values of one type are made of, pair by pair; None for what is whole."""
    if isinstance(given, BaseModel):
        fields = type(given).model_fields
        names = [n for n in fields if not (left_out and fields[n].exclude)]
        pairs = [(n, getattr(given, n, None), getattr(read, n, None)) for n in names]
        return [*pairs, ("", given.model_extra, read.model_extra)]
    if dataclasses.is_dataclass(given):
        names = [field.name for field in dataclasses.fields(given) if field.init]
        return [(n, getattr(given, n, None), getattr(read, n, None)) for n in names]
    if isinstance(given, dict) and list(given) == list(read):
        return [(_shown_key(name), one, read[name]) for name, one in given.items()]
    if isinstance(given, list | tuple) and len(given) == len(read):
        return [(str(n), *pair) for n, pair in enumerate(zip(given, read, strict=True))]
    return None


def _refuse_secrets(value: Any, path: tuple[str, ...] = ()) -> None:
    if isinstance(value, SECRETS):
        raise NotJson(OF_SECRETS, path)
    if len(path) < MAX_DEPTH:
        for name, one, _ in _parts(value, value, False) or ():
            _refuse_secrets(one, (*path, name) if name else path)


def _without_form(error: Exception, value: Any) -> NotJson:
    """Return the refusal of what pydantic cannot write; it says why, and not where."""
    for name, one, _ in _parts(value, value, True) or ():
        try:
            to_jsonable_python(one)
        except (ValueError, RecursionError):
            return NotJson(_said(error), (name,) if name else ())
    return NotJson(_said(error))


def _said(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError) or "invalid utf-8" in str(error):
        return "no JSON form: bytes that are no text; attach them as a file, or write them as text"
    return f"no JSON form: {clip(str(error), MOST_SAID).rstrip('.')}; {INSTEAD}"


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | Decimal) and math.isnan(value)


def _check_large(value: int) -> None:
    """Refuse a whole number that JavaScript would write as another one."""
    shown: int | float = math.inf
    if abs(value) < 10**21:
        shown = int(Decimal(repr(float(value))))
    if shown != value:
        raise NotJson(
            f"{_shown(value)} is beyond what OpenIAP keeps exactly (2**53); write it as text"
        )


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotJson(
            f"the text holds half a character ({value[error.start]!a}); write whole ones"
        ) from None


def _shown_key(name: object) -> str:
    return (
        _shown(name)
        if not isinstance(name, str)
        else name[:MAX_SHOWN].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    )


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception as broken:  # a __repr__ of anybody's, or a number of thousands of digits
        return f"{kind_of(value)} (its text raises {type(broken).__name__})"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
