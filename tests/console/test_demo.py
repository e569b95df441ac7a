"""``demo --console``: pages on what the demo works, and the pictures that the main page shows."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.console.stage import Stage, keep_shots, ready
from tests.integration.cli.commands import clean_environment

pytestmark = pytest.mark.browser
ITEMS = "60"
MANY = re.compile(r"^[3-9]\d$")
ENDED = re.compile(r"^In the last hour [1-9]\d* attempts were done")
LARGEST = 150_000
"""Bytes of a picture that stands on the main page."""


@asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[tuple[str, tuple[str, str]]]:
    """Run the demo until all items have ended; give where its pages are, and who may sign in."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "demo", "--items", ITEMS, "--client", "native"),
        "--console",
        env=clean_environment(),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    where, words = "", list[str]()
    try:
        async with asyncio.timeout(120):
            async for line in process.stdout:
                said = line.decode()
                where = where or said.partition("Pages: ")[2]
                if "The pages are open" in said:
                    break
        words = where.split()
        yield words[0].rstrip("/"), (words[4], words[6])
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def test_the_demo_is_seen_in_a_browser(stage: Stage, tmp_path: Path) -> None:
    shots = keep_shots() or tmp_path
    async with demo(tmp_path) as (url, user), stage.page("/", user, url=url) as page:
        await page.locator(".number", has_text="Done").get_by_text(MANY).wait_for()
        await page.get_by_role("heading", name="Attempts a minute, last hour").wait_for()
        await page.get_by_text(ENDED).wait_for(state="attached", timeout=60_000)
        await page.get_by_text("No worker has trouble.").wait_for()
        assert await page.locator(".list .line").count() > 3
        invalid = page.locator(".list a[href^='/error-group']", has_text="is invalid")
        group = await invalid.first.get_attribute("href")
        assert group is not None
        found = await page.request.get(f"{url}/api/v1/items?queue=invoices&state=failed&limit=1")
        id = (await found.json())["items"][0]["id"]
        pictures = (("overview", "/"), ("item", f"/item?id={id}"), ("error-group", group))
        for name, to in pictures:
            if to != "/":  # which is open
                await page.goto(f"{url}{to}")
                await ready(page)
            await page.wait_for_timeout(500)  # fonts and charts
            picture = shots / f"{name}.png"
            await page.screenshot(path=picture)
            assert picture.stat().st_size < LARGEST
    await stage.forget(url)
