"""How soon open pages of the console show what was changed, in a real browser.

python -m tests.benchmarks.console_live [TIMES]

Seconds from before a change is sent to OpenIAP to the change of the page, as the browser notes it:
items and queues, which OpenIAP tells of by a watch, and workers, which are asked for again.
"""

import asyncio
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.console.seeing import seconds_until_seen
from tests.console.stage import Stage, stage_in
from worker.engine.fleet.presence import COLLECTION
from worker.openiap.values import iso

TIMES: Final = 20
SETTLE: Final = 3.0
APART: Final = 6.0
"""Seconds between two changes, at most: they come whenever they like."""
Change = Callable[[int], Awaitable[object]]


async def figures(stage: Stage, name: str, path: str, change: Change, times: int) -> None:
    """Print how soon a page showed changes that each bring ``change N`` onto it."""
    took = []
    async with stage.page(path) as page:
        await asyncio.sleep(SETTLE)
        for number in range(times):
            await asyncio.sleep(random.uniform(0, APART))
            words = f"change {number} "
            took.append(await seconds_until_seen(page, "#main", words, change(number)))
    took.sort()
    print(f"  {took[len(took) // 2]:5.2f} s median {took[-1]:5.2f} s at most  {name}", flush=True)


async def measure(times: int) -> None:
    """Print all of it."""
    with tempfile.TemporaryDirectory() as folder:
        async with stage_in(Path(folder)) as stage:
            client = stage.openiap.client
            id = await stage.openiap.push("orders", {})

            async def item(number: int) -> None:
                set_ = {"$set": {"payload.note": f"change {number} "}}
                await client.update_document("workitems", {"_id": id}, set_)

            async def pushed(number: int) -> None:
                await client.push_workitem("orders", {}, name=f"change {number} ")

            async def queue(number: int) -> None:
                stage.openiap.queue(f"change {number} of queues")

            async def worker(number: int) -> None:
                name, now = f"change {number} of workers", iso(datetime.now(UTC))
                about = {"_type": "worker", "schema": 1, "host": name, "started": now}
                seen = {"at": now, "rounds": 0, "free": {}}
                await client.insert_one(
                    COLLECTION, {"_id": name, "name": name, **about, "lastseen": seen}
                )

            for name, path, change in (
                ("an item, watched", f"/item?id={id}", item),
                ("items of a queue, watched", "/items?queue=orders", pushed),
                ("queues, watched", "/queues", queue),
                ("workers, asked for again", "/workers", worker),
            ):
                await figures(stage, name, path, change, times)


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else TIMES))
