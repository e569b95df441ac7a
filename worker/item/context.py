"""What a piece of code can know of the item that it works for, wherever it is called from.

Set around the handler, carried into its thread, into tasks and ``asyncio.to_thread``, and inherited
by what is pushed meanwhile: a push without a priority, a namespace or headers of its own takes
these, and is of the same trace.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

from worker.durations import in_short
from worker.item.headers import NONE
from worker.item.new_item import DEFAULT_PRIORITY, Sender
from worker.item.trace import Trace, trace_of

MOST_PRIORITY: Final = 2**31 - 1


class CurrentItem(Protocol):
    """What code that is not given the ``Item`` may know of it; see ``worker.item.item``."""

    id: str
    queue: str
    attempt: int
    priority: int
    handler: str

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""

    @property
    def trace(self) -> Trace | None:
        """Where in a trace it is worked."""

    @property
    def sender(self) -> Sender | None:
        """Who carries pushes that do not wait for the item's end."""


current_item: Final[ContextVar[CurrentItem | None]] = ContextVar("current_item", default=None)
"""The item being worked; set around the handler, carried into threads."""

current_namespace: Final[ContextVar[str]] = ContextVar("current_namespace", default="")


current_priority: Final[ContextVar[int | None]] = ContextVar("current_priority", default=None)

current_worker: Final[ContextVar[str]] = ContextVar("current_worker", default="")


def worker_id() -> str:
    """Return the id of the worker that this item is worked by; "" outside of an item."""
    return current_worker.get()


def item_id() -> str:
    """Return the id of the item being worked, or ""."""
    item = current_item.get()
    return "" if item is None else item.id


def attempt() -> int:
    """Return its attempt, 1 for the first; 0 outside of an item."""
    item = current_item.get()
    return 0 if item is None else item.attempt


def priority() -> int:
    """Return the priority of what is pushed without one: that of ``at_priority``, else of the item
    being worked; OpenIAP's default outside of both. The lower the more urgent."""
    chosen = current_priority.get()
    if chosen is not None:
        return chosen
    item = current_item.get()
    return DEFAULT_PRIORITY if item is None else item.priority


def namespace() -> str:
    """Return whose work this is: a free text (a tenant, say) that pushes pass on; "" for none."""
    return current_namespace.get()


def headers() -> Mapping[str, str]:
    """Return the headers of the item being worked; none outside of an item."""
    item = current_item.get()
    return NONE if item is None else item.headers


def trace() -> Trace | None:
    """Return where in a trace this code runs: in the span of OpenTelemetry's that is current, else
    where the item being worked is; None for nowhere."""
    api = sys.modules.get("opentelemetry.trace")
    if api is not None:
        found = span_trace(api)
        if found is not None:
            return found
    item = current_item.get()
    return None if item is None else item.trace


def traceparent() -> str:
    """Return that as W3C's header ``traceparent``, for calls of other services; "" for none."""
    found = trace()
    return "" if found is None else found.traceparent


def span_trace(api: Any) -> Trace | None:
    """Return the place of the current span of OpenTelemetry's.

    Args:
        api: the module ``opentelemetry.trace``, which this process uses already.
    """
    try:
        return trace_of_span(api.get_current_span().get_span_context())
    except AttributeError:  # being imported in this moment, by another thread
        return None


def trace_of_span(context: Any) -> Trace | None:
    """Return the place that a span context of OpenTelemetry's names."""
    if not context.is_valid:
        return None
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    return trace_of(parent, context.trace_state.to_header() if context.trace_state else "")


def checked_namespace(name: str) -> str:
    """Return whose work it is, as it was given.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"namespace = {name!r}; allowed: a text, for example 'acme'")
    return name


def checked_priority(priority: int) -> int:
    """Return a priority as it was given.

    Raises:
        TypeError: it is no whole number.
        ValueError: OpenIAP cannot carry it.
    """
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise TypeError(f"priority = {priority!r}; allowed: a whole number, for example 1")
    if abs(priority) > MOST_PRIORITY:
        raise ValueError(
            f"priority = {in_short(priority)}; allowed: {-MOST_PRIORITY} to {MOST_PRIORITY}"
        )
    return priority


@contextmanager
def in_namespace(name: str) -> Iterator[None]:
    """Push for somebody: what is pushed inside, and all that follows from it, has the namespace.

    Raises:
        TypeError: the name is no text.
    """
    token = current_namespace.set(checked_namespace(name))
    try:
        yield
    finally:
        current_namespace.reset(token)


@contextmanager
def at_priority(priority: int) -> Iterator[None]:
    """Push what is pushed inside without a priority of its own with this one.

    Args:
        priority: the lower the more urgent; OpenIAP's default is 2.

    Raises:
        TypeError: it is no whole number.
    """
    token = current_priority.set(checked_priority(priority))
    try:
        yield
    finally:
        current_priority.reset(token)
