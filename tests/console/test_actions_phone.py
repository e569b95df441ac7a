"""A phone: whatever names and errors are there, nothing is wider than the screen."""

import re
from urllib.parse import quote

import pytest
from playwright.async_api import Page

from tests.console.fleet import busy_worker
from tests.console.stage import Stage, keep_shots, ready
from tests.integration.management.failures import fail_items

pytestmark = pytest.mark.browser
LONG = "a-name-that-nobody-has-cut" * 5
WIDTH = 390
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


async def fits(page: Page, name: str) -> bool:
    if (shots := keep_shots()) is not None:
        await page.screenshot(path=shots / f"phone-{name}.png", full_page=True)
    return await page.evaluate(TOO_WIDE) is False


async def test_no_page_and_no_dialog_is_wider_than_a_phone(stage: Stage) -> None:
    stage.openiap.queue(LONG)
    payload = {LONG: {LONG: LONG}, "amount": 1}
    (id,) = await fail_items(stage.openiap.client, LONG, [payload], f"[{LONG}] {LONG} {LONG}")
    async with (
        busy_worker(stage, f"{LONG} of the worker", "w" * 60),
        stage.page("/errors") as page,
    ):
        await page.set_viewport_size({"width": WIDTH, "height": 800})
        link = page.get_by_role("link", name=re.compile("a-name")).first
        group = await link.get_attribute("href")
        paths = {
            "errors": "/errors",
            "group": group,
            "queues": "/queues",
            "queue": f"/queue?name={quote(LONG)}",
            "items": f"/items?queue={quote(LONG)}&error={quote(LONG)}",
            "workers": "/workers",
            "worker": f"/worker?id={'w' * 60}",
            "item": f"/item?id={id}",
        }
        for name, path in paths.items():
            await page.goto(f"{stage.console.url}{path}", wait_until="domcontentloaded")
            await ready(page)
            words = page.get_by_text(re.compile("a-name|w{60}")).locator("visible=true")
            await words.first.wait_for()
            assert await fits(page, name), name
        dialog = page.get_by_role("dialog")
        for button in ("Edit", "Move", "Priority"):
            await page.get_by_role("button", name=button).click()
            await dialog.get_by_role("button", name="Cancel").wait_for()
            assert await fits(page, button), button
            box = await dialog.locator(".dialog").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= WIDTH
            await dialog.get_by_role("button", name="Cancel").click()
            await dialog.wait_for(state="detached")
        await page.get_by_role("button", name="Retry").click()
        notice = page.locator(".notice", has_text="The item is new again.")
        await notice.wait_for()
        assert await fits(page, "notice")
    await stage.openiap.client.delete_workitem_queue(LONG, purge=True)
    await stage.openiap.client.delete_workitem_queue(f"{LONG} of the worker", purge=True)
