"""An item that waits for somebody: what it waits for is seen, and it is told so from its page."""

from typing import Any

import pytest

from tests.console.stage import HOSTILE, Stage, seriously_wrong
from worker import Item, handler

pytestmark = pytest.mark.browser
NAME = f"approval {HOSTILE}"


async def test_an_item_that_waits_is_told_what_it_waits_for_and_goes_on(stage: Stage) -> None:
    heard: list[Any] = []

    @handler("approvals")
    async def buy(payload: dict[str, Any], item: Item) -> None:
        heard.append(await item.wait_for(NAME))

    daemon = await stage.openiap.start_worker(buy)
    try:
        id = await stage.openiap.push("approvals", {})
        async with stage.page(f"/item?id={id}") as page:
            await page.get_by_text("waits for it").wait_for()
            await page.get_by_role("button", name="Signal").click()
            dialog = page.get_by_role("dialog")
            await dialog.get_by_label("Value").fill("{by: Ada}")
            await dialog.get_by_role("button", name="Tell it").click()
            await dialog.get_by_role("alert").get_by_text("This is no JSON").wait_for()
            assert await seriously_wrong(page) == []
            await dialog.get_by_label("Value").fill('{"by": "Ada"}')
            await dialog.get_by_role("button", name="Tell it").click()
            await page.locator(".notice", has_text="The item is told").wait_for()
            await page.locator(".page-head .badge", has_text="Done").wait_for()
            assert heard == [{"by": "Ada"}]
            await page.get_by_role("button", name="Signal").wait_for(state="hidden")
            assert await page.evaluate("window.ran") is None
    finally:
        await daemon.stop()
    await stage.openiap.client.delete_workitem_queue("approvals", purge=True)
