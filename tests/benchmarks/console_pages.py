"""How long pages of the console take in a real browser, by how many items there are.

python -m tests.benchmarks.console_pages 1000 100000

Needs Chromium and the extras ``console`` and ``test``. The milliseconds are from the click to the
rows, the median of three.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from playwright.async_api import Page

from tests.benchmarks.item_lists import filled
from tests.console.stage import Stage, stage_in
from worker.management.items.indexes import INDEXES

TIMES: Final = 3
PAGES: Final = {
    "/": ("overview", ".number .value"),
    "/items": ("items, newest first", "tbody tr"),
    "/items?queue=orders": ("items of a queue", "tbody tr"),
    "/items?queue=orders&page=1000": ("items of a queue, page 1,000", "tbody tr"),
    "/items?queue=orders&state=failed": ("failed items of a queue", "tbody tr"),
    "/items?queue=orders&state=failed&sort=modified": ("failed ones, last first", "tbody tr"),
    "/items?queue=orders&sort=errormessage": ("items by error (no index)", "tbody tr"),
    "/items?queue=orders&where=payload.customer%3Dc7": ("items by their payload", "tbody tr"),
    "/items?queue=orders&error=gone": ("items by a text of the error", "tbody tr"),
    "/item?id=000000000000000000000010": ("an item", ".event"),
    "/errors": ("errors, until its frame", "main h1"),
    "/errors?queue=orders": ("errors, until its rows", "tbody tr"),
}


async def opened(stage: Stage, page: Page, path: str, rows: str) -> float:
    """Return the median milliseconds until a page has rows."""
    took = []
    for _ in range(TIMES):
        await page.goto("about:blank")
        await asyncio.sleep(6)  # what was asked for the page before is over, and kept no more
        began = time.perf_counter()
        await page.goto(f"{stage.console.url}{path}", wait_until="commit")
        await page.locator(rows).first.wait_for(timeout=60_000)
        took.append(time.perf_counter() - began)
    return sorted(took)[TIMES // 2] * 1000


async def measure(count: int) -> None:
    """Print milliseconds by page, at so many items."""
    with tempfile.TemporaryDirectory() as folder:
        async with stage_in(Path(folder)) as stage:
            await filled(stage.openiap, count)
            for name, keys in {**INDEXES, "customer": {"payload.customer": 1}}.items():
                stage.openiap.server.services.collections.create_index("workitems", keys, {}, name)
                await asyncio.sleep(0)
            async with stage.page("/queues") as page:
                for path, (name, rows) in PAGES.items():
                    print(f"  {await opened(stage, page, path, rows):8.0f} ms  {name}", flush=True)


async def main() -> None:
    for count in [int(one) for one in sys.argv[1:]] or [1_000, 100_000]:
        print(f"{count:,} items", flush=True)
        await measure(count)


if __name__ == "__main__":
    asyncio.run(main())
