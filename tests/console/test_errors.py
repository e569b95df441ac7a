"""Error groups: found, looked at, retried and deleted as a whole."""

import pytest
from playwright.async_api import Page

from tests.console.stage import Stage, keep_shots
from tests.integration.management.failures import fail_items, four_failures, states_of

pytestmark = pytest.mark.browser


def notice(page: Page, words: str) -> object:
    return page.locator(".notice", has_text=words).wait_for()


async def test_a_group_is_found_looked_at_and_retried_whole(stage: Stage) -> None:
    await four_failures(stage.openiap, "grouped")
    async with stage.page("/errors?queue=grouped") as page:
        await page.get_by_role("link", name="order <number> is gone").wait_for()
        assert await page.locator("tbody tr").count() == 4
        await page.keyboard.press("/")
        await page.keyboard.type("timeout")
        await page.locator("tbody tr").nth(1).wait_for(state="detached")
        await page.get_by_role("link", name="Timeout").click()
        await page.get_by_text("Timeout: host <address> is away").wait_for()
        await page.get_by_text("shop.errors.Gone: gone").wait_for()
        await page.locator(".number .value", has_text="5").first.wait_for()
        if (shots := keep_shots()) is not None:
            await page.screenshot(path=shots / "error-group.png")
        await page.get_by_role("button", name="Retry all").click()
        await page.get_by_text("It would be 5 items.").wait_for()
        await page.get_by_role("dialog").get_by_role("button", name="Retry 5 items").click()
        await notice(page, "5 items were put back.")
        await page.get_by_text("No item has failed in this way any more.").wait_for()
        states = [one[0] for one in (await states_of(stage.openiap.client, "grouped")).values()]
        assert states.count("new") == 5
        assert states.count("failed") == 17


async def test_what_one_item_of_a_batch_refuses_is_told_and_leads_there(stage: Stage) -> None:
    client = stage.openiap.client
    for name in ("from", "into"):
        stage.openiap.queue(name)
    await fail_items(client, "from", [{"n": 1}], "shared")
    (there,) = await fail_items(client, "into", [{"n": 2}], "shared")
    async with stage.page("/errors?queue=from") as page:
        await page.get_by_role("link", name="shared").click()
        await page.get_by_text("Sample").wait_for()
        group = page.url.replace("queue=from", "").rstrip("&")
        await page.goto(group)
        await page.get_by_role("button", name="Move all").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("To queue").fill("into")
        await page.get_by_role("option", name="into").click()
        await dialog.get_by_role("button", name="Dry run").click()
        await dialog.get_by_role("button", name="Move 2 items").click()
        told = page.get_by_role("alert").filter(has_text="1 item was moved, 1 could not be.")
        await told.get_by_text("It is in queue into already.").wait_for()
        assert await told.get_by_role("link", name=there).count() == 1
        assert len(stage.openiap.items("into")) == 2
