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
from worker.item.error_chain import by_weight
from worker.item.error_text import MAX_MESSAGE, attribute_of, clip, text_of
from worker.openiap.values import json_text

MAX_FIELD: Final = 64 * 1024
"""Characters of JSON per attribute; larger ones stay behind."""
MOST_TOLD: Final = 24
"""Errors behind one that come along."""
DEEPEST: Final = 8


class RemoteError(ApplicationError):
    """An error of a process handler whose class this process does not know.

    The class of such an error is a subclass with the original's name.
    """


def error_to_message(error: BaseException) -> Message:
    """Return an error as data, with its cause, its context and the errors of its group."""
    return _message(error, {id(error)}, 0)


def _message(error: BaseException, seen: set[int], depth: int) -> Message:
    kind = type(error)
    fields, moments = {}, {}
    for name, value in vars(error).items():
        if isinstance(value, datetime):
            moments[name] = value.isoformat()
        elif (text := _json(value)) is not None:
            fields[name] = json.loads(text)

    def other(one: BaseException | None) -> Message | None:
        if one is None or id(one) in seen or len(seen) > MOST_TOLD or depth >= DEEPEST:
            return None
        seen.add(id(one))
        return _message(one, seen, depth + 1)

    group = error if isinstance(error, BaseExceptionGroup) else None
    inside = [] if group is None else [other(one) for one in by_weight(group.exceptions)]
    return {
        "module": kind.__module__,
        "name": kind.__qualname__,
        "message": clip(text_of(error) if group is None else group.message, MAX_MESSAGE),
        "fields": fields,
        "moments": moments,
        "stack": attribute_of(error, "stack") or stack_of_error(error.__traceback__),
        "group": [one for one in inside if one is not None],
        "cause": other(error.__cause__),
        "context": None if error.__suppress_context__ else other(error.__context__),
    }


def error_from_message(message: Mapping[str, Any]) -> Exception:
    """Return the error that was taken apart, of its own class where that is known here."""
    text, module, name = (str(message[part]) for part in ("message", "module", "name"))
    inside = [error_from_message(one) for one in message.get("group") or ()]
    error = _group(module, name, text, inside) if inside else _instance(module, name, text)
    error.__dict__.update(message["fields"])
    for field, value in message["moments"].items():
        error.__dict__[field] = datetime.fromisoformat(value)
    error.__dict__["stack"] = str(message["stack"])
    cause, context = message.get("cause"), message.get("context")
    if cause is not None:
        error.__cause__ = error_from_message(cause)
    elif context is not None:
        error.__context__ = error_from_message(context)
    return error


def _group(module: str, name: str, text: str, inside: list[Exception]) -> Exception:
    known = _class(module, name)
    kind = known if known is not None and issubclass(known, ExceptionGroup) else ExceptionGroup
    try:
        return kind(text, inside)
    except Exception:  # its constructor wants what nobody here has
        return ExceptionGroup(text, inside)


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
