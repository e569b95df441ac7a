"""What a worker is told from its page, down to what it does then."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.console.stage import Stage
from worker import handler
from worker.engine.daemon import Daemon
from worker.management.workers.service import Workers
from worker.management.workers.types import WorkerDetailResponse, WorkerGetPayload

pytestmark = pytest.mark.browser
ID, QUEUE = "worker-told", "told"
DEADLINE = 60.0


def notice(page: Page, words: str) -> object:
    return page.locator(".notice", has_text=words).wait_for()


async def seen(stage: Stage) -> WorkerDetailResponse:
    asked = WorkerGetPayload(id=ID)
    return await Workers(stage.openiap.client, dead_after=60.0).get_one(asked)


async def test_a_worker_does_what_its_page_is_told(stage: Stage, tmp_path: Path) -> None:
    go, runs = asyncio.Event(), asyncio.Semaphore(0)

    @handler(QUEUE, concurrency=1)
    async def job(payload: dict[str, Any]) -> None:
        runs.release()
        await go.wait()

    stage.openiap.queue(QUEUE)
    own = {"worker_id": ID, "heartbeat_interval": 0.5, "state_dir": tmp_path, "health_port": None}
    settings = stage.openiap.settings(client="native").model_copy(update=own)
    working = asyncio.create_task(Daemon(settings, [job], version="0").run(signals=False))
    try:
        async with asyncio.timeout(DEADLINE), stage.page(f"/worker?id={ID}") as page:
            first, second = [await stage.openiap.push(QUEUE, {"n": n}) for n in range(2)]
            await runs.acquire()
            assert stage.openiap.item(second).state == "new"
            # More at once: the item that waited is taken.
            await page.get_by_role("button", name="Concurrency").click()
            await page.get_by_label("Items at once").fill("2")
            await page.get_by_role("button", name="Set it").click()
            await notice(page, "It works 2 items of the queue at once, until it ends.")
            await runs.acquire()
            assert stage.openiap.item(second).state == "processing"
            await page.get_by_role("link", name=second).wait_for()
            # Undone: what runs finishes.
            await page.get_by_role("button", name="Undo").click()
            await notice(page, "It works 1 item of the queue at once again.")
            await page.locator(".number", has_text="Free slots").get_by_text("of 1").wait_for()
            # Its log.
            await page.get_by_role("button", name="Log level").click()
            await page.get_by_role("combobox", name="Log level").click()
            await page.get_by_role("option", name="debug").click()
            await page.get_by_role("button", name="Set it").click()
            await notice(page, "It logs at level debug, until it ends.")
            await page.locator("dd", has_text="debug").wait_for()
            assert (await seen(stage)).log_level == "debug"
            # Quiet: it takes nothing, and ends what it has.
            await page.get_by_role("button", name="Quiet").click()
            await notice(page, "The worker takes no more items")
            third = await stage.openiap.push(QUEUE, {"n": 3})
            go.set()
            await stage.openiap.ended(first)
            await stage.openiap.ended(second)
            await page.get_by_text("Nothing runs.").wait_for()
            assert stage.openiap.item(third).state == "new"
            await page.get_by_role("button", name="Resume").click()
            await notice(page, "The worker takes items again.")
            await stage.openiap.ended(third)
            # Stop: it ends, and says so.
            await page.get_by_role("button", name="Stop").click()
            await page.get_by_role("button", name="Stop it").click()
            await notice(page, "The worker finishes what it has and ends.")
            assert await working == 0
            await page.get_by_text("It has ended").wait_for()
            assert (await seen(stage)).state == "gone"
            assert await page.get_by_role("button", name="Quiet").is_hidden()
            by = page.get_by_text(f"by {stage.boss[0]}")
            assert await by.count() >= 5
    finally:
        go.set()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    await stage.openiap.client.delete_workitem_queue(QUEUE, purge=True)
