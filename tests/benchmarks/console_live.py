"""How soon open pages of the console show what was changed, in a real browser.

python -m tests.benchmarks.console_live [TIMES [PAGE...]]

Seconds from before a change is sent to OpenIAP to the change of the page, as the browser notes it:
of what OpenIAP tells of by a watch, and of workers, which are asked for again. A page is the first
word of its row: ``item``, ``child``, …
"""

import asyncio
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.console.seeing import seconds_until_seen
from tests.console.stage import Stage, stage_in
from worker.engine.fleet.presence import COLLECTION
from worker.engine.pause import PAUSE, Pause
from worker.item.metadata import KEY
from worker.item.new_item import PARENT
from worker.openiap.values import iso

TIMES: Final = 20
SETTLE: Final = 3.0
APART: Final = 6.0
"""Seconds between two changes, at most: they come whenever they like."""
COUNTED: Final = "{next}Waiting"
NUMBERS: Final = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
"""An error that differs in a number from another is of its group."""
Change = Callable[[int], Awaitable[object]]


async def figures(
    stage: Stage, name: str, path: str, change: Change, shows: str, times: int
) -> None:
    """Print how soon a page showed changes that each bring new words onto it."""
    took = []
    async with stage.page(path) as page:
        await asyncio.sleep(SETTLE)
        for number in range(times):
            await asyncio.sleep(random.uniform(0, APART))
            words = shows.format(number, word=NUMBERS[number % 10], next=number + 1)
            took.append(await seconds_until_seen(page, "#main", words, change(number)))
    took.sort()
    print(f"  {took[len(took) // 2]:5.2f} s median {took[-1]:5.2f} s at most  {name}", flush=True)


async def measure(times: int, only: Sequence[str] = ()) -> None:
    """Print all of it, or some rows."""
    with tempfile.TemporaryDirectory() as folder:
        async with stage_in(Path(folder)) as stage:
            client = stage.openiap.client
            id = await stage.openiap.push("orders", {})

            async def item(number: int) -> None:
                set_ = {"$set": {"payload.note": f"change {number} "}}
                await client.update_document("workitems", {"_id": id}, set_)

            async def pushed(number: int) -> None:
                await client.push_workitem("orders", {}, name=f"change {number} of items")

            async def queue(number: int) -> None:
                stage.openiap.queue(f"change {number} of queues")

            async def worker(number: int) -> None:
                name, now = f"change {number} of workers", iso(datetime.now(UTC))
                about = {"_type": "worker", "schema": 1, "host": name, "started": now}
                seen = {"at": now, "rounds": 0, "free": {}}
                await client.insert_one(
                    COLLECTION, {"_id": name, "name": name, **about, "lastseen": seen}
                )

            async def failed(number: int) -> None:
                broken = {"state": "failed", "errormessage": f"{NUMBERS[number % 10]} is broken"}
                pushed = await client.push_workitem("failing", {})
                await client.update_document("workitems", {"_id": pushed.id}, {"$set": broken})

            async def child(number: int) -> None:
                name = f"change {number} of children"
                await client.push_workitem("orders", {KEY: {PARENT: id}}, name=name)

            async def paused(number: int) -> None:
                text = f"change {number} of pauses"
                pause = Pause(text, "somebody", datetime.now(UTC), None).document()
                await client.update_document("mq", {"name": "failing"}, {"$set": {PAUSE: pause}})

            async def waiting(number: int) -> None:
                await client.push_workitem("counted", {})

            stage.openiap.queue("failing")
            stage.openiap.queue("counted")
            words = "change {} "
            for name, path, change, shows in (
                ("item, its payload, watched", f"/item?id={id}", item, words),
                ("child of an item, watched", f"/item?id={id}", child, words + "of children"),
                ("items of a queue, watched", "/items?queue=orders", pushed, words + "of items"),
                ("queues, watched", "/queues", queue, words + "of queues"),
                ("counts of a queue, watched", "/queue?name=counted", waiting, COUNTED),
                ("errors, watched", "/errors?queue=failing", failed, "{word} is broken"),
                ("pauses on the overview, watched", "/", paused, words + "of pauses"),
                ("workers, asked for again", "/workers", worker, words + "of workers"),
            ):
                if not only or name.split()[0].rstrip(",") in only:
                    await figures(stage, name, path, change, shows, times)


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(measure(int(given[0]) if given else TIMES, given[1:]))
