"""The help of options that are given or not: it names no type, for they take no value."""

from typing import Any

import typer


def without_types(command: Any, parent: typer.Context | None = None) -> Any:
    """Return a command, and all below it, whose help shows no ``<bool>``.

    Args:
        command: typer's, made of the application; which class it is of depends on its version.
    """
    context = typer.Context(
        command, info_name=command.name, parent=parent, **command.context_settings
    )
    for option in command.get_params(context):
        if getattr(option, "is_flag", False) and option.metavar is None:
            option.metavar = ""
    for below in getattr(command, "commands", {}).values():
        without_types(below, context)
    return command
