"""Shutdown in stages: stop popping, let items finish, cancel, hand back what is left.

Nothing is lost at any stage: what cannot be delivered stays in the outbox, what has no outcome is
handed back or found by the next life. A second signal skips the drain.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from worker.durations import text
from worker.engine.consumer import Consumer
from worker.engine.in_flight import Running
from worker.telemetry.log import Log
from worker.uptime import uptime

HAND_BACK_TIMEOUT: Final = 1.0
"""Seconds for the last messages; with it the exit is within drain + cancel + 2 s."""


class Shutdown:
    """Ends the items in flight.

    Args:
        consumers: by queue; filled while the worker starts.
        drain_timeout, cancel_timeout: seconds for the stages.
        on_left: told before the first of the items is given up that stay in processing.
    """

    def __init__(
        self,
        consumers: Mapping[str, Consumer],
        *,
        drain_timeout: float,
        cancel_timeout: float,
        log: Log,
        on_left: Callable[[], None] = lambda: None,
    ) -> None:
        self._consumers = consumers.values()
        self._drain_timeout = drain_timeout
        self._cancel_timeout = cancel_timeout
        self._log = log
        self._on_left = on_left
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Skip the drain."""
        self._hurry.set()

    async def run(self) -> int:
        """Go through the stages; returns how many items could be neither finished nor returned."""
        for consumer in self._consumers:
            consumer.quiet()
        deadline = time.monotonic() + self._drain_timeout
        if self._running():
            self._log.info(
                f"stopping: {len(self._running())} items in flight, up to"
                f" {text(self._drain_timeout)} for them to finish"
            )
        self._return_the_hopeless()
        await self._until(deadline, self._hurry)
        await self._cancel()
        left = self._running()
        if left:
            self._on_left()
        for running in left:
            if running.task is not None:
                running.task.cancel()
        await asyncio.gather(*(r.task for r in left if r.task), return_exceptions=True)
        if left:
            self._log.warn(
                f"{len(left)} items could not be written back in time; their outcomes are kept and"
                " sent at the next start, the rest is taken over by another worker"
            )
        return len(left)

    def _running(self) -> list[Running]:
        return [running for consumer in self._consumers for running in consumer.running]

    def _return_the_hopeless(self) -> None:
        """Interrupt at once what will not finish within the drain, by what its handler usually
        takes; the rest of the time then belongs to those that can make it."""
        for consumer in self._consumers:
            for running in consumer.running:
                ran = uptime() - running.popped
                left = consumer.runner.durations.remaining(ran)
                if left is not None and left > self._drain_timeout:
                    running.interrupt()

    async def _until(self, deadline: float, cut: asyncio.Event | None = None) -> None:
        """Wait until nothing is in flight, the deadline, or the cut."""
        pops = [
            asyncio.create_task(c.quieted(max(0.0, deadline - time.monotonic())))
            for c in self._consumers
        ]
        cutting = asyncio.create_task(cut.wait()) if cut else None
        try:
            while True:
                tasks: set[asyncio.Task[Any]] = {r.task for r in self._running() if r.task}
                tasks = {task for task in (*tasks, *pops) if not task.done()}
                left = deadline - time.monotonic()
                if not tasks or left <= 0 or (cut is not None and cut.is_set()):
                    return
                await asyncio.wait(
                    tasks | ({cutting} if cutting else set()),
                    timeout=left,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            for task in (*pops, *((cutting,) if cutting else ())):
                task.cancel()
            await asyncio.gather(*pops, return_exceptions=True)

    async def _cancel(self) -> None:
        """Interrupt handlers; those that do not end are given up, their items handed back."""
        for running in self._running():
            running.interrupt()
        await self._until(time.monotonic() + self._cancel_timeout)
        for running in self._running():
            running.interrupt()
        await self._until(time.monotonic() + HAND_BACK_TIMEOUT)
