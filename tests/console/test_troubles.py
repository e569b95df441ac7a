"""What happens to open pages: the console started anew, pages closed.

OpenIAP away and back is looked at on all of them in ``test_every_page.py``.
"""

import asyncio

import httpx
import pytest

from tests.console.stage import Console, Stage, ready

pytestmark = pytest.mark.browser


async def test_a_console_that_is_started_anew_asks_for_the_sign_in_and_leads_back(
    stage: Stage, read_only: Console
) -> None:
    async with stage.visitor() as context:
        page = await context.new_page()
        await stage.sign_in(page, stage.boss, "/queues", read_only.url)
        await ready(page)
        await stage.forget(read_only.url)
        await read_only.again()
        await page.wait_for_url("**/sign-in*")
        await page.get_by_text("This console is read-only.").wait_for()
        await stage.sign_in(page, stage.boss, "/queues", read_only.url)
        await ready(page)
        await page.get_by_text("read-only").first.wait_for()
        assert await page.get_by_role("button", name="New queue").count() == 0


async def test_closed_pages_leave_nothing_behind(stage: Stage) -> None:
    async with stage.page("/") as page:
        others = [await page.context.new_page() for _ in range(2)]
        for other in others:
            await other.goto(f"{stage.console.url}/queues")
        for other in others:
            await ready(other)
        assert await gauge(stage, "pages") >= 3
        assert await gauge(stage, "topics") > 5
        for other in others:
            await other.close()
    async with asyncio.timeout(120):
        while await gauge(stage, "pages") or await gauge(stage, "topics"):
            await asyncio.sleep(0.5)


async def gauge(stage: Stage, name: str) -> float:
    """Return a number that the console tells of itself."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        told = (await http.get(f"{stage.console.url}/metrics")).text
    (line,) = [one for one in told.splitlines() if one.startswith(f"openiap_worker_api_{name} ")]
    return float(line.split()[1])
