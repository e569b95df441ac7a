"""What goes into a handler and comes out of it, as JSON: by the handler's own types.

A payload is checked where it is pushed exactly as the worker checks it when it pops it.
"""

import dataclasses
import typing
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from worker.app.options import Handler
from worker.app.signature import payload_kind, validates
from worker.item.error_text import problems_of
from worker.item.push import ContractError, json_object
from worker.openiap.values import json_text
from worker.openiap.workitem import JsonObject


@lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def payload_json(handler: Handler[..., Any], payload: Any) -> JsonObject:
    """Return a payload as it is stored, validated as the worker will.

    Raises:
        ContractError: it does not fit; the text names the field.
    """
    kind = payload_kind(handler.function)
    if kind is None or not validates(kind):
        return json_object(payload, handler.name)
    adapter = _adapter(kind)
    try:
        value = adapter.validate_python(payload)
        dumped = adapter.dump_python(value, mode="json", by_alias=True, warnings="error")
        adapter.validate_python(dumped)
    except ValidationError as error:
        raise ContractError(
            f"The payload does not fit {handler.name}: {problems_of(error)}."
        ) from None
    except PydanticSerializationError as error:
        raise ContractError(f"The payload of {handler.name} has no JSON form: {error}.") from None
    return json_object(dumped, handler.name)


def check_files(handler: Handler[..., Any], names: Iterable[str]) -> None:
    """Refuse an item that lacks a file which its handler needs.

    Raises:
        ContractError: the text names the pattern and what there is.
    """
    there = list(names)
    missing = missing_file(handler.options.files, there)
    if missing:
        shown = ", ".join(sorted(there)) or "none"
        raise ContractError(f"{handler.name} needs a file {missing}; the item has: {shown}.")


def missing_file(patterns: Iterable[str], names: Iterable[str]) -> str:
    """Return the first pattern that no name fits, or ""."""
    there = list(names)
    return next((p for p in patterns if not any(fnmatchcase(n, p) for n in there)), "")


def reader_of(handler: Handler[..., Any]) -> Callable[[JsonObject], Any]:
    """Return what makes a handler's result of the payload that its item ended with."""
    try:
        kind = get_type_hints(handler.function, include_extras=True).get("return")
    except (NameError, TypeError):
        kind = None

    def read(payload: JsonObject) -> Any:
        if kind is None:
            return payload
        if kind is type(None):
            return None
        adapter = _adapter(kind)
        try:
            return adapter.validate_json(json_text(_fields_of(kind, payload)))
        except ValidationError as error:
            raise ContractError(
                f"The result does not fit {handler.name}: {problems_of(error)}."
            ) from None

    return read


def _fields_of(kind: Any, payload: JsonObject) -> JsonObject:
    """Return the part of a payload that the result was; the rest is the input below it.

    A model's result is stored by the names of its fields and read by their aliases.
    """
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        found = {}
        for name, field in kind.model_fields.items():
            if name in payload:
                alias = field.validation_alias
                found[alias if isinstance(alias, str) else name] = payload[name]
        return found
    if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)):
        names = get_type_hints(kind)
        return {name: value for name, value in payload.items() if name in names}
    return payload
