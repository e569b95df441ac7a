"""The time that the workers of a fleet count alike: the server's, as it stamps their heartbeats."""

import time
from collections import deque
from datetime import datetime, timedelta
from typing import Final

from worker.uptime import uptime

STAMPS: Final = 4
"""Own heartbeats by which it is known: the quickest of their answers tells it best, and clocks
drift."""
MOVED: Final = timedelta(seconds=1)
"""By so much the server's time has to differ from what was thought to count as moved."""


class SharedClock:
    """Tells it to some milliseconds; this machine's time until a heartbeat was stamped."""

    def __init__(self) -> None:
        self._ahead: deque[float] = deque(maxlen=STAMPS)
        """By how much the server's time was ahead of ``uptime`` at the last heartbeats, seconds."""

    def stamped(self, moment: datetime, at: float) -> None:
        """Note what the server stamped on a heartbeat.

        Args:
            moment: the server's time.
            at: when its answer was there, ``uptime``.
        """
        ahead = moment.timestamp() - at
        if self._ahead and abs(ahead - self._ahead[-1]) > MOVED.total_seconds():
            self._ahead.clear()
        self._ahead.append(ahead)

    def now(self) -> float:
        """Return the seconds since 1970."""
        return uptime() + max(self._ahead) if self._ahead else time.time()
