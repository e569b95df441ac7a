"""How many pops of one queue may be in flight."""

import asyncio

from worker.engine.poppers import EACH_AFTER, Poppers


async def joined(poppers: Poppers, waiting: dict[int, asyncio.Task[None]]) -> list[int]:
    for _ in range(3):
        await asyncio.sleep(0)
    return [number for number, task in waiting.items() if task.done()]


async def test_each_joins_after_some_pops_more_and_rests_when_one_finds_nothing() -> None:
    poppers = Poppers()
    waiting = {number: asyncio.create_task(poppers.joins(number)) for number in range(4)}
    assert await joined(poppers, waiting) == [0]
    for _ in range(EACH_AFTER):
        poppers.found()
    assert await joined(poppers, waiting) == [0, 1]
    for _ in range(EACH_AFTER - 1):
        poppers.found()
    assert await joined(poppers, waiting) == [0, 1]
    poppers.found_none()
    poppers.found()
    assert await joined(poppers, waiting) == [0, 1]
    for _ in range(3 * EACH_AFTER):
        poppers.found()
    assert await joined(poppers, waiting) == [0, 1, 2, 3]


async def test_none_is_left_waiting_when_they_stop() -> None:
    poppers = Poppers()
    waiting = [asyncio.create_task(poppers.joins(number)) for number in range(3)]
    await asyncio.sleep(0)
    poppers.stop()
    poppers.found_none()
    async with asyncio.timeout(30):
        await asyncio.gather(*waiting)
        await poppers.joins(5)
