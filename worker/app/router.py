"""Routers: handlers and listeners grouped, with what they share, also from other modules."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Final, TypedDict, TypeVar, Unpack

from worker.app.breaker import Breaker
from worker.app.declared import DeclaredHandler
from worker.app.decorator import handler, texts
from worker.app.events import EventFunction
from worker.app.listener import Algorithm, Listener, on_change, on_message
from worker.app.middleware import Middleware, MiddlewareFunction, all_middleware
from worker.app.options import (
    Handler,
    HandlerOptions,
    KeyFunction,
    NameFunction,
    UniqueFunction,
    handlers_in,
)
from worker.durations import Duration
from worker.errors import HandlerError
from worker.item.retry import Retrying, RetryPolicy, RetryRules
from worker.item.unique import HeldWhile

F = TypeVar("F", bound=Callable[..., Any])


class HandlerArguments(TypedDict, total=False):
    """What ``@handler`` takes besides the queue; see there."""

    concurrency: int | None
    timeout: Duration | None
    hard_timeout: Duration | None
    retry: Retrying | RetryRules | RetryPolicy | None
    process: bool
    memory: int | str | None
    cpu: Duration | None
    tags: tuple[str, ...]
    on_exhausted: EventFunction | None
    middleware: Sequence[Middleware | MiddlewareFunction]
    evidence: bool
    files: Sequence[str]
    codes: Sequence[str]
    key: KeyFunction | None
    per_key: int | None
    rate: str | None
    rate_per_key: str | None
    keep: Duration | None
    keep_failed: Duration | None
    name: NameFunction | None
    breakers: Sequence[Breaker]
    store: bool
    unique: UniqueFunction | None
    unique_while: HeldWhile | None


class MessageArguments(TypedDict, total=False):
    """What ``@on_message`` takes besides the queue; see there."""

    exchange: str
    algorithm: Algorithm
    routingkey: str
    topics: Sequence[str]
    concurrency: int


class Router:
    """A group of handlers and listeners. A worker finds it in the modules that it loads::

        billing = Router(prefix="billing-", tags=("billing",), middleware=[audited])

        @billing.handler("invoices")
        async def book(invoice: Invoice) -> Booking: ...

        billing.include(reminders)   # a handler, a listener, a router, or a module

    Args:
        prefix: stands before the names of all queues of the group, message queues too; topics,
            exchanges and collections keep their names.
        defaults: any argument of ``@handler``, for handlers of this router, and such that it
            includes, which do not give it; ``tags`` and ``middleware`` are added to, the router's
            coming first.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        **defaults: Unpack[HandlerArguments],
    ) -> None:
        if not isinstance(prefix, str):
            raise HandlerError(f"Router: prefix = {prefix!r}; allowed: a text.")
        self.prefix: Final = prefix
        self._middleware = all_middleware("Router: middleware", defaults.pop("middleware", ()))
        self._tags = texts("Router: tags", defaults.pop("tags", ()))
        self._defaults = defaults
        self._members: list[Handler[..., Any] | Router] = []
        self._listeners: list[Listener] = []

    def __repr__(self) -> str:
        return f"Router(prefix={self.prefix!r}, {len(list(self))} handlers)"

    def handler(
        self, queue: str, **options: Unpack[HandlerArguments]
    ) -> Callable[[F], DeclaredHandler[F]]:
        """Declare a handler of this group; arguments as for ``worker.app.decorator``.

        Raises:
            HandlerError: an option that cannot be.
        """
        together: Any = {**self._defaults, **options}
        declare = handler(queue, **together)

        def declared(function: F) -> DeclaredHandler[F]:
            found: DeclaredHandler[F] = self._grouped(declare(function))
            self._members.append(found)
            return found

        return declared

    def on_message(
        self, queue: str = "", **options: Unpack[MessageArguments]
    ) -> Callable[[Callable[..., Any]], Listener]:
        """Declare a listener of this group; arguments as for ``worker.on_message``.

        Raises:
            HandlerError: an option that cannot be.
        """
        return self._listening(on_message(queue, **options))

    def on_change(
        self, collection: str, *, paths: Sequence[str] = (), concurrency: int = 1
    ) -> Callable[[Callable[..., Any]], Listener]:
        """Declare a listener of this group; arguments as for ``worker.on_change``.

        Raises:
            HandlerError: an option that cannot be.
        """
        return self._listening(on_change(collection, paths=paths, concurrency=concurrency))

    def _listening(
        self, declare: Callable[[Callable[..., Any]], Listener]
    ) -> Callable[[Callable[..., Any]], Listener]:
        def declared(function: Callable[..., Any]) -> Listener:
            found = self._heard(declare(function))
            self._listeners.append(found)
            return found

        return declared

    def include(self, *members: "Handler[..., Any] | Listener | Router | ModuleType") -> None:
        """Take in what is declared elsewhere: listeners with this group's prefix, handlers with its
        tags, its middleware and its other defaults as well.

        Raises:
            HandlerError: something else, or a module without handlers.
        """
        for member in members:
            if isinstance(member, Router):
                if member is self or self in member.within():
                    raise HandlerError(f"{self!r} cannot include itself.")
                self._members.append(_Included(self, member))
            elif isinstance(member, Handler):
                self._members.append(self._grouped(member))
            elif isinstance(member, Listener):
                self._listeners.append(self._heard(member))
            elif isinstance(member, ModuleType):
                self._include_module(member)
            else:
                raise HandlerError(
                    f"include({member!r}): allowed: a handler, a listener, a Router, or a"
                    " module with them."
                )

    def within(self) -> "list[Router]":
        """Return the routers that this one includes, however deep."""
        found: list[Router] = []
        for member in self._members:
            if isinstance(member, Router):
                found += [member, *member.within()]
        return found

    @property
    def listeners(self) -> list[Listener]:
        """The listeners of the group, those of included routers among them, each once."""
        found = list(self._listeners)
        for member in self._members:
            if isinstance(member, Router):
                found += [one for one in member.listeners if one not in found]
        return found

    def __iter__(self) -> Iterator[Handler[..., Any]]:
        """Go through the handlers of the group, those of included routers among them."""
        for member in self._members:
            if isinstance(member, Router):
                yield from member
            else:
                yield member

    def _include_module(self, module: ModuleType) -> None:
        routers = [value for value in vars(module).values() if isinstance(value, Router)]
        grouped = [one for router in routers for one in router]
        single = [one for one in handlers_in(vars(module)) if one not in grouped]
        heard = [one for router in routers for one in router.listeners]
        alone = [one for one in vars(module).values() if isinstance(one, Listener)]
        alone = [one for one in dict.fromkeys(alone) if one not in heard]
        if not (single or grouped or alone or heard):
            raise HandlerError(f"include({module.__name__}): the module has no handlers.")
        self.include(*single, *alone, *routers)

    def _heard(self, found: Listener) -> Listener:
        return replace(found, queue=self.prefix + found.queue) if found.queue else found

    def _grouped(self, found: Handler[..., Any]) -> Any:
        options = self._with_defaults(found)
        changed = replace(
            options,
            queue=self.prefix + options.queue,
            tags=tuple(dict.fromkeys((*self._tags, *options.tags))),
            middleware=tuple(dict.fromkeys((*self._middleware, *options.middleware))),
        )
        if changed == found.options:
            return found
        return type(found)(found.function, changed)

    def _with_defaults(self, found: Handler[..., Any]) -> HandlerOptions:
        """Return a handler's options with this group's where it was given none."""
        given = found.options.given
        more = {name: value for name, value in self._defaults.items() if name not in given}
        if not more:
            return found.options
        together: Any = {**given, **more}
        declared = handler(found.options.queue, **together)(found.function).options
        return replace(
            declared,
            schedules=found.options.schedules,
            tags=found.options.tags,
            middleware=found.options.middleware,
        )


class _Included(Router):
    """A router seen through the one that includes it."""

    def __init__(self, outer: Router, inner: Router) -> None:
        super().__init__()
        self._outer = outer
        self._inner = inner

    def within(self) -> list[Router]:
        return [self._inner, *self._inner.within()]

    @property
    def listeners(self) -> list[Listener]:
        return [self._outer._heard(found) for found in self._inner.listeners]

    def __iter__(self) -> Iterator[Handler[..., Any]]:
        for found in self._inner:
            yield self._outer._grouped(found)
