"""Schedules: when each runs, pausing, resuming and firing it, down to what is pushed."""

from typing import Any

import pytest

from tests.console.stage import REPORTS, Stage, keep_shots
from worker import handler, schedule
from worker.management.schedules.service import Schedules
from worker.management.schedules.types import ScheduleGetPayload

pytestmark = pytest.mark.browser


async def test_a_schedule_is_seen_paused_resumed_and_fired(stage: Stage) -> None:
    @schedule("0 3 1 1 *", name="yearly", payload={"kind": "yearly"})
    @handler(REPORTS)
    async def report(payload: dict[str, Any]) -> None: ...

    daemon = await stage.openiap.start_worker(report)
    await daemon.tick()
    await daemon.stop()
    async with stage.page("/schedules") as page:
        line = page.locator(".schedule", has_text="yearly")
        await line.get_by_text("Next in").wait_for()
        await line.get_by_text("none yet").wait_for()
        await line.get_by_role("button", name="Pause").click()
        await page.locator(".notice", has_text="The schedule is paused.").wait_for()
        await line.locator(".badge", has_text="paused").wait_for()
        assert await paused(stage)
        if (shots := keep_shots()) is not None:
            await page.emulate_media(color_scheme="dark")
            await page.set_viewport_size({"width": 390, "height": 700})
            await page.screenshot(path=shots / "schedules-phone.png")
        await line.get_by_role("button", name="Resume").click()
        await page.locator(".notice", has_text="The schedule goes on").wait_for()
        assert not await paused(stage)

        await line.get_by_role("button", name="Fire now").click()
        await page.get_by_role("button", name="Fire it").click()
        notice = page.locator(".notice", has_text="is pushed.")
        await notice.wait_for()
        (item,) = stage.openiap.items(REPORTS)
        assert item.payload == {"kind": "yearly"}
        assert item.id in await notice.inner_text()

        await page.keyboard.press("/")
        await page.keyboard.type("nothing like it")
        await page.get_by_text("No schedule has that in its name.").wait_for()
        assert await page.evaluate("window.ran") is None


async def paused(stage: Stage) -> bool:
    asked = ScheduleGetPayload(name="yearly")
    return (await Schedules(stage.openiap.client).get_one(asked)).state == "paused"
