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
    async with asyncio.timeout(60):
        await asyncio.gather(*waiting)
        await poppers.joins(5)


async def waits(poppers: Poppers, numbers: range) -> tuple[list[int], list[asyncio.Task[None]]]:
    """Let poppers wait for a slot; returns those that go on, as they do."""
    gone_on: list[int] = []

    async def wait(number: int) -> None:
        await poppers.slot(number)
        gone_on.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in reversed(numbers)]
    await asyncio.sleep(0)
    return gone_on, tasks


async def test_a_slot_that_comes_free_wakes_one_popper_and_the_first_before_the_others() -> None:
    poppers = Poppers()
    gone_on, tasks = await waits(poppers, range(4))
    poppers.wake(1)
    await asyncio.sleep(0)
    assert gone_on == [0]
    poppers.wake(2)
    await asyncio.sleep(0)
    assert sorted(gone_on) == [0, 1, 2]
    poppers.wake(0)  # no slot, but something else may have changed
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks)
    assert gone_on[-1] == 3


async def test_none_waits_for_a_slot_when_they_stop() -> None:
    poppers = Poppers()
    _, tasks = await waits(poppers, range(3))
    poppers.stop()
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks)
        await poppers.slot(5)


async def test_one_that_gave_up_takes_no_wake_from_those_that_wait() -> None:
    poppers = Poppers()
    gone_on, tasks = await waits(poppers, range(2))
    tasks[1].cancel()  # the first
    await asyncio.gather(tasks[1], return_exceptions=True)
    poppers.wake(1)
    async with asyncio.timeout(60):
        await tasks[0]
    assert gone_on == [1]
