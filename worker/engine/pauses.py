"""Pauses: queues that this worker does not pop for now, since somebody said so.

1. They stand in the queues' own documents (``pause.py``), which are read after each sign-in and
   told of by the watch on queues: a pause is known at once, and before the first pop of a start.
2. Where no watch tells of queues, their documents are read once a heartbeat.
3. One that ends by itself ends by the server's clock, without a message.
4. Said once when it begins and once when it ends. What was popped goes on.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

from worker.engine.pause import Pause
from worker.engine.queues import Queues
from worker.service import Service
from worker.telemetry.log import Log

IDLE: Final = 3600.0
LEAST: Final = 1.0
"""Seconds between two looks, whatever happens."""


class Pauses(Service):
    """Of one worker.

    Args:
        queues: the queues as the server has them.
        look: reads them once more.
        interval: seconds between two looks, where nobody tells of changes.
        now: the server's time as far as it is known.
        on_over: told of each queue that may be popped again.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        queues: Queues,
        look: Callable[[], Awaitable[None]],
        *,
        interval: float,
        now: Callable[[], datetime],
        on_over: Callable[[str], None],
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            "pauses",
            pause=interval,
            on_error=lambda error: log.failed("cannot look whether queues are paused", error),
            first=interval,
        )
        self._queues = queues
        self._look = look
        self._interval = interval
        self._now = now
        self._on_over = on_over
        self._log = log
        self._clock = clock
        self._looked = clock()
        self._held: dict[str, Pause] = {}

    def closed(self, queue: str) -> bool:
        """Whether the queue is not to be popped."""
        pause = self._held.get(queue)
        return pause is not None and pause.holds(self._now())

    def of(self, queue: str) -> str:
        """Return who paused a queue, why and until when, or ""; readable from any thread."""
        pause = self._held.get(queue)
        return str(pause) if pause is not None and pause.holds(self._now()) else ""

    def reasons(self) -> Mapping[str, str]:
        """Return the same for all queues that are paused."""
        return {queue: said for queue in list(self._held) if (said := self.of(queue))}

    def note(self) -> None:
        """Take over what the documents of the queues say now."""
        for queue, facts in self._queues.facts.items():
            pause, held = facts.pause, self._held.get(queue)
            if pause is not None and not pause.holds(self._now()):
                pause = None
            if pause == held:
                continue
            if pause is not None:
                self._held[queue] = pause
                self._log.info(f"the queue is {pause}; none of its items is popped", queue=queue)
            else:
                self._held.pop(queue, None)
                self._log.info("the queue is paused no more", queue=queue)
                self._on_over(queue)
        self.trigger()

    async def round(self) -> float:
        """Look again where nobody tells, and see whether a pause is over."""
        if self._next_look() <= 0:
            self._looked = self._clock()
            await self._look()
        now = self._now()
        if any(not pause.holds(now) for pause in self._held.values()):
            self.note()
        ends = [pause.until for pause in self._held.values() if pause.until is not None]
        left = [max(0.0, (end - now).total_seconds()) for end in ends]
        # The server's clock is learnt again with each heartbeat: one that was moved is noticed.
        return min((*left, self._interval if ends else IDLE, max(0.0, self._next_look())))

    def _next_look(self) -> float:
        """Return in how many seconds it is time for a look; not above 0 once it is."""
        if self._queues.told:
            return IDLE
        pace = LEAST if self._queues.unsure else self._interval
        return self._looked + pace - self._clock()
