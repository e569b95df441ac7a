"""Runs the callbacks of others: in order, on the loop, and never fatal."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from uuid import uuid4

from worker.openiap.types import ClientEvent, EventName, ToldEvent

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
        if result is not None and inspect.isawaitable(result):
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
        self._listeners: dict[str, ToldEvent] = {}
        self._initial: list[ClientEvent] = []
        self._joining: list[tuple[str, tuple[ClientEvent, ...]]] = []

    @property
    def signed_in(self) -> bool:
        """Whether the last that was told is a sign-in."""
        return bool(self._initial) and self._initial[-1].event == "SignedIn"

    def add(self, callback: ToldEvent, eventid: str = "") -> str:
        """Call ``callback`` on every event from now on; returns an id for ``remove``.

        ``Connected`` and ``SignedIn`` of the present link, where they came before, are told to it
        in the loop's next turn.
        """
        eventid = eventid or uuid4().hex
        self._listeners[eventid] = callback
        if self._initial:
            self._joining.append((eventid, tuple(self._initial)))
            asyncio.get_running_loop().call_soon(self._tell_joining)
        return eventid

    def remove(self, eventid: str) -> None:
        """Forget a callback; an unknown id is no error."""
        self._listeners.pop(eventid, None)

    def tell(self, event: EventName, reason: str = "") -> None:
        """Tell everyone, in the order in which they came."""
        self._tell_joining()  # whoever came late hears of what was before this first
        told = ClientEvent(event, reason)
        if event in ("Connecting", "Disconnected"):
            self._initial.clear()
        else:
            self._initial.append(told)
        for callback in tuple(self._listeners.values()):
            self.callbacks.run(f"the event {event}", callback, told)

    def _tell_joining(self) -> None:
        joining, self._joining = self._joining, []
        for eventid, events in joining:
            for told in events:
                callback = self._listeners.get(eventid)
                if callback is not None:
                    self.callbacks.run(f"the event {told.event}", callback, told)
