"""Keys and rates, with whole daemons on both clients."""

import asyncio
from collections import defaultdict
from typing import Any

from tests.integration.engine.conftest import client, client_name, server, settings, start
from worker.app.options import Handler
from worker.engine.daemon import Daemon

__all__ = ["client", "client_name", "server", "settings", "start"]

STATE = "openiap_worker_state"


class Overlaps:
    """Who runs, by key; for handlers of one process."""

    def __init__(self) -> None:
        self.now: dict[str, int] = defaultdict(int)
        self.most: dict[str, int] = defaultdict(int)
        self.order: dict[str, list[int]] = defaultdict(list)

    async def run(
        self,
        payload: dict[str, Any],
        seconds: float = 0.02,
        *,
        until: asyncio.Event | None = None,
    ) -> None:
        """Run an item of ``payload["customer"]``, and not end before ``until`` is set."""
        key = str(payload["customer"])
        self.now[key] += 1
        self.most[key] = max(self.most[key], self.now[key])
        self.order[key].append(payload["n"])
        try:
            if until is not None:
                await until.wait()
            await asyncio.sleep(seconds)
        finally:
            self.now[key] -= 1


async def fleet(start, handler: Handler[..., Any], count: int, **changes: Any) -> list[Daemon]:
    """Start several daemons with the same handler.

    One alone looks after its queue soon. Of several none may count as dead because the machine
    stood still for some seconds: no test here lets one die.
    """
    folder = start.settings.state_dir
    dead_after = 0.5 if count == 1 else 30
    quick = {"heartbeat_interval": 0.2, "dead_after": dead_after, "rescue_interval": 0.2, **changes}
    return [
        await start(handler, state_dir=folder / str(n), worker_id=f"w{n}", **quick)
        for n in range(count)
    ]


async def places(client) -> list[dict[str, Any]]:
    """Return who stands in a line."""
    found: list[dict[str, Any]] = await client.query(STATE, {"_type": "place"}, top=1000)
    return found
