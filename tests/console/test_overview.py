"""The overview: what there is, seen when it changes."""

import time

import pytest

from tests.console.stage import Stage, keep_shots, seriously_wrong

pytestmark = pytest.mark.dear


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
