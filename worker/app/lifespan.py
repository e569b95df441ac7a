"""Lifespans: what the worker makes once at its start and gives to every handler that asks for it.

1. A lifespan is an async generator: what it yields is provided under the type that its annotation
   names; what stands after the ``yield`` runs when the worker has stopped working.
2. They start in the order of their declaration, before the first pop; one that fails keeps the
   worker from starting.
3. All run in one task of their own: what they open is closed in the task that opened it.
"""

import asyncio
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, cast, get_args, get_origin, get_type_hints

from worker.app.signature import Signature, needs_of
from worker.errors import HandlerError, name_of
from worker.item.item import Item
from worker.openiap.client import Client
from worker.openiap.connection import LinkLog
from worker.state.state import State

START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 10.0

Generator = Callable[..., AsyncIterator[Any]]


class Lifespan:
    """A declared lifespan; calling it just makes the generator, as in a test.

    Attributes:
        provides: the type under which handlers ask for it.
    """

    def __init__(self, function: Generator) -> None:
        self.function: Final = function
        self.name: Final = name_of(function)
        self.provides: Final = _provided(function, self.name)

    def __call__(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Make the generator."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Lifespan({self.name})"


def lifespan(function: Generator) -> Lifespan:
    """Declare what the worker makes once and gives to handlers by its type::

        @lifespan
        async def database() -> AsyncIterator[Database]:
            database = await Database.open("vouchers.db")
            yield database
            await database.close()

    It may itself ask for ``Client``, ``State`` and for what earlier lifespans provide.

    Raises:
        HandlerError: no async generator function, or one whose return type does not say what it
            provides.
    """
    return Lifespan(function)


def _provided(function: Generator, name: str) -> Any:
    if not inspect.isasyncgenfunction(function):
        raise HandlerError(
            f"Lifespan {name} is no async generator; write async def with one yield."
        )
    try:
        hint = get_type_hints(function).get("return")
    except (NameError, TypeError) as error:
        raise HandlerError(f"Lifespan {name}: its annotations cannot be read: {error}.") from error
    if get_origin(hint) not in (AsyncIterator, AsyncGenerator, AsyncIterable):
        raise HandlerError(
            f"Lifespan {name} does not say what it provides; annotate it -> AsyncIterator[TYPE]."
        )
    return get_args(hint)[0]


class Lifespans:
    """The lifespans of one worker; shape: ``start``, ``stop``.

    Raises:
        HandlerError: two that provide one type, or a parameter that cannot be filled.
    """

    def __init__(self, lifespans: Sequence[Lifespan], *, log: LinkLog) -> None:
        self._planned: list[tuple[Lifespan, Signature]] = []
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self.resources: Final[dict[Any, Any]] = {}
        provided: dict[Any, Lifespan] = {}
        for one in lifespans:
            if one.provides in (Item, Client, State) or one.provides in provided:
                other = getattr(provided.get(one.provides), "name", "the worker")
                raise HandlerError(
                    f"Lifespan {one.name} provides {name_of(one.provides)}, which {other} provides"
                    " already."
                )
            needs = needs_of(
                one.function,
                who=f"Lifespan {one.name}",
                resources=frozenset(provided),
                item=False,
            )
            provided[one.provides] = one
            self._planned.append((one, needs))

    @property
    def types(self) -> frozenset[Any]:
        """What they provide."""
        return frozenset(one.provides for one, _ in self._planned)

    async def start(self, client: Client) -> Mapping[Any, Any]:
        """Start all and return what they provide, by type.

        Raises:
            HandlerError: one failed; the text names it. None is left open.
        """
        if self._planned:
            started = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._live(client, started), name="lifespans")
            try:
                await asyncio.shield(started)
            except asyncio.CancelledError:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
                raise
        return self.resources

    async def stop(self) -> None:
        """End all, the last one first; idempotent."""
        self._closing.set()
        task, self._task = self._task, None
        if task is None:
            return
        _, late = await asyncio.wait([task], timeout=STOP_TIMEOUT)
        if late:
            self._log.warn(f"a lifespan did not end within {STOP_TIMEOUT:g} s and is cancelled")
            task.cancel()
            await asyncio.wait([task], timeout=1.0)

    async def _live(self, client: Client, started: "asyncio.Future[None]") -> None:
        name = ""
        try:
            async with AsyncExitStack() as stack:
                for one, needs in self._planned:
                    name = one.name
                    arguments = needs.arguments(None, cast(Item, None), client, self.resources)
                    manager = asynccontextmanager(one.function)(**arguments)
                    async with asyncio.timeout(START_TIMEOUT):
                        self.resources[one.provides] = await stack.enter_async_context(manager)
                started.set_result(None)
                await self._closing.wait()
        except Exception as error:  # a lifespan is the user's code
            said = f"{type(error).__name__}: {error}".rstrip(": ")
            if started.done():
                self._log.error(f"a lifespan failed at its end: {said}")
                return
            refusal = HandlerError(
                f"Lifespan {name} failed to start, so the worker does not: {said}."
            )
            refusal.__cause__ = error
            started.set_exception(refusal)
