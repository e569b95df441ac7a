"""Items of a key get into its line in the order in which they came."""

import asyncio

from worker.engine.concurrency.waiting_line import JoinOrder


async def test_one_after_another_in_order_and_other_lines_beside() -> None:
    order = JoinOrder()
    seen: list[str] = []
    held = asyncio.Event()

    async def come(line: str, name: str) -> None:
        async with order.entering(line):
            if name == "first":
                await held.wait()
            seen.append(name)

    tasks = [asyncio.create_task(come("a", name)) for name in ("first", "second", "third")]
    other = asyncio.create_task(come("b", "other"))
    await other
    assert seen == ["other"]
    held.set()
    await asyncio.gather(*tasks)
    assert seen == ["other", "first", "second", "third"]


async def test_who_comes_while_another_is_on_its_way_comes_behind_it() -> None:
    order = JoinOrder()
    async with order.entering("a") as behind:
        assert not behind
        order.joining("a")
    async with order.entering("a") as behind:
        assert behind
        order.joining("a")
    order.joined("a")
    async with order.entering("a") as behind:
        assert behind
    order.joined("a")
    async with order.entering("a") as behind:
        assert not behind


async def test_nothing_is_kept_of_lines_that_nobody_is_at() -> None:
    order = JoinOrder()
    async with order.entering("a"):
        order.joining("a")
    order.joined("a")
    assert order._entrances == {}
    assert order._joining == {}
