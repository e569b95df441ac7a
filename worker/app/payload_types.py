"""Which types can be a payload, or one of its fields, and which results need a field. Pure.

1. A type whose values are JSON objects can be the whole payload.
2. A value, list or object can be a field of it. What only a lifespan could provide (a class of
   somebody's, a ``NewType``) is none.
3. A result is laid over the payload where its type is a JSON object's; one that is, or may be,
   something else is kept under ``result``.
"""

import dataclasses
import inspect
import typing
from collections.abc import (
    Awaitable,
    Coroutine,
    Mapping,
    MutableSequence,
    Sequence,
)
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel

from worker.openiap.workitem import JsonObject

VALUES: Final = (str, int, float, Decimal, date, time, timedelta, UUID, Enum)
LISTS: Final = (list, tuple, set, frozenset, Sequence, MutableSequence, AbstractSet)
ANYTHING: Final = (Any, object, None, NoneType)


def bare(kind: Any) -> Any:
    """Return a type without what is said about it, and what a name for it stands for."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        else:
            return kind


def members_of(kind: Any) -> tuple[Any, ...]:
    """Return the types of a union; what is none is alone."""
    found = bare(kind)
    return get_args(found) if get_origin(found) in (Union, UnionType) else (found,)


def is_payload(kind: Any) -> bool:
    """Whether a type, or each of a union, is a JSON object's."""
    members = [one for one in members_of(kind) if one is not NoneType]
    return bool(members) and all(_is_object(bare(one)) for one in members)


def is_field(kind: Any) -> bool:
    """Whether a type, or each of a union, is of what a payload's field may hold."""
    members = [one for one in members_of(kind) if one is not NoneType]
    return bool(members) and all(_is_value(bare(one)) or is_payload(one) for one in members)


def may_be_provided(kind: Any) -> bool:
    """Whether a type that is a JSON object's may be a lifespan's all the same: a class of
    somebody's own."""
    members = [bare(one) for one in members_of(kind) if one is not NoneType]
    return all(
        isinstance(one, type) and (issubclass(one, BaseModel) or dataclasses.is_dataclass(one))
        for one in members
    )


def mentions_payload(kind: Any) -> bool:
    """Whether a type that cannot be filled has one in it that could be the payload."""
    return any(is_payload(one) or mentions_payload(one) for one in get_args(bare(kind)))


def validates(kind: Any) -> bool:
    """Return whether a payload of this type is validated: a bare dict takes every object."""
    return not any(kind == one for one in (dict, JsonObject, Mapping, Mapping[str, Any]))


def awaited_kind(kind: Any) -> Any:
    """Return the type of what a handler gives in the end: of a ``def`` that returns an awaitable,
    what that gives."""
    found = bare(kind)
    if get_origin(found) in (Awaitable, Coroutine) and get_args(found):
        return get_args(found)[-1]
    return kind


def cannot_be_kept(kind: Any) -> Any:
    """Return the type in a declared result that has no JSON form, or None."""
    for member in members_of(awaited_kind(kind)):
        unfit = no_object_in(member)
        if unfit is not None and (is_payload(unfit) or not (is_field(unfit) or _is_path(unfit))):
            return unfit
    return None


def kept_in_field(kind: Any) -> bool:
    """Whether results declared so are kept under ``result``: one of its types is no object's."""
    return no_object_in(awaited_kind(kind)) is not None


def no_object_in(kind: Any) -> Any:
    """Return the type in a declared result none of whose values is a JSON object, or None. What
    cannot be told, as of a type variable or a base class, is left to the values."""
    for member in members_of(kind):
        origin = get_origin(member) or member
        if origin in (Awaitable, Coroutine):
            inner = no_object_in(get_args(member)[-1]) if get_args(member) else None
            if inner is not None:
                return inner
        elif origin is Literal:
            if any(value is not None for value in get_args(member)):
                return member
        elif not _may_be_object(origin, get_args(member)):
            return member
    return None


def shown(kind: Any) -> str:
    """Return a type for people."""
    return str(kind) if get_args(kind) else getattr(kind, "__name__", None) or str(kind)


def _is_object(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return is_payload(kind)
    origin = get_origin(kind) or kind
    if origin in (dict, Mapping):
        return True
    if not isinstance(origin, type):
        return False
    return (
        issubclass(origin, BaseModel | Mapping)
        or dataclasses.is_dataclass(origin)
        or typing.is_typeddict(origin)
    )


def _is_value(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    if origin is Any or origin is Literal or origin in LISTS:
        return True
    if origin in (Union, UnionType):
        return is_field(kind)
    return isinstance(origin, type) and issubclass(origin, VALUES)


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PurePath)


def _may_be_object(origin: Any, arguments: tuple[Any, ...]) -> bool:
    if any(origin is one for one in ANYTHING) or not isinstance(origin, type):
        return True
    if issubclass(origin, Mapping):
        key = arguments[0] if len(arguments) == 2 else str
        return not isinstance(key, type) or key is object or issubclass(key, str)
    if issubclass(origin, BaseModel) or dataclasses.is_dataclass(origin):
        return True
    if typing.is_typeddict(origin):
        return True
    if inspect.isabstract(origin) or getattr(origin, "_is_protocol", False):
        # Of Python's own, like Sequence, no value is an object, save for what Mapping has as well.
        return origin.__module__ != "collections.abc" or issubclass(Mapping, origin)
    below = () if origin.__module__ == "builtins" else type.__subclasses__(origin)
    return any(_may_be_object(one, ()) for one in below)
