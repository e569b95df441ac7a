"""How a handler's function begins, and whether it is awaited: what pushes to it are typed by. Those
that begin with the ``Item`` stand beside it."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Concatenate, TypeVar
from uuid import UUID

M = TypeVar("M")
T = TypeVar("T")

PayloadFirst = Callable[Concatenate[M, ...], T]
AsyncPayloadFirst = Callable[Concatenate[M, ...], Coroutine[Any, Any, T]]

if TYPE_CHECKING:

    class Plain(str, int, Decimal, datetime, UUID, list[Any]):  # type: ignore[misc]
        """Of all plain types at once: a function that takes one of them takes this, and one that
        takes a model does not. No value is of it, and a type variable would do for any function."""


# What begins with a plain value takes the payload's fields.
FieldFirst = Callable[Concatenate["Plain", ...], T]
AsyncFieldFirst = Callable[Concatenate["Plain", ...], Coroutine[Any, Any, T]]
