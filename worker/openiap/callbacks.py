"""Runs the callbacks of others: in order, on the loop, and never fatal."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from uuid import uuid4

from worker.openiap.types import ClientEvent, EventCallback, EventName

E = TypeVar("E")


class Callbacks:
    """Starts callbacks and keeps the tasks of the asynchronous ones until they end.

    Args:
        report: told in one line of what a callback raised.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, what: str, callback: Callable[[E], Any], event: E) -> None:
        """Call ``callback`` with ``event``; what it raises is reported.

        Args:
            what: names the callback in a report.
        """
        try:
            result = callback(event)
        except Exception as error:  # a callback of others
            self._failed(what, error)
            return
        if inspect.isawaitable(result):
            task = asyncio.create_task(self._finish(what, result), name=f"openiap {what}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _finish(self, what: str, result: Awaitable[Any]) -> None:
        try:
            await result
        except Exception as error:  # a callback of others
            self._failed(what, error)

    def _failed(self, what: str, error: Exception) -> None:
        self._report(f"{what}: the callback raised {type(error).__name__}: {error}")

    async def stop(self, grace: float) -> None:
        """Give what runs ``grace`` seconds, then cancel it; safe from within a callback."""
        tasks = self._tasks - {asyncio.current_task()}
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=grace)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class ConnectionEvents:
    """Who wants to be told what happens to the connection."""

    def __init__(self, callbacks: Callbacks) -> None:
        self.callbacks: Final = callbacks
        self._listeners: dict[str, EventCallback] = {}

    def add(self, callback: EventCallback) -> str:
        """Call ``callback`` on every event from now on; returns an id for ``remove``."""
        eventid = uuid4().hex
        self._listeners[eventid] = callback
        return eventid

    def remove(self, eventid: str) -> None:
        """Forget a callback; an unknown id is no error."""
        self._listeners.pop(eventid, None)

    def tell(self, event: EventName, reason: str = "") -> None:
        """Tell everyone, in the order in which they came."""
        told = ClientEvent(event, reason)
        for callback in tuple(self._listeners.values()):
            self.callbacks.run(f"the event {event}", callback, told)
