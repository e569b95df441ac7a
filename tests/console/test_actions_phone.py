"""A phone: whatever names and errors are there, no dialog is wider than the screen; pages are
looked at in ``test_every_page.py``."""

import pytest
from playwright.async_api import Page

from tests.console.stage import Stage, keep_shots
from tests.integration.management.failures import fail_items

pytestmark = pytest.mark.browser
LONG = "a-name-that-nobody-has-cut" * 5
WIDTH = 390
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


async def fits(page: Page, name: str) -> bool:
    if (shots := keep_shots()) is not None:
        await page.screenshot(path=shots / f"phone-{name}.png", full_page=True)
    return await page.evaluate(TOO_WIDE) is False


async def test_no_dialog_is_wider_than_a_phone(stage: Stage) -> None:
    stage.openiap.queue(LONG)
    payload = {LONG: {LONG: LONG}, "amount": 1}
    (id,) = await fail_items(stage.openiap.client, LONG, [payload], f"[{LONG}] {LONG} {LONG}")
    async with stage.page(f"/item?id={id}") as page:
        await page.set_viewport_size({"width": WIDTH, "height": 800})
        await page.get_by_text("Timeline").wait_for()
        assert await fits(page, "item")
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
