"""What open browsers cost: the console's memory, and the items of the workers that are looked at.

python -m tests.benchmarks.watched [SECONDS [BROWSERS]]

5 workers in processes of their own, always with items waiting; a console; one Chromium with so
many browsers of one user (20), which look at different pages for so many seconds (600). Items/s are
those of the workers for a quarter of that time before the browsers open, and while they are open.
The browsers share the processors with the workers: on a small machine that is most of what they
cost.
"""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from itertools import cycle
from typing import Final

from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.benchmarks.asked import environment
from tests.benchmarks.stage import (
    PASSWORD,
    USER,
    connected,
    first_line,
    local_server,
    push,
    rss_of,
    started,
)
from tests.console.stage import FLAGS, chromium
from worker.openiap.client import Client
from worker.openiap.workitem import WorkItemQueue

WORKERS: Final = 5
BROWSERS: Final = 20
SECONDS: Final = 600.0
WAITING: Final = 2_000
"""Items that always wait."""
SETTLE: Final = 10.0
QUEUE: Final = "watched"
PATHS: Final = ("/", "/queues", f"/queue?name={QUEUE}", "/workers", "/worker?id=w1", "/schedules")
MORE_MB: Final = 50.0
SLOWER: Final = 0.03


async def keep_filled(client: Client) -> None:
    """Push as many items as are done."""
    while True:
        left = await client.count("workitems", {"wiq": QUEUE, "state": "new"})
        if left < WAITING:
            await push(client, QUEUE, WAITING)
        await asyncio.sleep(0.5)


async def pace(client: Client, seconds: float) -> float:
    """Return the items that are done in a second, over so many seconds."""
    done = {"wiq": QUEUE, "state": "successful"}
    before, began = await client.count("workitems", done), time.monotonic()
    await asyncio.sleep(seconds)
    return (await client.count("workitems", done) - before) / (time.monotonic() - began)


async def opened(browser: Browser, url: str, count: int) -> list[BrowserContext]:
    """Sign in once, and open so many browsers with that session."""
    first = await browser.new_context()
    page = await first.new_page()
    await page.goto(f"{url}/", wait_until="domcontentloaded")
    await page.get_by_label("User name").fill(USER)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.locator("main#main h1").wait_for()
    state = await first.storage_state()
    await first.close()
    contexts = []
    for _, path in zip(range(count), cycle(PATHS), strict=False):
        context = await browser.new_context(storage_state=state)
        page = await context.new_page()
        await page.goto(f"{url}{path}", wait_until="domcontentloaded")
        await page.locator("main#main h1").wait_for(timeout=60_000)
        contexts.append(context)
    return contexts


async def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    browsers = int(sys.argv[2]) if len(sys.argv) > 2 else BROWSERS
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(local_server())
        client = await stack.enter_async_context(connected(server))
        await client.add_workitem_queue(WorkItemQueue(name=QUEUE))
        for number in range(WORKERS):
            command = [sys.executable, "-m", "worker", "run"]
            command += ["--handlers", "tests.benchmarks.watched_handlers"]
            command += ["--set", "item_log=none"]
            more = {**environment(server, str(number)), "OPENIAP_WORKER_RATE_LIMIT": "0"}
            more |= {"OPENIAP_WORKER_WORKER_ID": f"w{number + 1}"}
            log = server.folder / f"worker{number}.log"
            await stack.enter_async_context(started(command, log, environment=more))
        command = [sys.executable, "-m", "worker", "console", "--port", "0", "--json"]
        log = server.folder / "console.log"
        process = started(command, log, environment=environment(server, "console"))
        console = await stack.enter_async_context(process)
        url = json.loads(await first_line(console))["url"]
        filling = asyncio.create_task(keep_filled(client))
        stack.callback(filling.cancel)
        play = await stack.enter_async_context(async_playwright())
        browser = await play.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        stack.push_async_callback(browser.close)
        await asyncio.sleep(SETTLE)
        alone, start = await pace(client, seconds / 4), rss_of(console.pid)
        print(f"nobody looks: {alone:.0f} items/s, {start:.0f} MB", flush=True)
        await opened(browser, url, browsers)
        seen = rss_of(console.pid)
        watched, end = await pace(client, seconds), rss_of(console.pid)
        filling.cancel()
    share = watched / alone - 1
    print(f"{browsers} browsers for {seconds:.0f} s: {watched:.0f} items/s ({share:+.1%})")
    print(f"console: {start:.0f} MB before, {seen:.0f} MB with all open, {end:.0f} MB at the end")
    good = end - start <= MORE_MB and share >= -SLOWER
    print(f"within {MORE_MB:.0f} MB and {SLOWER:.0%}: {'yes' if good else 'no'}")


if __name__ == "__main__":
    asyncio.run(main())
