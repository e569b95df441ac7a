"""Shortages: what this machine lacks now, such as room on the disk, and what waits for it.

1. A queue whose handler could not be served is not popped: its items were handed back, and other
   workers have what they need. The other queues of this worker go on.
2. Whoever told of a shortage says how to find out that it is over (``WorkerFault.over``); that is
   looked for, and the queue is popped again by itself. One that comes back at once is waited for
   longer each time.
3. Said once when it begins and once when it ends; readiness says so meanwhile, and a gauge.
4. An item that meets one again and again here, each time after it was over, has itself to thank for
   it: no disk is large enough for it, say.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from worker.engine.faults import is_over
from worker.errors import WorkerFault
from worker.service import Service
from worker.telemetry.log import Log

LOOK_FIRST: Final = 1.0
LOOK_LAST: Final = 30.0
"""Seconds between two looks whether it is over; they grow while it comes back."""
SOON: Final = 60.0
"""Seconds within which one that comes back counts as the same."""
IDLE: Final = 3600.0
MOST_OF_ONE_ITEM: Final = 10
MOST: Final = 10_000
"""Items that are remembered."""


@dataclass(slots=True)
class _Shortage:
    fault: WorkerFault
    wait: float
    look_at: float


class Shortages(Service):
    """Of one worker.

    Args:
        on_over: told of each queue that may be popped again.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        on_over: Callable[[str], None],
        *,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            "shortages",
            pause=IDLE,
            on_error=lambda error: log.failed("cannot look for what the machine lacks", error),
        )
        self._on_over = on_over
        self._log = log
        self._clock = clock
        self._short: dict[str, _Shortage] = {}
        self._last: dict[str, tuple[float, float]] = {}
        """By queue: when the last one was over, and how long was waited between looks."""
        self._met: dict[str, int] = {}

    def closed(self, queue: str) -> bool:
        """Whether the queue is not to be popped."""
        return queue in self._short

    def reasons(self) -> Mapping[str, str]:
        """Return what queues lack; readable from any thread."""
        return {queue: str(short.fault) for queue, short in list(self._short.items())}

    def is_the_items(self, item_id: str) -> bool:
        """Note that an item met one; whether it did so too often for it to be the worker's."""
        if len(self._met) >= MOST:
            self._met.clear()
        self._met[item_id] = count = self._met.get(item_id, 0) + 1
        return count > MOST_OF_ONE_ITEM

    def done(self, item_id: str) -> None:
        """The item met none this time."""
        if self._met:
            self._met.pop(item_id, None)

    def note(self, queue: str, fault: WorkerFault) -> None:
        """A handler of the queue could not be served."""
        if queue in self._short:
            return
        now = self._clock()
        over, waited = self._last.get(queue, (-SOON, 0.0))
        wait = min(LOOK_LAST, 2 * waited) if now - over < SOON else LOOK_FIRST
        self._short[queue] = _Shortage(fault, wait, now + wait)
        self._log.error(
            f"this worker cannot serve the handler, its items are handed back without an attempt"
            f" and none is popped until it can: {fault}",
            queue=queue,
        )
        self.trigger()

    async def round(self) -> float:
        """Look whether any is over."""
        now = self._clock()
        for queue, short in list(self._short.items()):
            if short.look_at > now:
                continue
            if not await is_over(short.fault):
                short.look_at = self._clock() + short.wait
                continue
            self._short.pop(queue, None)
            self._last[queue] = (self._clock(), short.wait)
            self._log.info("this worker can serve the handler again", queue=queue)
            self._on_over(queue)
        now = self._clock()
        waits = (max(0.0, short.look_at - now) for short in self._short.values())
        return min(waits, default=IDLE)
