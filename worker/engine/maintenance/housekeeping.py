"""Housekeeping: what one worker of a fleet deletes for all, about once an hour.

1. Finished items that their handlers do not keep for longer (``retention.py``).
2. What shared state leaves behind (``sweep.py``).
"""

import random

from worker.app.registry import Registry
from worker.engine.fleet.leadership import Fleet
from worker.engine.maintenance.retention import Retention, rules_of
from worker.engine.maintenance.sweep import Sweep
from worker.openiap.client import Client
from worker.telemetry.log import Log


class Housekeeping:
    """Does both for a worker's queues; shape: ``start``, ``stop``.

    Args:
        client: the worker's own, which waits for a link and for its turn.
        fleet: tells who leads.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        client: Client,
        fleet: Fleet,
        namespace: str,
        log: Log,
        chance: random.Random,
    ) -> None:
        rules = rules_of(registered.handler for registered in registry)
        self._retention = Retention(rules, client=client, fleet=fleet, log=log, chance=chance)
        self._sweep = Sweep(
            [registered.queue for registered in registry],
            client=client,
            fleet=fleet,
            namespace=namespace,
            log=log,
            chance=chance,
        )

    async def start(self) -> None:
        """Begin."""
        await self._retention.start()
        await self._sweep.start()

    async def stop(self) -> None:
        """End; idempotent."""
        await self._sweep.stop()
        await self._retention.stop()
