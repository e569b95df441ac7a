"""Wrong use that the command line's library found, in a sentence: name, value, what is allowed."""

from collections.abc import Sequence
from typing import Any, Final

from worker.cli.shared.errors import CommandError, usage_error

MOST_SHOWN: Final = 200


def as_sentence(error: Any, given: Sequence[str]) -> CommandError:
    """Return what to show.

    Args:
        error: the library's own error of wrong use.
        given: the arguments as they were given.
    """
    text = " ".join(str(error.format_message()).split())
    text = text.removeprefix("Invalid value for ").removeprefix("Invalid value: ")
    parameter = getattr(error, "param", None)
    value = None if parameter is None else _value(tuple(parameter.opts), given)
    name, colon, why = text.partition(": ")
    if value is not None and colon:
        text = f"{_plain(name)} {value}: {why}"
    where = getattr(getattr(error, "ctx", None), "command_path", "openiap-worker")
    return usage_error(f"{text.rstrip('.')}. See: {where} --help.")


def _value(options: Sequence[str], given: Sequence[str]) -> str | None:
    """Return what was given for an option, as it can be shown; the last one counts."""
    found = None
    for place, argument in enumerate(given):
        name, equals, value = argument.partition("=")
        if argument in options and place + 1 < len(given):
            found = given[place + 1]
        elif equals and name in options:
            found = value
    if found is None:
        return None
    shown = found if found.isprintable() and found else ascii(found)
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"


def _plain(name: str) -> str:
    return name.replace("'", "")
