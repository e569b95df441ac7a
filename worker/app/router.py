"""Routers: handlers grouped, with what they share, and included from other modules."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Final, TypedDict, TypeVar, Unpack

from worker.app.breaker import Breaker
from worker.app.declared import DeclaredHandler
from worker.app.decorator import handler, texts
from worker.app.events import EventFunction
from worker.app.middleware import Middleware, MiddlewareFunction, all_middleware
from worker.app.options import Handler, KeyFunction, UniqueFunction, handlers_in
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
    breakers: Sequence[Breaker]
    store: bool
    unique: UniqueFunction | None
    unique_while: HeldWhile | None


class Router:
    """A group of handlers. A worker finds it in the modules that it loads::

        billing = Router(prefix="billing-", tags=("billing",), middleware=[audited])

        @billing.handler("invoices")
        async def book(invoice: Invoice) -> Booking: ...

        billing.include(reminders)   # a handler, a router, or a module

    Args:
        prefix: stands before the names of all queues of the group.
        defaults: any argument of ``@handler``, for handlers of this router that do not give it;
            ``tags`` and ``middleware`` are added to, the router's coming first.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        **defaults: Unpack[HandlerArguments],
    ) -> None:
        self.prefix: Final = prefix
        self._middleware = all_middleware("Router: middleware", defaults.pop("middleware", ()))
        self._tags = texts("Router: tags", defaults.pop("tags", ()))
        self._defaults = defaults
        self._members: list[Handler[..., Any] | Router] = []

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

    def include(self, *members: "Handler[..., Any] | Router | ModuleType") -> None:
        """Take in handlers declared elsewhere, with this group's prefix, tags and middleware.

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
            elif isinstance(member, ModuleType):
                self._include_module(member)
            else:
                raise HandlerError(
                    f"include({member!r}): allowed: a handler, a Router, or a module with them."
                )

    def within(self) -> "list[Router]":
        """Return the routers that this one includes, however deep."""
        found: list[Router] = []
        for member in self._members:
            if isinstance(member, Router):
                found += [member, *member.within()]
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
        if not single and not grouped:
            raise HandlerError(f"include({module.__name__}): the module has no handlers.")
        self.include(*single, *routers)

    def _grouped(self, found: Handler[..., Any]) -> Any:
        options = found.options
        changed = replace(
            options,
            queue=self.prefix + options.queue,
            tags=tuple(dict.fromkeys((*self._tags, *options.tags))),
            middleware=tuple(dict.fromkeys((*self._middleware, *options.middleware))),
        )
        if changed == options:
            return found
        return type(found)(found.function, changed)


class _Included(Router):
    """A router seen through the one that includes it."""

    def __init__(self, outer: Router, inner: Router) -> None:
        super().__init__()
        self._outer = outer
        self._inner = inner

    def within(self) -> list[Router]:
        return [self._inner, *self._inner.within()]

    def __iter__(self) -> Iterator[Handler[..., Any]]:
        for found in self._inner:
            yield self._outer._grouped(found)
