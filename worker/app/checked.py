"""Whether handlers can be worked at all: one answer for ``run``, ``doctor`` and ``contract``.

1. Their parameters can be filled, and each queue has one handler (``registry.py``).
2. What they say they return can be kept on an item.
3. With ``process=True`` a child can import and call them.
4. Their schedules make payloads that they take.
5. A breaker is the same for all that need it.

Whatever is refused here would fail item after item, or tick after tick.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from worker.app.breaker import Breaker
from worker.app.options import Handler
from worker.app.payload import check_files, item_name, payload_json
from worker.app.payload_types import cannot_be_kept
from worker.app.payload_types import shown as _shown
from worker.app.registry import Registered, Registry, chosen
from worker.app.schedule_options import Schedule
from worker.errors import HandlerError
from worker.item.push import ContractError

KEPT: Final = (
    "a pydantic model, a dataclass, a dict with text keys, text, a number, a list and the like, or"
    " None"
)


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
    """Refuse a result type of which no value has a JSON form.

    Raises:
        HandlerError: it is one, or has one among its alternatives.
    """
    if not registered.handler.options.store:
        return
    unkept = cannot_be_kept(registered.signature.returns)
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
