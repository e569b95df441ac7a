"""The overview: what there is, seen when it changes."""

import pytest

from tests.console.stage import Stage
from tests.integration.management.failures import INVOKE, READ, UPDATE, queue_for

pytestmark = pytest.mark.browser


async def test_pushed_items_are_seen_without_a_reload(stage: Stage) -> None:
    async with stage.page("/") as page:
        for number in range(3):
            await stage.openiap.push("seen", {"number": number})
        wait = sum(one.state == "new" for one in stage.openiap.items())
        waiting = page.locator(".number", has_text="Waiting")
        await waiting.locator(".value").get_by_text(f"{wait:,}", exact=True).wait_for()


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
