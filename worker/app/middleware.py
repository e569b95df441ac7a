"""Middleware: async context managers around the run of a handler.

A middleware is an async generator function with one ``yield``, or a function that returns an async
context manager. Its parameters are filled by type: ``Item``, ``Client``, what lifespans provide.
What it raises is what the item ends with; an exception of the handler comes out of the ``yield``.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from worker.errors import HandlerError, name_of

Manager = Callable[..., AbstractAsyncContextManager[Any]]
MiddlewareFunction = Callable[..., AsyncIterator[Any] | AbstractAsyncContextManager[Any]]


class Middleware:
    """A middleware by its function; two of one function are the same one."""

    __slots__ = ("function", "manager", "name")

    def __init__(self, function: MiddlewareFunction) -> None:
        """Take a function.

        Raises:
            HandlerError: it is none.
        """
        self.name: Final = name_of(function)
        lacking = inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function)
        if not callable(function) or lacking:
            raise HandlerError(
                f"Middleware {self.name}: give a function that returns an async context manager, or"
                " an async generator function with one yield."
            )
        self.function: Final = function
        wrapped: Any = function
        if inspect.isasyncgenfunction(function):
            wrapped = asynccontextmanager(function)
        self.manager: Final[Manager] = wrapped

    def __call__(self, *args: Any, **kwargs: Any) -> AbstractAsyncContextManager[Any]:
        """Return the context manager, as for a test."""
        return self.manager(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Middleware) and other.function is self.function

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        return f"Middleware({self.name})"


def middleware(function: MiddlewareFunction) -> Middleware:
    """Declare a middleware for every handler of the worker that loads this module::

        @middleware
        async def timed(item: Item) -> AsyncIterator[None]:
            began = time.monotonic()
            yield
            item.log.info("worked", seconds=time.monotonic() - began)

    For some handlers only: ``Router(middleware=[…])`` or ``@handler(…, middleware=[…])``, with the
    plain function. The worker's come first, then the routers' from the outside in, then the
    handler's own, each in the order in which it is declared; they end in the reverse order.
    """
    return Middleware(function)


def all_middleware(
    what: str, given: "Sequence[Middleware | MiddlewareFunction]"
) -> tuple[Middleware, ...]:
    """Return what was given as middleware.

    Raises:
        HandlerError: it is no list, or one in it is no function.
    """
    if not isinstance(given, Sequence):
        raise HandlerError(f"{what} = {given!r}; allowed: a list of middleware functions.")
    return tuple(one if isinstance(one, Middleware) else Middleware(one) for one in given)
