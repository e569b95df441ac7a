"""The overview: what there is, seen when it changes."""

import time

import pytest

from tests.console.stage import Stage, keep_shots, seriously_wrong
from tests.integration.management.failures import INVOKE, READ, UPDATE, queue_for

pytestmark = pytest.mark.browser


async def test_pushed_items_are_seen_within_two_seconds(stage: Stage) -> None:
    stage.openiap.queue("seen")
    async with stage.page("/") as page:
        waiting = page.locator(".number", has_text="Waiting").locator(".value")
        before = int((await waiting.inner_text()).replace(",", ""))
        await page.wait_for_timeout(2_500)  # whatever the opening asked is answered
        began = time.monotonic()
        for number in range(3):
            await stage.openiap.push("seen", {"number": number})
        await page.locator(".number .value", has_text=f"{before + 3}").first.wait_for()
        assert time.monotonic() - began < 2.5
        assert await seriously_wrong(page) == []
        if (shots := keep_shots()) is not None:
            await page.screenshot(path=shots / "overview.png")


async def test_two_users_side_by_side_see_what_each_may(stage: Stage) -> None:
    await queue_for(stage.openiap, "shared", READ | UPDATE | INVOKE)
    await stage.openiap.push("shared")
    stage.openiap.queue("secret plans")
    await stage.openiap.push("secret plans")
    async with stage.page("/queues") as boss, stage.page("/queues", stage.ordinary) as other:
        for page in (boss, other):
            await page.get_by_role("link", name="shared").wait_for()
        await boss.get_by_role("link", name="secret plans").wait_for()
        assert await other.get_by_text("secret plans").count() == 0
        assert "secret plans" not in await other.content()
