"""Options that several commands have: declared once, handed to a command as one object."""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from typing import Annotated, Any, get_origin


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of its groups.

    A group is a dataclass whose fields are annotated as typer's options are; a command takes it as
    an argument annotated with that class. On the command line the group's options stand in that
    argument's place. Fields that are not annotated so are no options.

    Raises:
        ValueError: two options have the same name.
    """
    own = inspect.signature(command, eval_str=True)
    groups: dict[str, tuple[Callable[..., Any], list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for one in own.parameters.values():
        if not (is_dataclass(one.annotation) and isinstance(one.annotation, type)):
            parameters.append(one)
            continue
        options = options_of(one.annotation)
        groups[one.name] = (one.annotation, [option.name for option in options])
        parameters += options
    parameters = [one.replace(kind=one.KEYWORD_ONLY) for one in parameters]

    @wraps(command)
    def with_options(**given: Any) -> None:
        made = {
            name: group(**{of: given.pop(of) for of in options if of in given})
            for name, (group, options) in groups.items()
        }
        command(**given, **made)

    del with_options.__wrapped__  # or its signature would be taken for this one
    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


def options_of(group: type) -> list[inspect.Parameter]:
    """Return the options that a group declares, in their order."""
    fields = inspect.signature(group, eval_str=True).parameters.values()
    return [field for field in fields if get_origin(field.annotation) is Annotated]
