"""What a step's result is given back as: the type that its function says it returns."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import is_dataclass
from functools import lru_cache, partial
from typing import Any, Final, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from worker.errors import name_of
from worker.item.steps import StepError
from worker.item.stored_value import stored_form
from worker.item.type_form import TypeForm
from worker.kinds import with_article

PROMISES: Final = (Awaitable, Coroutine)


def result_form(name: str, function: Callable[..., Any], given: Any = None) -> TypeForm | None:
    """Return how a step's result is written and read; None for plain JSON.

    Args:
        name: the step's, for the error.
        given: the type, where the call names one.

    Raises:
        StepError: a type that has no JSON form; the function was not called.
    """
    return stored_form(
        returned_by(function) if given is None else given,
        lambda shown: (
            f"Step {name!r}: {name_of(function)} returns {shown}, which has no JSON form; let it"
            " return a model, a dataclass or JSON values, or say type=…. The step was not run."
        ),
    )


def refuse_untyped(name: str, function: Callable[..., Any], result: object) -> None:
    """Refuse a model that would be given back as plain JSON, since nothing says that it is one.

    Raises:
        StepError: it is one; the result is stored.
    """
    inside = result if isinstance(result, list | tuple) else (result,)
    found = next((one for one in inside if isinstance(one, BaseModel) or _is_record(one)), None)
    if found is not None:
        kind = type(found).__name__
        raise StepError(
            f"Step {name!r}: {name_of(function)} returned {with_article(kind)} and does not say so,"
            f" so it would come back as plain JSON; annotate it, or say type={kind}. The result is"
            " stored: with that the item goes on where it was."
        )


def _is_record(value: object) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def returned_by(function: Callable[..., Any]) -> Any:
    """Return the type that a function, awaited where it is to be, says it returns; ``Any`` where
    it says nothing, or nothing that can be found."""
    while isinstance(function, partial):
        function = function.func
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        function = getattr(type(function), "__call__", function)  # noqa: B004 (an object's own)
    return _returned(getattr(function, "__func__", function))


@lru_cache(maxsize=512)
def _returned(function: Callable[..., Any]) -> Any:
    try:
        kind = get_type_hints(function, include_extras=True).get("return", Any)
    except Exception:  # names that are not there when the code runs
        return Any
    if get_origin(kind) in PROMISES and not inspect.iscoroutinefunction(function):
        return get_args(kind)[-1]
    return kind
