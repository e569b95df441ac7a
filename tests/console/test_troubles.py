"""What happens to open pages: OpenIAP away and back, the console started anew."""

import asyncio

import httpx
import pytest

from tests.console.stage import Stage, console_on, ready

pytestmark = pytest.mark.browser


async def test_an_open_page_says_that_openiap_is_away_and_goes_on_when_it_is_back(
    stage: Stage,
) -> None:
    stage.openiap.queue("before")
    async with stage.page("/") as page:
        restarting = asyncio.create_task(stage.openiap.restart(down=9))
        away = page.get_by_role("status").get_by_text("OpenIAP does not answer")
        await away.wait_for(timeout=30_000)
        other = await page.context.new_page()
        await other.goto(f"{stage.console.url}/queue?name=before")
        await other.get_by_text("OpenIAP does not answer").first.wait_for()
        await restarting
        await away.wait_for(state="hidden", timeout=30_000)
        await other.get_by_text("Until the next attempt").wait_for(timeout=30_000)
        await stage.openiap.push("before")
        await (
            page.locator(".line", has_text="before")
            .get_by_text("1 waiting")
            .wait_for(timeout=20_000)
        )
        await other.close()


async def test_a_console_that_is_started_anew_asks_for_the_sign_in_and_leads_back(
    stage: Stage,
) -> None:
    context = await stage.context()
    page = await context.new_page()
    async with console_on(stage.openiap, folder=stage.folder) as first:
        await stage.sign_in(page, stage.boss, "/queues", first.url)
        await ready(page)
        port = int(first.url.rpartition(":")[2])
    async with console_on(stage.openiap, "--read-only", port=port, folder=stage.folder) as second:
        await page.wait_for_url("**/sign-in*", timeout=30_000)
        await page.get_by_text("This console is read-only.").wait_for()
        await stage.sign_in(page, stage.boss, "/queues", second.url)
        await ready(page)
        await page.get_by_text("read-only").first.wait_for()
        assert await page.get_by_role("button", name="New queue").count() == 0
    await context.close()


async def test_closed_pages_leave_nothing_behind(stage: Stage) -> None:
    async with stage.page("/") as page:
        others = [await page.context.new_page() for _ in range(4)]
        for other in others:
            await other.goto(f"{stage.console.url}/queues")
        for other in others:
            await ready(other)
        assert await gauge(stage, "pages") >= 5
        assert await gauge(stage, "topics") > 5
        for other in others:
            await other.close()
    async with asyncio.timeout(30):
        while await gauge(stage, "pages") or await gauge(stage, "topics"):
            await asyncio.sleep(0.2)


async def gauge(stage: Stage, name: str) -> float:
    """Return a number that the console tells of itself."""
    async with httpx.AsyncClient(trust_env=False) as http:
        told = (await http.get(f"{stage.console.url}/metrics")).text
    (line,) = [one for one in told.splitlines() if one.startswith(f"openiap_worker_api_{name} ")]
    return float(line.split()[1])
