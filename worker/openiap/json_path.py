"""Where in a value something is that has no JSON form."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from worker.openiap.values import json_text

DEEPEST: Final = 100
"""Levels; below them, and in what contains itself, the path so far is told."""


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
