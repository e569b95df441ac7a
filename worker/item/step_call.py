"""How a step is called: which calls are the same one, and how one looks. Pure."""

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from worker.errors import name_of
from worker.item.error_text import clip
from worker.item.masking import masked
from worker.kinds import kind_of

MAX_SHOWN: Final = 200


class StepCall:
    """How a step was called in this run.

    Attributes:
        around: the step that it is called inside of; "" for none.
        lock: held while it runs.
        cancelled: it was to end while its thread ran; it does once the result is stored.
    """

    __slots__ = ("args", "around", "cancelled", "function", "lock")

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], around: str = ""
    ) -> None:
        self.function = function
        self.args = args
        self.around = around
        self.lock = asyncio.Lock()
        self.cancelled: asyncio.CancelledError | None = None

    def is_call_of(self, function: Callable[..., Any], args: tuple[Any, ...]) -> bool:
        """Whether it is the same call."""
        return _same(_parts(self.function), _parts(function)) and _same(self.args, args)

    def __str__(self) -> str:
        return shown_call(self.function, self.args)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a function is awaited, and not called in a thread."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 (an object with an async call)
    )


def shown_call(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """Return a call for people, masked and short."""
    shown = ", ".join(clip(masked(_repr(one)), MAX_SHOWN) for one in args)
    return f"{name_of(function)}({shown})"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # whatever a class of others does
        return kind_of(value)


def _parts(function: Callable[..., Any]) -> object:
    """Return what makes a function the same one: a lambda is another object each time."""
    if isinstance(function, partial):
        return (_parts(function.func), function.args, function.keywords)
    code = getattr(function, "__code__", None)
    if code is None or inspect.ismethod(function):
        return function
    cells = getattr(function, "__closure__", None) or ()
    inside = tuple(cell.cell_contents for cell in cells if not _is_empty(cell))
    defaults = (getattr(function, name, None) for name in ("__defaults__", "__kwdefaults__"))
    return (code, inside, *defaults)


def _is_empty(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 (it raises)
    except ValueError:
        return True
    return False


def _same(one: object, other: object) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if one is other:
        return True
    try:
        return bool(one == other)
    except Exception:  # arrays of others compare element by element
        return False
