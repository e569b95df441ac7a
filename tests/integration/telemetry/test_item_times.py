"""What a daemon counts of its items: how long they waited, ran and took, and their errors."""

import asyncio
from pathlib import Path
from typing import Any

from worker import BusinessError, handler
from worker.engine.daemon import Daemon
from worker.localserver import LocalServer, ServerOptions
from worker.settings import load

DEADLINE = 60.0


async def test_a_daemon_counts_times_and_errors_of_its_items(tmp_path: Path) -> None:
    @handler("q")
    async def work(payload: dict[str, Any]) -> None:
        if payload["n"] == 0:
            raise BusinessError("no", code="BAD_AMOUNT")
        if payload["n"] == 1:
            raise ConnectionError("away")
        if payload["n"] == 2:
            await asyncio.sleep(0.3)

    @handler("typed")
    async def typed(payload: dict[str, int]) -> None:
        return None

    async with LocalServer(ServerOptions(users={"tester": "secret"})) as server:
        values = {
            "url": server.ws_url,
            "username": "tester",
            "password": "secret",
            "client": "native",
            "state_dir": str(tmp_path),
            "log_level": "error",
            "once": True,
        }
        daemon = Daemon(load(values, environment={}).settings, [work, typed])
        async with asyncio.timeout(DEADLINE):
            await daemon.start()
            client = daemon._parts.client  # type: ignore[union-attr]
            for name in ("q", "typed"):
                rules = {"maxretries": 2, "retrydelay": 0}
                await client.insert_one("mq", {"_type": "workitemqueue", "name": name, **rules})
            for n in range(4):
                await client.push_workitem("q", {"n": n})
            await client.push_workitem("typed", {"n": "none"})
            while sum(q.finished for q in daemon.counts().values()) < 6:
                await asyncio.sleep(0.02)
            await daemon.stop()
    seen = daemon.counts()
    assert seen["q"].errors == {"BAD_AMOUNT": 1, "ConnectionError": 2}
    assert seen["typed"].errors == {"InvalidPayload": 1}
    times = seen["q"].histograms
    assert sum(times["run"].counts) == 5  # every attempt
    assert sum(times["wait"].counts) == 4  # every item
    assert sum(times["total"].counts) == 4
    assert 0.3 <= times["run"].sum < DEADLINE
    assert times["total"].sum >= times["run"].sum - 0.1
