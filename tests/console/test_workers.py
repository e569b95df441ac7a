"""Workers: who is there, what one runs, and steering it, down to what the worker does."""

import pytest

from tests.console.fleet import ME, busy_worker
from tests.console.stage import HOSTILE, Stage, keep_shots

pytestmark = pytest.mark.browser


async def test_a_worker_is_seen_with_what_it_runs_and_does_what_it_is_told(stage: Stage) -> None:
    async with busy_worker(stage, HOSTILE) as item, stage.page("/workers") as page:
        await page.get_by_text(HOSTILE).wait_for()
        if (shots := keep_shots()) is not None:
            await page.screenshot(path=shots / "workers.png")
        await page.get_by_role("link", name=ME).click()
        await page.get_by_role("link", name=item).wait_for()
        await page.get_by_text(f"40% page 3 of 8 {HOSTILE}").wait_for()

        await page.get_by_role("button", name="Stacks").click()
        await page.get_by_text("await go.wait()").wait_for()
        await page.get_by_role("button", name="Quiet").click()
        await page.locator(".notice", has_text="takes no more items").wait_for()
        await page.locator(".warning", has_text="It takes no more items").wait_for()
        if shots is not None:
            await page.screenshot(path=shots / "worker.png", full_page=True)
            await page.emulate_media(color_scheme="dark")
            await page.set_viewport_size({"width": 390, "height": 900})
            await page.screenshot(path=shots / "worker-phone.png", full_page=True)
            await page.set_viewport_size({"width": 1280, "height": 900})
        behind = await stage.openiap.push(HOSTILE)
        assert stage.openiap.item(behind).state == "new"
        await page.get_by_role("button", name="Undo").click()
        await page.locator(".notice", has_text="takes items again").wait_for()

        await page.get_by_role("button", name="Concurrency").click()
        await page.get_by_label("Items at once").fill("5")
        await page.get_by_role("button", name="Set it").click()
        await page.locator(".notice", has_text="It works 5 items").wait_for()
        await page.locator(".number", has_text="Free slots").get_by_text("of 5").wait_for()
        boss = stage.boss[0]
        await page.get_by_text(f"by {boss}").first.wait_for()
        (said,) = [one for one in stage.console.lines if f"concurrency of worker '{ME}'" in one]
        assert boss in said

        await page.get_by_role("button", name="Stop").click()
        await page.get_by_role("button", name="Stop it").click()
        await page.locator(".notice", has_text="finishes what it has").wait_for()
        assert await page.evaluate("window.ran") is None
