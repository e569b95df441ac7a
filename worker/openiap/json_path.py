"""JSON text of what a program gave, or where in it something is that has no JSON form."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from worker.openiap.values import json_text

DEEPEST: Final = 100
"""Levels; below them, and in what contains itself, the path so far is told."""


def json_given(value: object, what: str) -> str:
    """Return ``value`` as JSON text.

    Args:
        what: how errors call it, for example ``"publish"``.

    Raises:
        TypeError, ValueError: something inside has no JSON form; the text says where it is.
    """
    try:
        text = json_text(value)
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what}: a text has half a character; allowed: whole ones") from None
    except (TypeError, ValueError) as error:
        path = path_of_problem(value)
        place = f"{what}: {path}" if path else what
        raise type(error)(f"{place}: {error}; allowed: what has a JSON form") from None
    return text


def path_of_problem(value: object) -> str:
    """Return the path of the first part that has no JSON form, as ``order.lines[2].price``; ""
    where it is the value itself, or where there is none."""
    path = ""
    for _ in range(DEEPEST):
        for step, part in _parts(value):
            if not _has_form(part):
                path, value = path + step, part
                break
        else:
            break
    return path.removeprefix(".")


def _parts(value: object) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return ((f".{key}", part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return ((f"[{number}]", part) for number, part in enumerate(value))
    return ()


def _has_form(value: object) -> bool:
    try:
        json_text(value)
    except (TypeError, ValueError):
        return False
    return True
