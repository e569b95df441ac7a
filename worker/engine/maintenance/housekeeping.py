"""Housekeeping: what one worker of a fleet deletes for all, about once an hour.

1. Finished items that their handlers do not keep for longer (``retention.py``).
2. What shared state leaves behind (``sweep.py``).
3. Signals of items that have succeeded or are gone (``signal_sweep.py``).
"""

import random
from typing import Final

from worker.app.registry import Registry
from worker.engine.fleet.leadership import Fleet
from worker.engine.maintenance.retention import Retention, rules_of
from worker.engine.maintenance.signal_sweep import SignalSweep
from worker.engine.maintenance.sweep import Sweep
from worker.openiap.client import Client
from worker.producer.groups.record import Records
from worker.service import Service
from worker.telemetry.log import Log

MOST_GROUPS: Final = 1_000


def housekeeping(
    registry: Registry,
    *,
    client: Client,
    fleet: Fleet,
    namespace: str,
    log: Log,
    chance: random.Random,
) -> tuple[Service, ...]:
    """Return the services that do so for a worker's queues.

    Args:
        client: the worker's own, which waits for a link and for its turn.
        fleet: tells who leads.
    """
    rules = rules_of(registered.handler for registered in registry)
    queues = [registered.queue for registered in registry]
    records = Records(client, namespace)

    async def open_groups() -> list[str]:
        return await records.open(top=MOST_GROUPS)

    return (
        Retention(
            rules, client=client, fleet=fleet, log=log, chance=chance, open_groups=open_groups
        ),
        Sweep(queues, client=client, fleet=fleet, namespace=namespace, log=log, chance=chance),
        SignalSweep(queues, client=client, fleet=fleet, log=log, chance=chance),
    )
