"""What five tabs of a user cost OpenIAP whose pages are of single things and of lists."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from tests.console.fleet import busy_worker
from tests.console.stage import Stage
from tests.console.test_live import A_SECOND, asked, calm
from tests.integration.management.failures import fail_items

pytestmark = pytest.mark.browser
WINDOW = 4.0
QUEUE, ID = "asked about", "worker-asked"


async def test_five_tabs_on_items_errors_and_a_worker_ask_twice_a_second_at_most(
    stage: Stage,
) -> None:
    stage.openiap.queue(QUEUE)
    (failed,) = await fail_items(stage.openiap.client, QUEUE, [{}], "gone")
    async with busy_worker(stage, f"{QUEUE} of a worker", ID):
        pass  # it has ended, and asks nothing beside the console
    paths = (
        "/items?state=new",
        f"/item?id={failed}",
        "/errors",
        f"/queue?name={QUEUE}",
        f"/worker?id={ID}",
    )
    async with AsyncExitStack() as stack:
        for path in paths:
            await stack.enter_async_context(stage.page(path))
        before, began = await calm(stage), time.monotonic()
        own = 0
        while time.monotonic() - began < WINDOW:
            await stage.openiap.push(QUEUE)
            await stage.openiap.client.update_document(
                "workitems", {"_id": failed}, {"$set": {"priority": own}}
            )
            own += 1
            await asyncio.sleep(0.1)
        questions = asked(stage) - before - own
        taken = time.monotonic() - began
        assert questions >= 1
        assert questions <= A_SECOND * taken + 1, questions
    await stage.openiap.client.delete_workitem_queue(QUEUE, purge=True)
    await stage.openiap.client.delete_workitem_queue(f"{QUEUE} of a worker", purge=True)
