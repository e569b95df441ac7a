"""What a handler's parameters ask for, found out once at start.

1. Parameters are injected by type: the payload (a pydantic model, dataclass, TypedDict, or dict),
   the ``Item``, the ``Client``, the ``State``, what a lifespan provides, and per-item resources.
2. Where more than one is left for the payload, or one that is no object's, each is the payload's
   field of its name (``payload_fields.py``).
3. What does not fit is refused with the parameter's name and what would.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, get_type_hints

from worker.app.parameters import Parameter, named_types
from worker.app.payload_fields import OfPayload, of_payload, payload_of_fields
from worker.app.payload_types import (
    is_payload,
    kept_in_field,
    members_of,
    mentions_payload,
    validates,
)
from worker.errors import HandlerError, name_of
from worker.item.item import Item
from worker.item.type_form import TypeForm, form_of
from worker.openiap.client import Client
from worker.openiap.workitem import JsonObject
from worker.state.state import State

FITTING: Final = (
    "a payload (pydantic model, dataclass, TypedDict or dict) or fields of it (str, int, list and"
    " the like), Item, Client, State, a type that a lifespan provides, or"
    " Annotated[TYPE, Resource(FACTORY)]"
)
FITTING_AROUND: Final = "Item, Client, State, or a type that a lifespan provides"

Source = Literal["payload", "field", "item", "client", "state", "resource"]


@dataclass(frozen=True, slots=True)
class Resource:
    """Marks a parameter that is made anew for each item: ``Annotated[Session, Resource(factory)]``.

    Args:
        factory: an async generator function (what it yields is given, the rest runs when the item
            is done), an async function, a context manager, or any callable. Its own parameters are
            filled by type: ``Item``, ``Client``, ``State``, and what lifespans provide.
    """

    factory: Callable[..., Any]

    def __post_init__(self) -> None:
        """Refuse what cannot make anything.

        Raises:
            HandlerError: the factory cannot be called.
        """
        if not callable(self.factory):
            raise HandlerError(f"Resource({self.factory!r}): allowed: a function or a class.")

    @property
    def name(self) -> str:
        """The factory's name, as errors give it."""
        return name_of(self.factory)


@dataclass(frozen=True, slots=True)
class Signature:
    """The injection plan of a handler.

    Attributes:
        parameters: in order.
        validator: validates the payload; None where the handler takes it as a dict, or not at all.
        returns: the declared return type, or None.
        payload: the type of the payload; None where the handler takes none. Of several parameters
            it is a dataclass with their names.
        wraps: whether results are kept under ``result``.
    """

    parameters: tuple[Parameter[Source], ...]
    validator: TypeForm | None
    returns: Any
    payload: Any = None
    wraps: bool = False

    def payload_for(self, payload: JsonObject, *, large: bool | None = None, text: str = "") -> Any:
        """Validate the payload for the handler.

        Args:
            large: whether it is, where that is known.
            text: the same as JSON, where that is known.

        Raises:
            pydantic.ValidationError: it does not fit the declared type.
        """
        if self.validator is None:
            return payload
        return self.validator.read(payload, large=large, text=text)

    def payload_of_text(self, text: str) -> Any:
        """Validate a payload that is the text of JSON; where that can be (``by_text``).

        Raises:
            pydantic.ValidationError: it may not fit; ``payload_for`` says whether.
        """
        return text if self.validator is None else self.validator.read_text(text)

    @property
    def by_text(self) -> bool:
        """Whether the payload can be read from its text in one go; see ``TypeForm.read_text``."""
        return self.validator is not None and self.validator.by_text

    @property
    def shares_payload(self) -> bool:
        """Whether the handler is given the payload itself, or a part of it, and may change it."""
        if self.validator is None:
            return any(parameter.source == "payload" for parameter in self.parameters)
        return not self.validator.owned

    @property
    def winding(self) -> bool:
        """Whether validating may take any time, however small the payload is."""
        return self.validator is not None and self.validator.winding

    def arguments(
        self, payload: Any, item: Item, client: Client, resources: Mapping[Any, Any]
    ) -> dict[str, Any]:
        """Return the keyword arguments for one call."""
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.source == "payload":
                values[parameter.name] = payload
            elif parameter.source == "field":
                values[parameter.name] = getattr(payload, parameter.name)
            elif parameter.source == "item":
                values[parameter.name] = item
            elif parameter.source == "client":
                values[parameter.name] = client
            elif parameter.source == "state":
                # The worker's own has its namespace; a test may give another.
                values[parameter.name] = resources.get(State) or State(client)
            else:
                values[parameter.name] = resources[parameter.kind]
        return values


def signature_of(
    function: Callable[..., Any], *, name: str, resources: frozenset[Any] = frozenset()
) -> Signature:
    """Read a handler's parameters.

    Args:
        function: the handler.
        name: how to call it in errors.
        resources: the types that the application provides.

    Raises:
        HandlerError: a parameter that nothing fits.
    """
    hints = named_types(function, f"Handler {name}")
    parameters: list[Parameter[Source]] = []
    free: list[inspect.Parameter] = []
    declared = inspect.signature(function).parameters
    check_parameters(function, name)
    for parameter in declared.values():
        kind = _asked(hints.get(parameter.name), resources)
        source = _source(kind, resources)
        if source is None or source == "payload":
            free.append(parameter)
        else:
            parameters.append(Parameter(parameter.name, source, kind))
    taken = of_payload(free, hints)
    _refuse_others(name, [one for one in free if one not in taken.parameters], hints, taken.kind)
    of_those: Source = "field" if taken.fields else "payload"
    parameters += [Parameter(one.name, of_those, hints[one.name]) for one in taken.parameters]
    parameters.sort(key=lambda one: list(declared).index(one.name))
    kind = taken.kind
    if taken.fields:
        for one in taken.parameters:
            _validator(hints[one.name], one.name, name)
        kind = payload_of_fields(function, tuple(taken.parameters), hints)
    validator = _validator(kind, taken.parameters[0].name, name) if taken.parameters else None
    returns = hints.get("return")
    return Signature(
        tuple(parameters), validator, returns, payload=kind, wraps=kept_in_field(returns)
    )


def check_parameters(function: Callable[..., Any], name: str) -> None:
    """Refuse parameters that no call by keyword fills; known before any type is.

    Raises:
        HandlerError: there is one.
    """
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise HandlerError(
                f"Handler {name}: parameter {stars}{parameter.name} cannot be filled;"
                f" allowed: {FITTING}."
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise HandlerError(
                f"Handler {name}: parameter {parameter.name} is positional-only;"
                " handlers are called by keyword."
            )


def _refuse_others(
    name: str, others: Sequence[inspect.Parameter], hints: Mapping[str, Any], payload: Any
) -> None:
    """Refuse parameters that nothing fills.

    Raises:
        HandlerError: there is one without a default, or that looks as if it were to be filled.
    """
    for parameter in others:
        hint = hints.get(parameter.name)
        if parameter.default is parameter.empty or mentions_payload(hint):
            method = parameter.name in ("self", "cls") and hint is None
            raise HandlerError(
                f"Handler {name}: parameter {parameter.name}"
                f" ({_shown(hint)}) cannot be filled; allowed: {FITTING}."
                + (" For a method write handler(QUEUE)(OBJECT.METHOD)." if method else "")
            )
    doubtful = [one for one in others if hints.get(one.name) in (None, Any, object)]
    if doubtful and payload is None:
        raise HandlerError(
            f"Handler {name}: parameter {doubtful[0].name} has no type, so it would always keep its"
            f" default; write its type. Filled are: {FITTING}."
        )


def needs_of(
    function: Callable[..., Any], *, who: str, resources: frozenset[Any], item: bool = True
) -> Signature:
    """Read the parameters of what stands around handlers: lifespans, factories, middleware.

    Args:
        function: a function, or a class.
        who: how to call it in errors, for example ``"Middleware timed"``.
        resources: the types that lifespans provide.
        item: whether there is an item to give.

    Raises:
        HandlerError: a parameter without a default that nothing fits.
    """
    try:
        hints = get_type_hints(
            function.__init__ if inspect.isclass(function) else function, include_extras=True
        )
        declared = inspect.signature(function).parameters.values()
    except (NameError, TypeError, ValueError):
        return Signature((), None, None)  # a class of native code, say: nothing can be known of it
    parameters: list[Parameter[Source]] = []
    for parameter in declared:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        hint = hints.get(parameter.name)
        kind = _asked(hint, resources)
        source: Source | None = _source(kind, resources)
        if source == "payload" or (source == "item" and not item):
            source = None
        if source is not None and parameter.kind is not parameter.POSITIONAL_ONLY:
            parameters.append(Parameter(parameter.name, source, kind))
        elif parameter.default is parameter.empty:
            allowed = FITTING_AROUND if item else FITTING_AROUND.removeprefix("Item, ")
            raise HandlerError(
                f"{who}: parameter {parameter.name} ({_shown(hint)}) cannot be filled;"
                f" allowed: {allowed}."
            )
    return Signature(tuple(parameters), None, hints.get("return"))


def resource_of(kind: Any) -> Resource | None:
    """Return the ``Resource`` of an ``Annotated[TYPE, Resource(factory)]``, or None."""
    for mark in getattr(kind, "__metadata__", ()):
        if isinstance(mark, Resource):
            return mark
    return None


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return a function's annotations; none where they cannot be read."""
    try:
        return get_type_hints(function, include_extras=True)
    except Exception:  # an annotation is code, which may raise anything
        return {}


def pushed_kind(function: Callable[..., Any], payload: Any = None) -> Any:
    """Return the type of a handler's payload, as who pushes to it must know it; None where the
    handler takes none.

    Who pushes does not know what lifespans provide. Of several classes that could be the payload it
    is the first, unless all are there as fields; beside a field of a plain type a class counts as
    a field where it is there.

    Args:
        payload: what is pushed, where that is known.
    """
    try:
        taken, hints = _pushed(function)
    except LookupError:
        return None
    if not taken.fields:
        return taken.kind
    there = payload.keys() if isinstance(payload, Mapping) else frozenset[str]()
    if not taken.plain and not all(one.name in there for one in taken.parameters):
        return hints[taken.parameters[0].name]
    fields = tuple(one for one in taken.parameters if one.name in there or not taken.optional(one))
    return payload_of_fields(function, fields, hints)


@lru_cache(maxsize=512)
def _pushed(function: Callable[..., Any]) -> tuple[OfPayload, Mapping[str, Any]]:
    """Find it once; that there is none is not remembered: a name may be defined later.

    Raises:
        LookupError: no parameter can be the payload's.
    """
    hints, nothing = hints_of(function), frozenset[Any]()
    free = [
        one
        for one in inspect.signature(function).parameters.values()
        if _source(_asked(hints.get(one.name), nothing), nothing) in (None, "payload")
    ]
    taken = of_payload(free, hints)
    if not taken.parameters:
        raise LookupError(name_of(function))
    return taken, hints


def _asked(kind: Any, resources: frozenset[Any]) -> Any:
    """Return the type to fill a parameter by: of ``X | None`` that is ``X``, save for payloads."""
    members = [one for one in members_of(kind) if one is not type(None)]
    if len(members) == 1 and _source(members[0], resources) not in (None, "payload"):
        return members[0]
    return kind


def _source(kind: Any, resources: frozenset[Any]) -> Source | None:
    if kind is Item:
        return "item"
    if kind is Client:
        return "client"
    if kind is State:
        return "state"
    if resource_of(kind) is not None or _one_of(kind, resources):
        return "resource"
    return "payload" if is_payload(kind) else None


def _one_of(kind: Any, resources: frozenset[Any]) -> bool:
    try:
        return kind in resources
    except TypeError:  # an annotation may hold a list
        return False


def _validator(kind: Any, parameter: str, name: str) -> TypeForm | None:
    if not validates(kind):
        return None
    try:
        return form_of(kind)
    except Exception as error:  # pydantic's, or of a type's own code
        raise HandlerError(
            f"Handler {name}: parameter {parameter} ({_shown(kind)}) cannot be"
            f" validated by pydantic: {(str(error) or repr(error)).splitlines()[0].rstrip('.')}."
        ) from error


def _shown(kind: Any) -> str:
    if kind is None:
        return "without a type"
    return f"of type {getattr(kind, '__name__', None) or kind}"
