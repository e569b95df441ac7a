"""How often an item was handed back for a breaker that stays closed, and how long it waits then."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from worker.item.outcome import Outcome, Waits
from worker.openiap.errors import OpenIAPError
from worker.telemetry.log import Log

HAND_BACKS: Final = 3
"""Times that an item is handed back while circuits stay closed."""
FIRST_WAIT: Final = 1.0
"""Seconds that it waits then; twice as long each time."""
MOST_ITEMS: Final = 10_000

Times = Callable[[str], Awaitable[int]]


class HandBacks:
    """Those of one worker.

    Args:
        times: tells how often an item was handed back already, by whichever worker; None for what
            is known here.
        now: the server's time as far as it is known.
    """

    def __init__(self, times: Times | None, *, now: Callable[[], datetime], log: Log) -> None:
        self._times = times
        self._now = now
        self._log = log
        self._here: dict[str, int] = {}

    def forget(self, item: str) -> None:
        """Its handler has come to another end."""
        self._here.pop(item, None)

    async def next(self, item: str, breaker: str, said: Outcome) -> Outcome | None:
        """Return the outcome of an item that is handed back once more; None once it was often
        enough.

        Args:
            item: its id.
            said: why, as its outcome would be without a wait.
        """
        times = self._here.get(item, 0)
        if self._times is not None:
            try:
                times = max(times, await self._times(item))
            except OpenIAPError as error:
                self._log.debug(f"how often an item was handed back is not known: {error}")
        if times >= HAND_BACKS:
            self.forget(item)
            return None
        if len(self._here) >= MOST_ITEMS:
            self._here.clear()
        self._here[item] = times + 1
        until = self._now() + timedelta(seconds=FIRST_WAIT * 2**times)
        why = f"breaker {breaker}: handed back {times + 1} of {HAND_BACKS} times"
        return Outcome("released", None, said.message, waits=Waits(why, until, times=times + 1))
