"""Runs the callbacks of others: in order, on the loop, and never fatal."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

E = TypeVar("E")


class Callbacks:
    """Starts callbacks and keeps the tasks of the asynchronous ones until they end."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()

    def run(
        self,
        what: str,
        callback: Callable[[E], Any],
        event: E,
        then: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        """Call ``callback`` with ``event``; what it raises is reported.

        Args:
            what: names the callback in a report.
            then: awaited with a result other than None.
        """
        try:
            result = callback(event)
        except Exception as error:  # a callback of others
            self._failed(what, error)
            return
        if inspect.isawaitable(result) or (then is not None and result is not None):
            task = asyncio.create_task(self._finish(what, result, then), name=f"openiap {what}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _finish(
        self, what: str, result: Any, then: Callable[[Any], Awaitable[None]] | None
    ) -> None:
        try:
            if inspect.isawaitable(result):
                result = await result
            if then is not None and result is not None:
                await then(result)
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
