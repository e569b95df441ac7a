"""Errors across the pipe: taken apart on one side, made again on the other.

The class is found by name among the modules that this process has imported already; nothing is
imported because a message names it. Its constructor is not called, since nobody knows its
arguments: the text, the attributes with a JSON form and the stack are what come across.
"""

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from worker.engine.execution.pipe import Message
from worker.engine.execution.stacks import stack_of_error
from worker.errors import ApplicationError
from worker.item.error_text import MAX_MESSAGE, clip
from worker.openiap.values import iso, json_text, parse_iso

MAX_FIELD: Final = 64 * 1024
"""Characters of JSON per attribute; larger ones stay behind."""


class RemoteError(ApplicationError):
    """An error of a process handler whose class this process does not know.

    The class of such an error is a subclass with the original's name.
    """


def error_to_message(error: Exception) -> Message:
    """Return an error as data."""
    kind = type(error)
    fields, moments = {}, {}
    for name, value in vars(error).items():
        if isinstance(value, datetime):
            moments[name] = iso(value)
        elif (text := _json(value)) is not None:
            fields[name] = json.loads(text)
    return {
        "module": kind.__module__,
        "name": kind.__qualname__,
        "message": clip(_text(error), MAX_MESSAGE),
        "fields": fields,
        "moments": moments,
        "stack": getattr(error, "stack", "") or stack_of_error(error.__traceback__),
    }


def error_from_message(message: Mapping[str, Any]) -> Exception:
    """Return the error that was taken apart, of its own class where that is known here."""
    text = str(message["message"])
    error = _instance(str(message["module"]), str(message["name"]), text)
    error.__dict__.update(message["fields"])
    for name, value in message["moments"].items():
        error.__dict__[name] = parse_iso(value)
    error.__dict__["stack"] = str(message["stack"])
    return error


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception as broken:  # a __str__ of the handler's own
        return f"(its text cannot be read: {type(broken).__name__})"


def _json(value: object) -> str | None:
    try:
        text = json_text(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= MAX_FIELD else None


def _instance(module: str, name: str, text: str) -> Exception:
    known = _class(module, name)
    if known is None:
        return _renamed(RemoteError, module, name)(text)
    try:
        if known.__str__ is BaseException.__str__:
            return _made(known, text)
        return _made(_saying(known, text), text)
    except Exception:  # its __new__ wants what nobody here has
        return _renamed(RemoteError, module, name)(text)


def _made(kind: type[Exception], text: str) -> Exception:
    error: Exception = kind.__new__(kind, text)
    error.args = (text,)
    return error


def _saying(kind: type[Exception], text: str) -> type[Exception]:
    """Return a subclass that says ``text``, whatever its attributes would make it say."""
    renamed = _renamed(kind, kind.__module__, kind.__qualname__)
    renamed.__str__ = lambda self: text  # type: ignore[method-assign]
    return renamed


def _renamed(kind: type[Exception], module: str, name: str) -> type[Exception]:
    return type(name.rpartition(".")[2], (kind,), {"__module__": module, "__qualname__": name})


def _class(module: str, name: str) -> type[Exception] | None:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None
