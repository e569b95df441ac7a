"""A service: what a worker does over and over beside its items, one named loop each.

1. ``start`` begins the loop, ``stop`` cancels it and waits for its end; both may be repeated.
2. A round, a pause, the next round. ``trigger`` cuts the pause short.
3. An error of a round is told and never ends the loop.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

STOP_WITHIN: Final = 5.0
"""Seconds that ``stop`` waits for what it cancelled; a round that will not end is left behind."""
SPREAD: Final = 0.2
"""The part of a pause by which it is longer or shorter, where a fleet is not to act in step."""


class Service(ABC):
    """One named loop.

    Args:
        name: the task's.
        pause: seconds between two rounds, unless a round says otherwise.
        on_error: told what a round raised.
        first: seconds before the first round.
        chance: spreads the pauses; None keeps them as they are.
    """

    def __init__(
        self,
        name: str,
        *,
        pause: float,
        on_error: Callable[[Exception], None],
        first: float = 0.0,
        chance: random.Random | None = None,
    ) -> None:
        self.name: Final = name
        self._pause = pause
        self._first = first
        self._on_error = on_error
        self._jitter = chance
        self._triggered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._task is not None

    async def start(self) -> None:
        """Begin; nothing where it runs already."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """End the loop, in the middle of a round if need be; returns within ``STOP_WITHIN``."""
        task, self._task = self._task, None
        if task is not None and not await cancelled(task):
            self._on_error(TimeoutError(f"{self.name} did not end within {STOP_WITHIN:g} s"))

    def trigger(self) -> None:
        """Begin the next round now, or right after the one that runs."""
        self._triggered.set()

    @abstractmethod
    async def round(self) -> float | None:
        """Do what is to be done once.

        Returns:
            Seconds until the next round; None is the service's own pause.
        """

    async def _run(self) -> None:
        await self._wait(self._first)
        while True:
            self._triggered.clear()
            pause = None
            try:
                pause = await self.round()
            except Exception as error:  # whatever it is, what a worker promises must not end here
                self._on_error(error)
            await self._wait(self._pause if pause is None else pause)

    async def _wait(self, seconds: float) -> None:
        if self._jitter is not None:
            seconds = spread(seconds, self._jitter)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._triggered.wait()


def spread(seconds: float, chance: random.Random) -> float:
    """Return a pause that is a random share longer or shorter."""
    return seconds * chance.uniform(1 - SPREAD, 1 + SPREAD)


async def cancelled(*tasks: asyncio.Task[Any]) -> bool:
    """Cancel tasks and wait until they have ended, however; False if some take too long."""
    for task in tasks:
        task.cancel()
    late: set[asyncio.Task[Any]] = set()
    if tasks:
        ended, late = await asyncio.wait(tasks, timeout=STOP_WITHIN)
        for task in ended:
            if not task.cancelled():
                task.exception()  # seen: who cancels a task does not want its errors
    return not late
