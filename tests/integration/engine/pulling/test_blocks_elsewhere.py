"""A loop's items are worked in other tasks and threads, each in a block of its own."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.engine.conftest import DEADLINE
from tests.integration.engine.pulling.conftest import QUEUE
from worker import ApplicationError, TakenItem, sync
from worker.item.taken import Undecided
from worker.settings import Settings


@pytest.mark.parametrize("how", ["goes on", "is closed"])
async def test_a_block_in_another_task_ends_its_item_whatever_its_loop_does(
    producer, push, stored, how: str
) -> None:
    async def work(item: TakenItem, begun: asyncio.Event) -> None:
        async with item:
            begun.set()
            await over.wait()
            raise ApplicationError("what it came to")

    await push({"n": 1}, retrydelay=600)
    over, begun = asyncio.Event(), asyncio.Event()
    items = producer.items(QUEUE)
    async with asyncio.timeout(DEADLINE):
        task = asyncio.create_task(work(await anext(items), begun))
        await begun.wait()
        if how == "goes on":
            with pytest.raises(StopAsyncIteration):
                await anext(items)
        else:
            await items.aclose()
        del items
        assert (await stored())[0]["state"] == "processing"
        over.set()
        await task
    (found,) = await stored()
    assert (found["state"], found["retries"]) == ("new", 1)
    assert found["errormessage"] == "what it came to"


async def test_a_block_that_begins_after_its_loop_went_on_is_refused(producer, push) -> None:
    await push({"n": 1})
    items = producer.items(QUEUE)
    item = await anext(items)
    with pytest.raises(StopAsyncIteration):
        await anext(items)
    with pytest.raises(Undecided, match="is settled: the loop that gave it has gone on"):
        async with item:
            pytest.fail("it was begun")


async def test_a_block_is_stopped_in_the_thread_that_it_runs_in(
    settings: Settings, push, stored
) -> None:
    def block(item: sync.TakenItem) -> None:
        with item:
            spin("nobody stopped it")

    def spin(text: str) -> None:
        end = time.monotonic() + DEADLINE
        while not over.is_set() and time.monotonic() < end:
            time.sleep(0.01)
        if not over.is_set():
            pytest.fail(text)

    def program() -> str:
        with sync.connect(settings) as openiap, ThreadPoolExecutor(1) as pool:
            items = openiap.items(QUEUE, timeout=0.3)
            item = next(items)
            working = pool.submit(block, item)
            working.add_done_callback(lambda _: over.set())
            spin("the block went on")  # must not be struck
            working.result()
            return item.state

    over = threading.Event()
    await push({"n": 1}, retrydelay=600)
    async with asyncio.timeout(2 * DEADLINE):
        assert await asyncio.to_thread(program) == "new"
    (found,) = await stored()
    assert found["errormessage"] == "its block ran longer than its timeout of 300ms"
