"""Events: functions that are told what happens to items and to the worker.

1. ``start`` and ``shutdown``, ``connected`` and ``disconnected``: the worker.
2. ``success``, ``retry``, ``failed``: an item, once the server has its outcome. ``exhausted`` comes
   after ``failed`` where an item failed because no attempt was left.
3. They are told by the process that delivered the outcome; one that an earlier life left behind is
   delivered without events.
4. ``error``: what the worker can tell nobody else, as it stands on no item: outcomes that the
   server would not take, messages that failed, and whatever else it logs as an error of its own.
5. What a function raises is logged and changes nothing; one that takes long is cut off.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, get_args

from worker.errors import HandlerError, name_of
from worker.item.item import Item
from worker.openiap.client import Client
from worker.openiap.connection import LinkLog

EventName = Literal[
    "start",
    "success",
    "retry",
    "failed",
    "exhausted",
    "connected",
    "disconnected",
    "error",
    "shutdown",
]
ITEM_EVENTS: Final = frozenset({"success", "retry", "failed", "exhausted", "error"})
TIME_LIMIT: Final = 30.0
MOST_ERRORS: Final = 100
"""Errors that wait for a function; more of them are in the log alone."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened.

    Attributes:
        name: which event.
        worker: the worker's id.
        item: the item, for its events; not set where the payload did not validate.
        item_id, queue: of the item.
        kind: the outcome's: ``successful``, ``business``, ``application`` or ``failed``.
        message: the error that the item shows, why the link dropped, or what went wrong.
        payload: what was stored, for ``success``.
        next_attempt: when the item is due again, for ``retry``; None where the queue decides.
        seconds: from the pop to the accepted outcome.
        client: of the worker, for ``connected``: what is registered with it stays registered.
    """

    name: EventName
    worker: str = ""
    item: Item | None = None
    item_id: str = ""
    queue: str = ""
    kind: str = ""
    message: str = ""
    payload: dict[str, Any] | None = None
    next_attempt: datetime | None = None
    seconds: float = 0.0
    client: Client | None = None


EventFunction = Callable[[Event], Awaitable[None] | None]


class Hook:
    """A function and the events that it is told of; calling it just runs the function."""

    def __init__(self, event: EventName, function: "EventFunction | Hook") -> None:
        self.events: tuple[str, ...] = (event,)
        self.function: EventFunction
        if isinstance(function, Hook):
            self.events += function.events
            self.function = function.function
        else:
            self.function = checked(function, f"on_{event}")

    def __call__(self, event: Event) -> Awaitable[None] | None:
        """Run the function."""
        return self.function(event)

    def __repr__(self) -> str:
        return f"Hook({', '.join(f'on_{name}' for name in self.events)}, {name_of(self.function)})"


def checked(function: EventFunction, what: str) -> EventFunction:
    """Return the function.

    Raises:
        HandlerError: it cannot be called with one event.
    """
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError) as error:
        raise HandlerError(
            f"{what}: {name_of(function)} must be a function that takes one Event."
        ) from error
    return function


def on_start(function: EventFunction | Hook) -> Hook:
    """The worker has begun to pop."""
    return Hook("start", function)


def on_success(function: EventFunction | Hook) -> Hook:
    """An item ended as successful."""
    return Hook("success", function)


def on_retry(function: EventFunction | Hook) -> Hook:
    """An item was put back to be tried again."""
    return Hook("retry", function)


def on_failed(function: EventFunction | Hook) -> Hook:
    """An item ended as failed, for whatever reason."""
    return Hook("failed", function)


def on_exhausted(function: EventFunction | Hook) -> Hook:
    """An item ended as failed because no attempt was left; told after ``on_failed``."""
    return Hook("exhausted", function)


def on_connected(function: EventFunction | Hook) -> Hook:
    """A connection has signed in; at the start and after each reconnect."""
    return Hook("connected", function)


def on_disconnected(function: EventFunction | Hook) -> Hook:
    """A connection was lost; ``event.message`` says why."""
    return Hook("disconnected", function)


def on_error(function: EventFunction | Hook) -> Hook:
    """Something went wrong that stands on no item; ``event.message`` says what, ``event.item_id``
    and ``event.queue`` of which item, where it is about one."""
    return Hook("error", function)


def on_shutdown(function: EventFunction | Hook) -> Hook:
    """The worker stops; items in flight have ended, OpenIAP can still be reached."""
    return Hook("shutdown", function)


class Events:
    """Tells one worker's hooks; shape: ``stop``."""

    def __init__(self, hooks: Iterable[Hook], *, log: LinkLog) -> None:
        hooks = tuple(hooks)
        self.worker = ""
        self._log = log
        self._functions: dict[str, tuple[EventFunction, ...]] = {
            name: tuple(hook.function for hook in hooks if name in hook.events)
            for name in get_args(EventName)
        }
        self._notices: set[asyncio.Task[None]] = set()
        self._errors = 0

    @property
    def for_errors(self) -> bool:
        """Whether anybody wants to know of errors."""
        return bool(self._functions["error"])

    def for_items(self) -> bool:
        """Whether anybody wants to know of items."""
        return any(self._functions[name] for name in ITEM_EVENTS)

    async def notify(self, event: Event, more: Iterable[EventFunction] = ()) -> None:
        """Tell all who want to know, one after another.

        Args:
            more: functions besides the hooks: a handler's own.
        """
        for function in (*self._functions[event.name], *more):
            limit = asyncio.timeout(TIME_LIMIT)
            try:
                async with limit:
                    answer = function(event)
                    if inspect.isawaitable(answer):
                        await answer
            except Exception as error:  # a hook is the user's code
                said = f"took longer than {TIME_LIMIT:g} s" if limit.expired() else repr(error)
                # Its own failure is no news for who is told of failures.
                tell = self._log.warn if event.name == "error" else self._log.error
                tell(f"on_{event.name}: {name_of(function)}: {said}")

    def notify_soon(self, event: Event) -> None:
        """Tell them beside what goes on now."""
        if self._functions[event.name]:
            task = asyncio.get_running_loop().create_task(self.notify(event))
            self._notices.add(task)
            task.add_done_callback(partial(self._told, event))

    def tell_error(self, message: str, item_id: str = "", queue: str = "") -> None:
        """Tell of an error, beside what goes on now."""
        if self._errors < MOST_ERRORS:
            self._errors += 1
            self.notify_soon(Event("error", self.worker, None, item_id, queue, message=message))

    def _told(self, event: Event, task: asyncio.Task[None]) -> None:
        self._notices.discard(task)
        if event.name == "error":
            self._errors -= 1

    async def stop(self) -> None:
        """Wait for what is being told."""
        if self._notices:
            await asyncio.wait(tuple(self._notices), timeout=TIME_LIMIT)
