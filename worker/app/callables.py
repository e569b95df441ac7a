"""What may stand under ``@handler`` besides a plain function, made into one.

1. A partial, an object with ``__call__`` or a static method becomes a function that calls it, with
   a name, a signature, annotations and a docstring to be read by the rest of the worker.
2. A ``def`` that returns an awaitable, as a decorator around an ``async def`` does, runs like any
   other ``def``; who runs it awaits what it returns.
"""

import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from worker.errors import HandlerError, name_of

T = TypeVar("T")


def as_function(given: Any, queue: str) -> Callable[..., Any]:
    """Return what was given as a function.

    Raises:
        HandlerError: it cannot be a handler; the text says what to write.
    """
    if isinstance(given, staticmethod):
        return as_function(given.__func__, queue)
    if isinstance(given, classmethod):
        raise HandlerError(
            f"@handler({queue!r}): {name_of(given.__func__)} is a class method; write"
            f" {given.__func__.__name__} = handler({queue!r})(CLASS.{given.__func__.__name__})"
            " below the class."
        )
    if not callable(given) or inspect.isclass(given):
        raise HandlerError(f"@handler({queue!r}): {name_of(given)} is not a function.")
    why = _unfit(given)
    if why:
        raise HandlerError(
            f"@handler({queue!r}): {name_of(given)} {why}; write a function that calls it."
        )
    named = all(
        isinstance(getattr(given, name, None), str) for name in ("__qualname__", "__name__")
    )
    function = given if named or inspect.isroutine(given) else _calling(given, queue)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise HandlerError(
            f"@handler({queue!r}): {function.__qualname__} has a yield; a handler returns its"
            " result."
        )
    return function


def _unfit(given: Any) -> str:
    """Return why something that can be called cannot be a handler, or ""."""
    if inspect.isfunction(given) and hasattr(given, "registry") and hasattr(given, "dispatch"):
        return "chooses by its first positional argument, and handlers are called by keyword"
    if isinstance(given, functools._lru_cache_wrapper):
        return "is cached, so it would not run for each item"
    code = getattr(given, "__code__", None)
    if code is not None and code.co_filename == contextlib.__file__:
        return "makes a context manager, and a handler returns its result"
    if inspect.isroutine(given) and not hasattr(given, "__code__"):
        inside = getattr(given, "__func__", None)
        return "" if hasattr(inside, "__code__") else "is not written in Python"
    return ""


def _calling(given: Callable[..., Any], queue: str) -> Callable[..., Any]:
    """Return a function that calls an object, and says of itself what that would."""
    target, bound = given, set[str]()
    while isinstance(target, functools.partial):
        bound |= target.keywords.keys()
        target = target.func
    owner = None if inspect.isroutine(target) else type(target)
    called: Any = target if owner is None else owner.__call__
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        return called  # type: ignore[no-any-return]
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError) as error:
        raise HandlerError(
            f"@handler({queue!r}): the parameters of {name_of(target)} cannot be read; write a"
            " function that calls it."
        ) from error

    def call(*args: Any, **arguments: Any) -> Any:
        return given(*args, **arguments)

    async def call_and_wait(*args: Any, **arguments: Any) -> Any:
        return await given(*args, **arguments)

    made: Any = call_and_wait if inspect.iscoroutinefunction(called) else call
    functools.update_wrapper(made, called)
    if owner is not None:
        made.__module__, made.__name__ = owner.__module__, owner.__name__
        made.__qualname__ = owner.__qualname__
        made.__doc__ = called.__doc__ or owner.__doc__
    free = [one for one in signature.parameters.values() if one.name not in bound]
    made.__signature__ = signature.replace(parameters=free)
    wrapper: Callable[..., Any] = made
    return wrapper


async def awaited(value: Awaitable[T]) -> T:
    """Await what a ``def`` handler returned, as a coroutine."""
    return await value
