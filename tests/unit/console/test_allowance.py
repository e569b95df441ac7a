"""Turns to ask: so many in a time, what is waited for first."""

import asyncio
from itertools import pairwise

from worker.console.live.allowance import Allowance, Rank

EVERY = 0.03


async def test_turns_are_apart_and_what_changed_goes_first() -> None:
    allowance = Allowance(EVERY)
    loop, order, times = asyncio.get_running_loop(), [], []

    async def ask(name: str, rank: Rank) -> None:
        await allowance.turn(rank)
        order.append(name)
        times.append(loop.time())

    later = [asyncio.create_task(ask(f"later {n}", Rank.LATER)) for n in range(3)]
    await asyncio.sleep(0)
    soon = [asyncio.create_task(ask(f"soon {n}", Rank.SOON)) for n in range(2)]
    await asyncio.gather(*later, *soon)
    assert order == ["soon 0", "soon 1", "later 0", "later 1", "later 2"]
    apart = [after - before for before, after in pairwise(times)]
    assert min(apart) >= EVERY * 0.9


async def test_what_somebody_waits_for_goes_at_once_and_the_others_after_it() -> None:
    allowance = Allowance(EVERY)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(3):
        await allowance.turn(Rank.NOW)
    assert loop.time() - began < EVERY
    await allowance.turn(Rank.LATER)
    assert loop.time() - began >= 3 * EVERY * 0.9


async def test_who_is_cancelled_takes_no_turn() -> None:
    allowance = Allowance(EVERY)
    await allowance.turn(Rank.NOW)
    gone = asyncio.create_task(allowance.turn(Rank.LATER))
    await asyncio.sleep(0)
    gone.cancel()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await allowance.turn(Rank.LATER)
    assert loop.time() - began < 1.9 * EVERY


async def test_what_changes_all_the_time_leaves_turns_to_the_others() -> None:
    allowance, order = Allowance(EVERY), []

    async def ask(name: str, rank: Rank) -> None:
        await allowance.turn(rank)
        order.append(name)

    await allowance.turn(Rank.NOW)
    soon = [asyncio.create_task(ask("soon", Rank.SOON)) for _ in range(5)]
    later = asyncio.create_task(ask("later", Rank.LATER))
    due = asyncio.create_task(ask("due", Rank.DUE))
    await asyncio.gather(*soon, later, due)
    assert order == ["soon", "soon", "due", "soon", "soon", "later", "soon"]
