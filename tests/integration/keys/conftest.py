"""Keys and rates, with whole daemons on both clients."""

import asyncio
from collections import defaultdict
from typing import Any

from tests.integration.worker.conftest import client, client_name, server, settings, start
from worker.daemon import Daemon
from worker.handler import Handler

__all__ = ["client", "client_name", "server", "settings", "start"]

STATE = "openiap_worker_state"


class Overlaps:
    """Who runs, by key; for handlers of one process."""

    def __init__(self) -> None:
        self.now: dict[str, int] = defaultdict(int)
        self.most: dict[str, int] = defaultdict(int)
        self.order: dict[str, list[int]] = defaultdict(list)

    async def run(self, payload: dict[str, Any], seconds: float = 0.02) -> None:
        """Run an item of ``payload["customer"]``."""
        key = str(payload["customer"])
        self.now[key] += 1
        self.most[key] = max(self.most[key], self.now[key])
        self.order[key].append(payload["n"])
        try:
            await asyncio.sleep(seconds)
        finally:
            self.now[key] -= 1


async def fleet(start, handler: Handler[..., Any], count: int, **changes: Any) -> list[Daemon]:
    """Start several daemons with the same handler."""
    folder = start.settings.state_dir
    quick = {"heartbeat_interval": 0.2, "dead_after": 0.5, "rescue_interval": 0.2, **changes}
    return [
        await start(handler, state_dir=folder / str(n), worker_id=f"w{n}", **quick)
        for n in range(count)
    ]


async def places(client) -> list[dict[str, Any]]:
    """Return who stands in a line."""
    found: list[dict[str, Any]] = await client.query(STATE, {"_type": "place"}, top=1000)
    return found
