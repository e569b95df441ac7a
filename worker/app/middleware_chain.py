"""The middleware chain: entered around each run of a handler, with the item's own resources.

It is made once at start. A handler with neither has no chain at all and runs as if this file
did not exist.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from worker.app.middleware import Middleware
from worker.app.options import Handler
from worker.app.signature import Signature, needs_of, resource_of
from worker.durations import text as duration_text
from worker.errors import (
    ApplicationError,
    BusinessError,
    Retry,
    Skip,
    TimeLimitExceeded,
)
from worker.item.item import Item
from worker.openiap.client import Client

LEAVING_TIMEOUT: Final = 60.0
DELIBERATE: Final = (BusinessError, ApplicationError, Retry, Skip)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to enter: a middleware, or a resource and the parameter that it fills.

    Attributes:
        who: its name in errors.
        make: returns a context manager, an awaitable, or the value itself.
        fills: the parameter's type, for a resource.
        factory: a resource's own factory; a test may have put something else in its place.
    """

    who: str
    make: Callable[..., Any]
    needs: Signature
    fills: Any = None
    factory: Any = None


class MiddlewareChain:
    """What is entered around each run of one handler.

    Args:
        entered: in the order of entering.
        limit: seconds that one may take to begin; the handler's ``hard_timeout``.
    """

    def __init__(self, entered: Sequence[Step], *, limit: float | None) -> None:
        self._entered = tuple(entered)
        self._limit = limit

    async def enter(
        self, stack: AsyncExitStack, item: Item, client: Client, provided: Mapping[Any, Any]
    ) -> dict[Any, Any]:
        """Enter everything; the stack leaves it in the reverse order.

        Args:
            provided: what lifespans provide, by type; a value under a factory replaces what that
                factory would make.

        Returns:
            All resources for the handler.
        """
        resources = dict(provided)
        for one in self._entered:
            if one.factory is not None and one.factory in provided:
                resources[one.fills] = provided[one.factory]
                continue
            value = await self._begun(
                one, one.needs.arguments(None, item, client, resources), stack
            )
            if one.factory is not None:
                resources[one.fills] = value
        return resources

    async def _begun(self, one: Step, arguments: dict[str, Any], stack: AsyncExitStack) -> Any:
        limit = asyncio.timeout(self._limit)
        try:
            async with limit:
                return await _entered(one.make(**arguments), one.who, stack)
        except TimeoutError as error:
            if not limit.expired():
                raise blamed(error, one.who) from None
            raise TimeLimitExceeded(
                f"{one.who} did not begin within {duration_text(self._limit or 0)}"
            ) from None
        except Exception as error:  # it is the user's code; whatever it raises is the item's error
            raise blamed(error, one.who) from None


async def _entered(made: Any, who: str, stack: AsyncExitStack) -> Any:
    """Return the value of what a function made, and see to it that it ends with the item."""
    if hasattr(made, "__aenter__"):
        return await stack.enter_async_context(_Leaving(made, who))
    if hasattr(made, "__enter__") and hasattr(made, "__exit__"):
        return stack.enter_context(made)
    return await made if inspect.isawaitable(made) else made


class _Leaving(AbstractAsyncContextManager[Any]):
    """A context manager whose own failure at the end is told from the handler's exception."""

    def __init__(self, manager: AbstractAsyncContextManager[Any], who: str) -> None:
        self._manager = manager
        self._who = who

    async def __aenter__(self) -> Any:
        return await self._manager.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> bool | None:
        limit = asyncio.timeout(LEAVING_TIMEOUT)
        try:
            async with limit:
                return await self._manager.__aexit__(kind, error, frames)
        except Exception as raised:
            if limit.expired():
                raise TimeLimitExceeded(
                    f"{self._who} did not end within {duration_text(LEAVING_TIMEOUT)}"
                ) from None
            if raised is error:
                raise
            raise blamed(raised, self._who) from None


def blamed(error: Exception, who: str) -> Exception:
    """Return an error that says where it comes from; one that was meant is left as it is."""
    if not isinstance(error, DELIBERATE):
        with suppress(AttributeError):
            error.raised_in = who  # type: ignore[attr-defined]
    return error


def chain_of(
    handler: Handler[..., Any],
    signature: Signature,
    *,
    worker: Sequence[Middleware] = (),
    lifespans: frozenset[Any] = frozenset(),
) -> MiddlewareChain | None:
    """Return what is to be entered around a handler, or None for nothing.

    Args:
        worker: the middleware of the whole worker, in order; the handler's own follow.
        lifespans: the types that lifespans provide.

    Raises:
        HandlerError: a parameter of a middleware or a factory that nothing fits.
    """
    entered: list[Step] = []
    for one in dict.fromkeys((*worker, *handler.options.middleware)):
        who = f"middleware {one.name}"
        needs = needs_of(one.function, who=_capital(who), resources=lifespans)
        entered.append(Step(who, one.manager, needs))
    for parameter in signature.parameters:
        resource = resource_of(parameter.kind)
        if resource is None:
            continue
        who = f"resource {resource.name}"
        needs = needs_of(
            resource.factory,
            who=f"{_capital(who)} of handler {handler.name}",
            resources=lifespans,
        )
        make = _managed(resource.factory)
        entered.append(Step(who, make, needs, parameter.kind, resource.factory))
    if not entered:
        return None
    return MiddlewareChain(entered, limit=handler.options.hard_timeout)


def _managed(factory: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(factory):
        return asynccontextmanager(factory)
    return contextmanager(factory) if inspect.isgeneratorfunction(factory) else factory


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
