"""How many attempts a queue allows, as the server has it now, and whether an item has had them.

An item whose worker seemed dead has a higher number than it had attempts
(``fleet/takeover.py``); the server knows the number alone.
"""

from collections.abc import Callable
from typing import Final

from worker.engine.fleet.deaths import read_deaths
from worker.openiap.fields import number
from worker.openiap.pool import Pool
from worker.openiap.workitem import Workitem
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

    async def gives_back(self, workitem: Workitem) -> bool:
        """Tell whether an item is due another attempt although its number says that it is not.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        if not workitem.retries:
            return False
        allowed = await self.maxretries(workitem.wiq)
        if workitem.retries + 1 < allowed:
            return False
        return workitem.retries + 1 - await self.raised(workitem) < allowed

    async def raised(self, workitem: Workitem) -> int:
        """Return by how much an item's number is higher than the attempts that it had.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        if not workitem.retries:
            return 0
        deaths = await self._pool.call(lambda client: read_deaths(client, workitem.id))
        return min(len(deaths.raised), workitem.retries)
