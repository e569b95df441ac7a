"""How many attempts a queue allows, as the server has it now."""

from collections.abc import Callable
from typing import Final

from worker.openiap.fields import number
from worker.openiap.pool import Pool
from worker.uptime import uptime

KEPT: Final = 30.0
"""Seconds for which what was read is believed."""


class QueueLimits:
    """Reads and remembers the ``maxretries`` of queues."""

    def __init__(self, pool: Pool, clock: Callable[[], float] = uptime) -> None:
        self._pool = pool
        self._clock = clock
        self._read: dict[str, tuple[float, int]] = {}

    async def maxretries(self, queue: str) -> int:
        """Return how many attempts a queue allows; 0 where that cannot be read.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        known = self._read.get(queue)
        if known is not None and self._clock() - known[0] < KEPT:
            return known[1]
        query = {"_type": "workitemqueue", "name": queue}
        found = await self._pool.call(
            lambda client: client.query("mq", query, {"maxretries": 1}, top=1), turn="first"
        )
        allowed = number(found[0].get("maxretries")) if found else 0
        self._read[queue] = self._clock(), allowed
        return allowed
