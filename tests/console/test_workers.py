"""Workers: who is there, what one runs and where; steering is in ``test_actions_worker.py``."""

import pytest

from tests.console.fleet import ME, busy_worker
from tests.console.stage import HOSTILE, Stage, keep_shots

pytestmark = pytest.mark.browser


async def test_a_worker_is_seen_with_what_it_runs_and_where_that_is(stage: Stage) -> None:
    async with busy_worker(stage, HOSTILE) as item, stage.page("/workers") as page:
        await page.get_by_text(HOSTILE).wait_for()
        if (shots := keep_shots()) is not None:
            await page.screenshot(path=shots / "workers.png")
        await page.get_by_role("link", name=ME).click()
        await page.get_by_role("link", name=item).wait_for()
        await page.get_by_text(f"40% page 3 of 8 {HOSTILE}").wait_for()

        await page.get_by_role("button", name="Stacks").click()
        await page.get_by_text("await go.wait()").wait_for()
        if shots is not None:
            await page.screenshot(path=shots / "worker.png", full_page=True)
            await page.emulate_media(color_scheme="dark")
            await page.set_viewport_size({"width": 390, "height": 900})
            await page.screenshot(path=shots / "worker-phone.png", full_page=True)
            await page.set_viewport_size({"width": 1280, "height": 900})
        assert await page.evaluate("window.ran") is None
