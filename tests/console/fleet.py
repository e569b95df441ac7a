"""A worker with work that waits, for the tests of pages that show and steer workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.console.stage import HOSTILE, Stage
from worker import Item, handler
from worker.engine.fleet.presence import COLLECTION

ME = "worker-1"
DEADLINE = 60.0


@asynccontextmanager
async def busy_worker(stage: Stage, queue: str, id: str = ME) -> AsyncIterator[str]:
    """Run a worker that takes commands, with one item in work; gives the item's id."""
    go, began = asyncio.Event(), asyncio.Event()

    @handler(queue, concurrency=2, timeout="1h")
    async def job(payload: dict[str, Any], item: Item) -> None:
        await item.progress(0.4, f"page 3 of 8 {HOSTILE}")
        began.set()
        await go.wait()

    daemon = await stage.openiap.start_worker(job, worker_id=id, heartbeat_interval=1.0)
    try:
        item = await stage.openiap.push(queue)
        async with asyncio.timeout(DEADLINE):
            await began.wait()
            while not await _takes_commands(stage, id):
                await asyncio.sleep(0.05)
        yield item
    finally:
        go.set()
        await daemon.stop()


async def _takes_commands(stage: Stage, id: str) -> bool:
    found = await stage.openiap.client.query(COLLECTION, {"_id": id}, {"lastseen.report": 1})
    return bool(found and found[0].get("lastseen", {}).get("report", {}).get("mailbox"))
