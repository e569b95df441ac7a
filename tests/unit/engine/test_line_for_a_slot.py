"""Pops that wait for a slot: one goes on for each slot, and the others are left alone."""

import asyncio

from worker.engine.consumer import Consumer


class _Crowded(Consumer):
    """A consumer without a worker around it, that has the slots it is given."""

    def __init__(self) -> None:
        self.room = 0
        self.looks = 0
        self._shortages = None
        self._once = False
        self._quieting = asyncio.Event()
        self._slot_free = asyncio.Event()
        self._next_in_line = asyncio.Lock()

    @property
    def full(self) -> bool:
        self.looks += 1
        return self.room <= 0

    async def pop(self) -> None:
        while self.full and not self._quieting.is_set():
            assert not await self._waited_in_vain()
        self.room -= 1


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_slot_that_comes_free_wakes_one_pop_and_the_next_in_line() -> None:
    consumer = _Crowded()
    pops = [asyncio.create_task(consumer.pop()) for _ in range(8)]
    await turns()
    consumer.looks, consumer.room = 0, 1
    consumer.slot_freed()
    await turns()
    assert sum(pop.done() for pop in pops) == 1
    assert consumer.looks <= 3
    consumer.room = 3
    consumer.slot_freed()
    await turns()
    assert sum(pop.done() for pop in pops) == 4
    consumer._quieting.set()
    consumer.slot_freed()
    async with asyncio.timeout(30):
        await asyncio.gather(*pops)
