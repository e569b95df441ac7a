"""Whether handlers can be worked at all: one answer for ``run``, ``doctor`` and ``contract``.

1. Their parameters can be filled, and each queue has one handler (``registry.py``).
2. What they say they return can be kept on an item.
3. With ``process=True`` a child can import and call them.
4. Their schedules make payloads that they take.
5. A breaker is the same for all that need it.

Whatever is refused here would fail item after item, or tick after tick.
"""

import inspect
import typing
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel

from worker.app.breaker import Breaker
from worker.app.options import Handler
from worker.app.payload import check_files, item_name, payload_json
from worker.app.registry import Registered, Registry, chosen
from worker.app.schedule_options import Schedule
from worker.app.signature import members_of
from worker.errors import HandlerError
from worker.item.push import ContractError

KEPT: Final = "a pydantic model, a dataclass, a dict with text keys, or None"
ANYTHING: Final = (Any, object, None, NoneType)


def checked(handlers: Sequence[Handler[..., Any]], queues: Sequence[str] = ()) -> Registry:
    """Return the handlers that a worker has for these queues; () keeps all.

    Args:
        handlers: those of an ``Application`` may ask for what its lifespans provide.

    Raises:
        HandlerError: none, one for a queue too few or too many, or one that cannot be worked; one
            sentence that names it.
    """
    registry = Registry(handlers)
    check_breakers(registry)
    for registered in registry:
        check_result(registered)
        if registered.handler.options.execution == "process":
            check_process(registered)
        for schedule in registered.handler.options.schedules:
            check_schedule(registered.handler, schedule)
    return chosen(registry, queues)


def check_breakers(registry: Iterable[Registered]) -> None:
    """Refuse two breakers of one name that differ: they would be one system's.

    Raises:
        HandlerError: there are such.
    """
    known: dict[str, tuple[Breaker, str]] = {}
    for registered in registry:
        for breaker in registered.handler.options.breakers:
            other, whose = known.setdefault(breaker.name, (breaker, registered.name))
            if other != breaker:
                raise HandlerError(
                    f"Handler {registered.name}: its breaker {breaker.name} is another than that of"
                    f" {whose}; make it once, and give it to both."
                )


def check_result(registered: Registered) -> None:
    """Refuse a result type of which no value could be laid over a payload.

    Raises:
        HandlerError: it is one, or has one among its alternatives.
    """
    unkept = _unkept(registered.signature.returns)
    if unkept is not None:
        raise HandlerError(
            f"Handler {registered.name}: its result of type {_shown(unkept)} cannot be kept on the"
            f" item; allowed: {KEPT}."
        )


def check_process(registered: Registered) -> None:
    """Refuse a handler that no child can import or call.

    Raises:
        HandlerError: it asks for what only the worker has, or stands in ``__main__``.
    """
    name = registered.name
    for parameter in registered.signature.parameters:
        if parameter.source in ("client", "state", "resource"):
            raise HandlerError(
                f"Handler {name}: parameter {parameter.name} of type {_shown(parameter.kind)}"
                " cannot be filled with process=True; a process has no connection to OpenIAP and no"
                " lifespan."
            )
    if registered.handler.function.__module__ == "__main__":
        raise HandlerError(
            f"Handler {name} stands in the script that is run; with process=True it must stand in"
            " a module that other processes can import."
        )


def check_schedule(handler: Handler[..., Any], schedule: Schedule) -> None:
    """Refuse a schedule whose items its handler would not take.

    Raises:
        HandlerError: the payload does not fit or gives no name, or the handler needs files.
    """
    try:
        check_files(handler, ())
        if not callable(schedule.payload):
            payload = {} if schedule.payload is None else schedule.payload
            item_name(handler, payload_json(handler, payload))
    except ContractError as error:
        raise HandlerError(f"Handler {handler.name}: schedule {schedule.name}: {error}") from None


def _unkept(kind: Any) -> Any:
    """Return the type in a declared result that can be kept by none of its values, or None. What
    cannot be told, as of a type variable or a base class, is left to the items."""
    for member in members_of(kind):
        origin = get_origin(member) or member
        if origin in (Awaitable, Coroutine):  # of a def that returns one
            inner = _unkept(get_args(member)[-1]) if get_args(member) else None
            if inner is not None:
                return inner
        elif origin is Literal:
            if any(value is not None for value in get_args(member)):
                return member
        elif not _may_be_object(origin, get_args(member)):
            return member
    return None


def _may_be_object(origin: Any, arguments: tuple[Any, ...]) -> bool:
    if any(origin is one for one in ANYTHING) or not isinstance(origin, type):
        return True
    if issubclass(origin, Mapping):
        key = arguments[0] if len(arguments) == 2 else str
        return not isinstance(key, type) or key is object or issubclass(key, str)
    if issubclass(origin, BaseModel) or is_dataclass(origin) or typing.is_typeddict(origin):
        return True
    if inspect.isabstract(origin) or getattr(origin, "_is_protocol", False):
        # Of Python's own, like Sequence, no value is an object, save for what Mapping has as well.
        return origin.__module__ != "collections.abc" or issubclass(Mapping, origin)
    below = () if origin.__module__ == "builtins" else type.__subclasses__(origin)
    return any(_may_be_object(one, ()) for one in below)


def _shown(kind: Any) -> str:
    return str(kind) if get_args(kind) else getattr(kind, "__name__", None) or str(kind)
