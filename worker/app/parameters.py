"""A parameter that is filled by its type, wherever users' functions are called: of a handler, of a
listener, of what stands around them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_type_hints

from worker.errors import HandlerError

SourceT = TypeVar("SourceT", bound=str)


@dataclass(frozen=True, slots=True)
class Parameter(Generic[SourceT]):
    """One parameter: its name, where its value comes from, and the type it named."""

    name: str
    source: SourceT
    kind: Any


def named_types(function: Callable[..., Any], who: str) -> dict[str, Any]:
    """Return the types that a function names.

    Args:
        who: how to call it in errors, for example ``"Handler m.work"``.

    Raises:
        HandlerError: an annotation cannot be read.
    """
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:  # an annotation is code, which may raise anything
        raise HandlerError(f"{who}: its annotations cannot be read: {error}.") from error
