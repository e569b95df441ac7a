"""What a handler's parameters ask for, found out once at start.

Parameters are injected by type: the payload (a pydantic model, dataclass, TypedDict, or dict), the
``Item``, the ``Client``, the ``State``, what a lifespan provides, and per-item resources. What does
not fit is refused with the parameter's name and what would.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from worker.errors import HandlerError, name_of
from worker.item.item import Item
from worker.item.type_form import TypeForm, form_of
from worker.openiap.client import Client
from worker.openiap.workitem import JsonObject
from worker.state.state import State

FITTING: Final = (
    "a payload (pydantic model, dataclass, TypedDict or dict), Item, Client, State,"
    " a type that a lifespan provides, or Annotated[TYPE, Resource(FACTORY)]"
)
FITTING_AROUND: Final = "Item, Client, State, or a type that a lifespan provides"

Source = Literal["payload", "item", "client", "state", "resource"]


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
class Parameter:
    """One parameter: its name, where its value comes from, and the type it named."""

    name: str
    source: Source
    kind: Any


@dataclass(frozen=True, slots=True)
class Signature:
    """The injection plan of a handler.

    Attributes:
        parameters: in order.
        validator: validates the payload; None where the handler takes it as a dict, or not at all.
        returns: the declared return type, or None.
    """

    parameters: tuple[Parameter, ...]
    validator: TypeForm | None
    returns: Any

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
        HandlerError: a parameter that nothing fits, or two payloads.
    """
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:  # an annotation is code, which may raise anything
        raise HandlerError(f"Handler {name}: its annotations cannot be read: {error}.") from error
    parameters: list[Parameter] = []
    doubtful: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise HandlerError(
                f"Handler {name}: parameter *{parameter.name} cannot be filled; allowed: {FITTING}."
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise HandlerError(
                f"Handler {name}: parameter {parameter.name} is positional-only;"
                " handlers are called by keyword."
            )
        hint = hints.get(parameter.name)
        kind = _asked(hint, resources)
        source = _source(kind, resources)
        if source is not None:
            parameters.append(Parameter(parameter.name, source, kind))
        elif parameter.default is parameter.empty or _mentions_payload(hint):
            method = parameter.name in ("self", "cls") and hint is None
            raise HandlerError(
                f"Handler {name}: parameter {parameter.name}"
                f" ({_shown(hint)}) cannot be filled; allowed: {FITTING}."
                + (" For a method write handler(QUEUE)(OBJECT.METHOD)." if method else "")
            )
        elif hint in (None, Any, object):
            doubtful.append(parameter.name)
    payloads = [p for p in parameters if p.source == "payload"]
    if len(payloads) > 1:
        raise HandlerError(
            f"Handler {name}: parameters {payloads[0].name} and {payloads[1].name} both ask for the"
            " payload; only one can."
        )
    if doubtful and not payloads:
        raise HandlerError(
            f"Handler {name}: parameter {doubtful[0]} has no type, so it would always keep its"
            f" default; write its type. Filled are: {FITTING}."
        )
    validator = _validator(payloads[0], name) if payloads else None
    return Signature(tuple(parameters), validator, hints.get("return"))


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
    parameters: list[Parameter] = []
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


def payload_kind(function: Callable[..., Any]) -> Any:
    """Return the type of a handler's payload, as who pushes to it must know it: the first parameter
    that can be one; None where the handler takes no payload."""
    try:
        return _payload_kind(function)
    except LookupError:
        return None


@lru_cache(maxsize=512)
def _payload_kind(function: Callable[..., Any]) -> Any:
    """Find it once; that there is none is not remembered: a name may be defined later.

    Raises:
        LookupError: no parameter can be the payload.
    """
    hints = hints_of(function)
    for name in inspect.signature(function).parameters:
        kind = hints.get(name)
        if _source(_asked(kind, frozenset()), frozenset()) == "payload":
            return kind
    raise LookupError(name_of(function))


def members_of(kind: Any) -> tuple[Any, ...]:
    """Return the types of a union; what is none is alone."""
    bare = _bare(kind)
    return get_args(bare) if get_origin(bare) in (Union, UnionType) else (bare,)


def _bare(kind: Any) -> Any:
    """Return a type without what is said about it, and what a name for it stands for."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        else:
            return kind


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
    return "payload" if _is_payload(kind) else None


def _one_of(kind: Any, resources: frozenset[Any]) -> bool:
    try:
        return kind in resources
    except TypeError:  # an annotation may hold a list
        return False


def _is_payload(kind: Any) -> bool:
    members = [one for one in members_of(kind) if one is not type(None)]
    return bool(members) and all(_is_object(_bare(one)) for one in members)


def _is_object(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return _is_payload(kind)
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


def _mentions_payload(kind: Any) -> bool:
    """Whether a type that cannot be filled has one in it that could be the payload."""
    return any(_is_payload(one) or _mentions_payload(one) for one in get_args(_bare(kind)))


def validates(kind: Any) -> bool:
    """Return whether a payload of this type is validated: a bare dict takes every object."""
    return not any(kind == one for one in (dict, JsonObject, Mapping, Mapping[str, Any]))


def _validator(parameter: Parameter, name: str) -> TypeForm | None:
    if not validates(parameter.kind):
        return None
    try:
        return form_of(parameter.kind)
    except Exception as error:  # pydantic's, or of a type's own code
        raise HandlerError(
            f"Handler {name}: parameter {parameter.name} ({_shown(parameter.kind)}) cannot be"
            f" validated by pydantic: {(str(error) or repr(error)).splitlines()[0].rstrip('.')}."
        ) from error


def _shown(kind: Any) -> str:
    if kind is None:
        return "without a type"
    return f"of type {getattr(kind, '__name__', None) or kind}"
