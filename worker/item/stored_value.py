"""A value that is stored with an item for its later runs: the type that it is read back as."""

import inspect
import json
from collections.abc import Callable
from typing import Any, Final

from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from worker.item.error_text import problems_of
from worker.item.steps import StepError
from worker.item.type_form import TypeForm, form_of

UNTYPED: Final = (None, Any, object, inspect.Signature.empty)


def stored_form(kind: Any, refusal: Callable[[str], str]) -> TypeForm | None:
    """Return how values of a type are written and read; None for plain JSON.

    Args:
        refusal: the text for a type that cannot be kept, which it is given as one reads it.

    Raises:
        StepError: the type has no JSON form.
    """
    if kind in UNTYPED:
        return None
    try:
        return form_of(kind)
    except PydanticUserError:
        raise StepError(refusal(getattr(kind, "__name__", None) or str(kind))) from None


def read_back(kind: str, name: str, form: TypeForm | None, stored: str) -> Any:
    """Return a stored value.

    Args:
        kind: ``step`` or ``signal``.
        name: which, for the error.
        form: None for plain JSON.
        stored: its JSON.

    Raises:
        StepError: it does not fit its type, which has changed since.
    """
    found = json.loads(stored)
    if form is None:
        return found
    try:
        return form.read(found)
    except ValidationError as error:
        raise StepError(
            f"The stored value of {kind} {name!r} does not fit its type any more"
            f" ({problems_of(error)}); use another name for the changed {kind}"
        ) from None
