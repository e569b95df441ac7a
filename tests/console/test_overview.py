"""The overview: what there is, seen when it changes."""

import pytest

from tests.console.stage import Stage

pytestmark = pytest.mark.browser


async def test_pushed_items_are_seen_without_a_reload(stage: Stage) -> None:
    async with stage.page("/") as page:
        for number in range(3):
            await stage.openiap.push("seen", {"number": number})
        wait = sum(one.state == "new" for one in stage.openiap.items())
        waiting = page.locator(".number", has_text="Waiting")
        await waiting.locator(".value").get_by_text(f"{wait:,}", exact=True).wait_for()
