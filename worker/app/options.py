"""A declared handler as data: the function, and what the worker is to know of it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, ParamSpec, TypeVar

from worker.app.breaker import Breaker
from worker.app.by_path import shown_name
from worker.app.events import EventFunction
from worker.app.middleware import Middleware
from worker.app.rate import Rate
from worker.app.schedule_options import Schedule
from worker.item.retry import RetryPolicy
from worker.item.unique import HeldWhile

P = ParamSpec("P")
R = TypeVar("R")

KeyFunction = Callable[[Any], str | int]
"""From a validated payload to what must not run at the same time."""

UniqueFunction = Callable[[Any], str | int | None]
"""From a validated payload to the unique key of a push without one; None for none."""

NameFunction = Callable[[Any], str]
"""From a validated payload to what people call the item."""

Execution = Literal["async", "thread", "process"]


@dataclass(frozen=True, slots=True)
class HandlerOptions:
    """What ``@handler`` declares; times in seconds, memory in bytes.

    Attributes:
        queue: the work item queue.
        concurrency: how many items of the queue this process works at once.
        timeout: soft: ``item.stopping`` is set and an async handler is cancelled; None = never.
        hard_timeout: the item is written back whatever the handler does; None = never.
        execution: on the loop, in a thread, or in a process of its own.
        memory, cpu: limits of a process handler: bytes of memory, seconds of CPU per item.
        retry: which exceptions are retried how.
        on_exhausted: told when an item has failed because no attempt was left.
        middleware: entered around each run, after the worker's own.
        evidence: a file with log lines, environment and variables is attached on failure.
        files: patterns of names; an item must bring a file for each.
        codes: codes of errors, for the contract, besides those found in the function.
        key: from the validated payload to the item's key; None where any may run beside any.
        per_key: how many items of a key run at once in the whole fleet; None for any number.
        rate, rate_per_key: how many items begin in each window in the whole fleet, of all keys
            together and of each.
        keep, keep_failed: seconds for which successful and failed items are kept; None = for ever.
        schedules: what is pushed for it by the clock.
        item_name: from the validated payload to the name of an item that is pushed without one.
        breakers: of the systems that it needs.
        store: whether the result is kept on the item.
        unique: from the validated payload to the unique key of a push that is given none.
        unique_while: until when such a key is held.
        given: the arguments of ``@handler`` as they were given; what is not among them may come
            from a router that includes the handler.
    """

    queue: str
    concurrency: int
    timeout: float | None
    hard_timeout: float | None
    execution: Execution
    memory: int | None
    cpu: float | None
    retry: RetryPolicy
    tags: tuple[str, ...]
    on_exhausted: EventFunction | None = None
    middleware: tuple[Middleware, ...] = ()
    evidence: bool = False
    files: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    key: KeyFunction | None = None
    per_key: int | None = 1
    rate: Rate | None = None
    rate_per_key: Rate | None = None
    keep: float | None = None
    keep_failed: float | None = None
    schedules: tuple[Schedule, ...] = ()
    item_name: NameFunction | None = None
    breakers: tuple[Breaker, ...] = ()
    store: bool = True
    unique: UniqueFunction | None = None
    unique_while: HeldWhile | None = None
    given: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


class Handler(Generic[P, R]):
    """A declared handler. Calling it just runs the function, as in a test."""

    def __init__(self, function: Callable[P, R], options: HandlerOptions) -> None:
        functools.update_wrapper(self, function)
        self.function: Final = function
        self.options = options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function itself."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Handler({self.name}, queue={self.options.queue!r})"

    @property
    def name(self) -> str:
        """``module.function``, as errors and log lines name it."""
        return f"{shown_name(self.function.__module__)}.{self.function.__qualname__}"


def handlers_in(namespace: Mapping[str, Any]) -> list[Handler[..., Any]]:
    """Return the handlers that a module's namespace holds, each once, in order of definition."""
    found: list[Handler[..., Any]] = []
    for value in namespace.values():
        if isinstance(value, Handler) and value not in found:
            found.append(value)
    return found
