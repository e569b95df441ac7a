"""What goes into a handler and comes out of it, as JSON: by the handler's own types.

A payload is checked where it is pushed exactly as the worker checks it when it pops it.
"""

import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any, Final, get_origin, get_type_hints

from pydantic import AliasChoices, AliasPath, BaseModel, PydanticUserError, ValidationError

from worker.app.options import Handler
from worker.app.payload_types import awaited_kind, kept_in_field, members_of, validates
from worker.app.signature import hints_of, pushed_kind
from worker.item.bounded_read import problems
from worker.item.error_text import clip, problems_of, text_of
from worker.item.files import shown_names
from worker.item.json_form import NotJson, json_form, typed_form
from worker.item.outcome import RESULT
from worker.item.push import ContractError, json_object
from worker.item.type_form import TypeForm, form_of
from worker.openiap.workitem import JsonObject

MOST_OF_A_NAME: Final = 200
"""Characters."""


def payload_json(handler: Handler[..., Any], payload: Any) -> JsonObject:
    """Return a payload as it is stored, from which the worker will read the very same value.

    Raises:
        ContractError: it does not fit, or would not come back as it is; the text names the field.
    """
    kind = pushed_kind(handler.function, payload)
    if kind is None or not validates(kind):
        return json_object(payload, handler.name)
    try:
        stored = _stored(form_of(kind), payload)
    except ValidationError as error:
        raise ContractError(
            f"The payload does not fit {handler.name}: {problems_of(error)}."
        ) from None
    except PydanticUserError as error:
        raise ContractError(
            f"The payload of {handler.name} cannot be validated: {error.message}"
        ) from None
    except NotJson as error:
        raise ContractError(f"The payload of {handler.name} has no JSON form: {error}.") from None
    return stored if isinstance(stored, dict) else json_object(stored, handler.name)


def _stored(form: TypeForm, payload: Any) -> Any:
    try:
        value = form.accept(payload)
    except ValidationError:
        if not isinstance(payload, Mapping):
            raise
        value = form.read(json_form(payload))  # it may be JSON already
    return typed_form(form, value)


def item_name(handler: Handler[..., Any], stored: JsonObject) -> str:
    """Return what people call an item with this payload, by its handler's own function.

    Args:
        stored: as ``payload_json`` returns it.

    Raises:
        ContractError: the function raised, or returned no name.
    """
    function = handler.options.item_name
    if function is None:
        return ""
    name = _asked(handler, stored, function, "name of an item")
    if not isinstance(name, str) or not name.strip():
        raise ContractError(
            f"The name of an item of {handler.name} is {clip(repr(name), MOST_OF_A_NAME)};"
            " allowed: text"
        )
    return clip(name, MOST_OF_A_NAME)


def unique_key(handler: Handler[..., Any], stored: JsonObject) -> str | None:
    """Return the unique key of a push with this payload, by its handler's own function.

    Raises:
        ContractError: the function raised, or returned no key.
    """
    function = handler.options.unique
    key = None if function is None else _asked(handler, stored, function, "unique key")
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    if key is not None and not isinstance(key, str):
        raise ContractError(
            f"The unique key of {handler.name} is {clip(repr(key), MOST_OF_A_NAME)}; allowed: text,"
            " a whole number, or None"
        )
    return key


def _asked(
    handler: Handler[..., Any], stored: JsonObject, function: Callable[[Any], Any], what: str
) -> Any:
    """Return what a user's function says of a payload.

    Raises:
        ContractError: it raised.
    """
    kind = pushed_kind(handler.function, stored)
    value = stored if kind is None or not validates(kind) else form_of(kind).read(stored)
    try:
        return function(value)
    except Exception as error:  # a user's function may raise anything
        raise ContractError(
            f"The {what} of {handler.name} raised {type(error).__name__}:"
            f" {clip(text_of(error), MOST_OF_A_NAME)}"
        ) from error


def name_if_it_fits(handler: Handler[..., Any], payload: Any) -> str:
    """Return ``item_name`` of a payload that nobody has checked; "" for one that does not fit.

    Raises:
        ContractError: it fits, and the function raised or returned no name.
    """
    if handler.options.item_name is None:
        return ""
    try:
        stored = payload_json(handler, payload)
    except ContractError:
        return ""
    return item_name(handler, stored)


def check_files(handler: Handler[..., Any], names: Iterable[str]) -> None:
    """Refuse an item that lacks a file which its handler needs.

    Raises:
        ContractError: the text names the pattern and what there is.
    """
    there = list(names)
    missing = missing_file(handler.options.files, there)
    if missing:
        raise ContractError(
            f"{handler.name} needs a file {missing}; the item has: {shown_names(there)}."
        )


def missing_file(patterns: Iterable[str], names: Iterable[str]) -> str:
    """Return the first pattern that no name fits, or ""."""
    there = list(names)
    return next((p for p in patterns if not any(fnmatchcase(n, p) for n in there)), "")


def reader_of(handler: Handler[..., Any]) -> Callable[[JsonObject], Any]:
    """Return what makes a handler's result of the payload that its item ended with."""
    kind = awaited_kind(hints_of(handler.function).get("return"))
    wrapped = kept_in_field(kind)

    def read(payload: JsonObject) -> Any:
        if not handler.options.store:
            return None
        if kind is None:
            return payload
        if kind is type(None):
            return None
        try:
            return _kept(kind, payload) if wrapped else _result(kind, payload)
        except PydanticUserError as error:
            raise ContractError(
                f"The result of {handler.name} cannot be read: {error.message}"
            ) from None
        except ValidationError as error:
            raise ContractError(
                f"The result does not fit {handler.name}: {problems_of(error)}."
            ) from None

    return read


def _kept(kind: Any, payload: JsonObject) -> Any:
    """Read a result that is kept under ``result``; None where there is none, as after ``Skip``.

    Raises:
        ValidationError: it does not fit.
    """
    return form_of(kind).read(payload[RESULT]) if RESULT in payload else None


def _result(kind: Any, payload: JsonObject) -> Any:
    """Read a result out of the payload that it was laid over.

    Raises:
        ValidationError: it does not fit.
    """
    form = form_of(kind)
    try:
        return form.read(_fields_of(kind, payload))
    except ValidationError as error:
        for member in members_of(kind):
            if member is type(None):
                continue
            with suppress(ValidationError):
                return form_of(member).read(_fields_of(member, payload))
        if type(None) in members_of(kind):
            return None
        if get_origin(kind) not in (dict, Mapping):
            if not _fields_of(kind, payload):
                return None  # nothing of it is there, as after Skip
            raise
        # What does not fit such a result is the input below it.
        odd = {problem["loc"][0] for problem in problems(error) if problem["loc"]}
        return form.read({name: one for name, one in payload.items() if name not in odd})


def _fields_of(kind: Any, payload: JsonObject) -> JsonObject:
    """Return the part of a payload that the result was; the rest is the input below it."""
    origin = get_origin(kind) or kind
    names: set[str] = set()
    if isinstance(origin, type) and issubclass(origin, BaseModel):
        if origin.__pydantic_root_model__ or origin.model_config.get("extra") == "allow":
            return payload
        for name, field in origin.model_fields.items():
            names |= {name, *_roots(field.validation_alias)}
    elif dataclasses.is_dataclass(origin) or typing.is_typeddict(origin):
        names = set(get_type_hints(origin))
        for field in getattr(origin, "__pydantic_fields__", {}).values():
            names |= _roots(field.validation_alias)
    else:
        return payload
    return {name: value for name, value in payload.items() if name in names}


def _roots(alias: Any) -> set[str]:
    """Return the names at which an alias begins."""
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    paths = [one.path[0] if isinstance(one, AliasPath) else one for one in choices]
    return {one for one in paths if isinstance(one, str)}
