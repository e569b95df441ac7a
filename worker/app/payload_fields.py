"""Parameters that share the payload: each is the field of its name.

One that is a JSON object's is the whole payload; others beside it that have defaults keep them.
With more, or with one of another type, they are its fields, and together they are a dataclass: that
is how the payload is validated, described, and given to the functions of ``key=`` and ``name=``.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from worker.app.payload_types import is_field, is_payload, may_be_provided


@dataclass(frozen=True, slots=True)
class OfPayload:
    """The parameters that the payload fills.

    Attributes:
        kind: the type of the one that is the whole payload, or None.
        fields: whether they are its fields.
        plain: whether one of those can be nothing else.
        classes: names of those that might be a lifespan's.
    """

    parameters: tuple[inspect.Parameter, ...] = ()
    kind: Any = None
    fields: bool = False
    plain: bool = False
    classes: frozenset[str] = frozenset()

    def optional(self, parameter: inspect.Parameter) -> bool:
        """Whether who pushes may leave it out, since a lifespan may provide it."""
        return parameter.name in self.classes


def of_payload(free: Sequence[inspect.Parameter], hints: Mapping[str, Any]) -> OfPayload:
    """Say which of the parameters that nothing else fills are the payload's.

    Args:
        hints: the types of all, by name.
    """
    fitting = [one for one in free if is_field(hints.get(one.name))]
    whole = [one for one in fitting if is_payload(hints[one.name])]
    plain = any(one not in whole and one.default is one.empty for one in fitting)
    if plain or len(whole) > 1:
        classes = frozenset(one.name for one in whole if may_be_provided(hints[one.name]))
        return OfPayload(tuple(fitting), None, fields=True, plain=plain, classes=classes)
    if whole:
        return OfPayload(tuple(whole), hints[whole[0].name])
    return OfPayload()


def payload_of_fields(
    function: Callable[..., Any],
    parameters: tuple[inspect.Parameter, ...],
    hints: Mapping[str, Any],
) -> Any:
    """Return the payload's type where parameters are its fields: a dataclass, the same each time.

    Args:
        parameters: of the function.
        hints: their types, by name.
    """
    known = _made(function)
    names = tuple(one.name for one in parameters)
    if names not in known:
        fields = [(one.name, hints[one.name], _field(one)) for one in parameters]
        known[names] = dataclasses.make_dataclass(function.__name__, fields, kw_only=True)
    return known[names]


@lru_cache(maxsize=512)
def _made(_function: Callable[..., Any]) -> dict[tuple[str, ...], type[Any]]:
    """Return what was made for a function so far: types are made and read once."""
    return {}


def _field(parameter: inspect.Parameter) -> Any:
    default = parameter.default
    if default is parameter.empty:
        return dataclasses.field()
    if type(default).__hash__ is None:  # a list, say, which each call is to have of its own
        return dataclasses.field(default_factory=lambda: deepcopy(default))
    return dataclasses.field(default=default)
