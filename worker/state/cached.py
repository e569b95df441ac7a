"""``@cached``: a result that is computed once in the whole fleet, and kept for a while.

1. A result is one of ``state.values``, under the function's name and a hash of its arguments.
2. Where there is none, one caller takes a lock, computes and sets it; the others look for it about
   once a second and return it, or take the lock over once its holder has died.
3. What is returned is always what was stored: the first caller gets the same as all others.
"""

import asyncio
import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, TypeVar, cast, get_type_hints
from weakref import WeakValueDictionary

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from worker.durations import Duration
from worker.errors import name_of
from worker.openiap.client import Client
from worker.openiap.errors import ServerError
from worker.state.current import state_here
from worker.state.state import State
from worker.state.values import ttl_seconds

LEASE: Final = "10s"
"""How long the death of who computes keeps the others waiting."""

F = TypeVar("F", bound=Callable[..., Any])


def cached(
    ttl: Duration | timedelta | None, *, key: Callable[..., str] | None = None
) -> Callable[[F], F]:
    """Keep a function's results in shared state; one worker computes, all others wait for it::

        @cached(ttl="5m")
        async def rate_of(currency: str) -> Decimal: ...

    It works for ``async def`` and ``def`` functions that are called in a handler, or inside of
    ``worker.connect()`` or ``worker.sync.connect()``. An error is not kept: it is raised where it
    happened, and the next caller computes.

    - One call computes at a time; the others wait, and take over if its process dies.
    - A process that is frozen while it computes is followed by another, so for that time two
      compute; the last one to end is kept.
    - When a result is forgotten the server's clock decides.

    Args:
        ttl: how long a result is kept; None for ever.
        key: makes the text that results are told apart by, of the arguments; else they are told
            apart by the arguments' JSON. ``Client`` and ``State`` among them do not count.

    Raises:
        TypeError, ValueError: ``ttl`` or ``key`` is not allowed; when it is called: arguments or a
            result without a JSON form, or a result beyond what a value may have.
        NoState: called where there is no shared state.
    """
    if callable(ttl):
        raise TypeError(
            f'cached {name_of(ttl)}: for how long is missing; write @cached(ttl="5m"), or'
            " @cached(ttl=None) for ever"
        )
    if key is not None and not callable(key):
        raise TypeError(
            f"cached: key = {key!r}; allowed: a function of the arguments that returns a text"
        )
    seconds = ttl_seconds(ttl)

    def wrap(function: F) -> F:
        if not callable(function):
            raise TypeError(f"cached: {function!r} is no function")
        results = Results(function, seconds, key)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def called(*args: Any, **kwargs: Any) -> Any:
                current = state_here(results.name)

                async def compute() -> Any:
                    return await function(*args, **kwargs)

                return await results.get(current.state, results.key(args, kwargs), compute)

            return cast(F, called)

        @functools.wraps(function)
        def called_here(*args: Any, **kwargs: Any) -> Any:
            current = state_here(results.name)
            kept = results.key(args, kwargs)
            found = current.wait(results.found(current.state, kept))
            if found is not MISSING:
                return found
            # The function runs in the caller's thread, the lock is kept up by the loop meanwhile.
            turn = Turn(results, current.state, kept)
            try:
                found = current.wait(turn.taken())
                if found is not MISSING:
                    return found
                return current.wait(turn.kept(function(*args, **kwargs)))
            finally:
                turn.over_soon()

        return cast(F, called_here)

    return wrap


class _Missing:
    """There is no result."""


MISSING: Final = _Missing()


class Results:
    """The results of one function."""

    def __init__(
        self, function: Callable[..., Any], ttl: float | None, key: Callable[..., str] | None
    ) -> None:
        self.name: Final = f"{module_of(function)}.{function.__qualname__}"
        self._function = function
        self._signature = inspect.signature(function)
        self._ttl = ttl
        self._key = key
        self._adapter: TypeAdapter[Any] | None = None
        self._turns: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return under which key the result for these arguments is kept.

        Raises:
            TypeError: they have no JSON form, or ``key`` made no text of them.
        """
        if self._key is not None:
            text = self._key(*args, **kwargs)
            if not isinstance(text, str):
                raise TypeError(f"cached {self.name}: key gave {text!r}; allowed: text")
        else:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            told = {
                name: value
                for name, value in bound.arguments.items()
                if not isinstance(value, Client | State)
            }
            try:
                text = to_json(told).decode()
            except PydanticSerializationError as error:
                raise TypeError(
                    f"cached {self.name}: its arguments have no JSON form ({error}); give it key="
                ) from None
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return f"cached/{self.name[-200:]}/{digest}"

    async def get(
        self, state: State, key: str, compute: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        """Return the result, computed here where nobody else does."""
        found = await self.found(state, key)
        if found is not MISSING:
            return found
        turn = Turn(self, state, key)
        try:
            found = await turn.taken()
            return found if found is not MISSING else await turn.kept(await compute())
        finally:
            await turn.over()

    async def found(self, state: State, key: str) -> Any:
        """Return the result that is kept, or ``MISSING``."""
        try:
            value = await state.values.get(key)
            if not value.found:
                return MISSING
            return self._read().validate_json(str(value.value))
        except (ServerError, ValidationError):
            return MISSING  # of an older version, or spoiled: computed anew

    async def keep(self, state: State, key: str, result: Any) -> Any:
        """Store a result and return it as everybody gets it."""
        adapter = self._read()
        try:
            text = adapter.dump_json(result).decode()
        except PydanticSerializationError as error:
            raise TypeError(f"cached {self.name}: its result has no JSON form: {error}") from None
        await state.values.set(key, text, ttl=self._ttl)
        return adapter.validate_json(text)

    def turn(self, key: str) -> asyncio.Lock:
        """Return what callers in this process line up at, so that one of them asks the server."""
        place = (id(asyncio.get_running_loop()), key)
        found = self._turns.get(place)
        if found is None:
            found = self._turns[place] = asyncio.Lock()
        return found

    def _read(self) -> TypeAdapter[Any]:
        if self._adapter is None:
            hints = get_type_hints(self._function)
            self._adapter = TypeAdapter(hints.get("return", Any))
        return self._adapter


def module_of(function: Callable[..., Any]) -> str:
    """Return the module's name, also where it is the one that was started (``python -m``)."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if function.__module__ == "__main__" and spec is not None:
        return str(spec.name)
    return function.__module__


class Turn:
    """The right to compute one result, or the wait for whoever has it."""

    def __init__(self, results: Results, state: State, key: str) -> None:
        self._results = results
        self._state = state
        self._key = key
        self._lock = state.lock(key, LEASE)
        self._line: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def taken(self) -> Any:
        """Wait for the result and return it, or return ``MISSING`` to whoever is to compute it."""
        self._loop = asyncio.get_running_loop()
        line = self._results.turn(self._key)
        await line.acquire()
        self._line = line
        found: Any = MISSING

        async def there() -> bool:
            nonlocal found
            found = await self._results.found(self._state, self._key)
            return found is not MISSING

        if await self._lock.acquire_unless(there) is not None:
            await there()  # it may have come in the moment before
        return found

    async def kept(self, result: Any) -> Any:
        """Keep the result and return it as everybody gets it."""
        return await self._results.keep(self._state, self._key, result)

    async def over(self) -> None:
        """Let the next one; idempotent."""
        line, self._line = self._line, None
        try:
            await self._lock.release()
        finally:
            if line is not None:
                line.release()

    def over_soon(self) -> None:
        """Do so from another thread, whatever became of the call, and without a wait for it."""
        if self._loop is not None and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self.over(), self._loop)
