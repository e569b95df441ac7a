"""What time it is by the server's clock, which is what stands on items."""

from collections.abc import Callable
from datetime import datetime, timedelta

from worker.engine.delivery.delivery import Delivery

Stamp = tuple[datetime, float]
"""A time that the server put on something, and when that was by this machine's ``uptime``."""


class ServerClock:
    """Tells it as far as it is known.

    Args:
        clock: seconds that go on while the machine sleeps.
        stamp: the server's last on a heartbeat, or None where there was none.
    """

    def __init__(self, clock: Callable[[], float], stamp: Callable[[], Stamp | None]) -> None:
        self._clock = clock
        self._stamp = stamp

    def by_heartbeat(self) -> datetime | None:
        """Return the time by the last heartbeat alone."""
        stamp = self._stamp()
        return None if stamp is None else self._since(*stamp)

    def now(self, delivery: Delivery, lastrun: datetime | None) -> datetime | None:
        """Return the time by the last stamp there is: the clock may have been set in between.

        Args:
            lastrun: the stamp of the pop, where it is known.
        """
        stamp = self._stamp()
        if lastrun is None or delivery.popped is None:
            return self.by_heartbeat()
        if stamp is not None and stamp[1] > delivery.popped:
            return self._since(*stamp)
        return self._since(lastrun, delivery.popped)

    def _since(self, moment: datetime, at: float) -> datetime:
        return moment + timedelta(seconds=self._clock() - at)
