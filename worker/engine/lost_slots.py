"""Slots that are lost for good: a handler was given up and does not end, so its place stays taken.

1. A ``def`` handler in a system call that never returns can be ended by nothing but the end of the
   process; the same goes for a coroutine that swallows its cancellation.
2. Where a queue has no slot left for ``after`` seconds, or where a slot is lost for so long and
   nothing is in flight, the worker is to be replaced: it drains as for any stop, and ends.
3. With ``keep`` it stays as it is, and liveness says that a queue is dead.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

from worker.service import Service
from worker.telemetry.log import Log

Choice = Literal["restart", "exit", "keep"]

ROUNDS: Final = 10
"""Looks within ``after``."""
LONGEST_PAUSE: Final = 1.0


class SlotsOfQueue(Protocol):
    """The consumer of one queue."""

    @property
    def slots(self) -> int:
        """How many items may be in flight."""

    @property
    def lost(self) -> int:
        """Slots held by handlers that were given up and still run."""

    @property
    def working(self) -> int:
        """Items in flight."""


class LostSlots(Service):
    """Looks for slots that do not come back.

    Args:
        consumers: by queue; filled while the worker starts.
        choice: what to do about them.
        after: seconds that a slot may be lost: a call that has a limit of its own returns by then.
        replace: called once, when the worker is to end.
    """

    def __init__(
        self,
        consumers: Mapping[str, SlotsOfQueue],
        *,
        choice: Choice,
        after: float,
        replace: Callable[[], None],
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            "lost slots",
            pause=min(LONGEST_PAUSE, after / ROUNDS),
            on_error=lambda error: log.failed("cannot look for lost slots", error),
        )
        self._consumers = consumers
        self._choice = choice
        self._after = after
        self._replace = replace
        self._log = log
        self._clock = clock
        self._since: dict[str, float] = {}
        """When a queue began to miss slots."""
        self._dead_since: dict[str, float] = {}
        """When it lost the last one."""
        self._acted = False

    async def round(self) -> None:
        """Look once."""
        now = self._clock()
        for queue, consumer in self._consumers.items():
            lost = consumer.lost
            _note(self._since, queue, lost > 0, now)
            _note(self._dead_since, queue, lost >= consumer.slots, now)
        dead = self._long(self._dead_since, now)
        idle = not any(consumer.working for consumer in self._consumers.values())
        found = dead or (self._long(self._since, now) if idle else [])
        if not found:
            self._acted = self._acted and self._choice != "keep"
            return
        if self._acted:
            return
        self._acted = True
        said = ", ".join(
            f"{c.lost} of {c.slots} of {q}" for q, c in self._consumers.items() if q in found
        )
        what = {
            "restart": "the worker starts anew",
            "exit": "the worker ends, to be started again by what runs it",
            "keep": "the worker goes on without them (lost_slots = keep)",
        }[self._choice]
        self._log.error(f"slots are held by handlers that cannot be stopped: {said}; {what}")
        if self._choice != "keep":
            self._replace()

    def dead(self) -> str:
        """Say which queues have no slot left for longer than may be, or ""; from any thread."""
        queues = self._long(dict(self._dead_since), self._clock())
        if not queues:
            return ""
        return f"handlers that cannot be stopped hold every slot of {', '.join(queues)}"

    def _long(self, since: Mapping[str, float], now: float) -> list[str]:
        return [queue for queue, began in since.items() if now - began >= self._after]


def _note(since: dict[str, float], queue: str, holds: bool, now: float) -> None:
    if holds:
        since.setdefault(queue, now)
    else:
        since.pop(queue, None)
