"""Turns to ask: so many in a time, what is waited for first."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from tests.unit.virtualloop import in_virtual_time
from worker.console.live.allowance import Allowance, Rank

EVERY = 0.5


def in_time_of_its_own(test: Callable[[Allowance], Awaitable[None]]) -> Callable[[], None]:
    """Run a test where time passes by timers alone: no machine is too busy for it."""

    async def begin() -> None:
        await test(Allowance(EVERY, asyncio.get_running_loop().time))

    def run() -> None:
        in_virtual_time(begin())

    run.__doc__ = test.__doc__
    return run


@in_time_of_its_own
async def test_turns_are_apart_and_what_changed_goes_first(allowance: Allowance) -> None:
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
    assert [after - before for before, after in pairwise(times)] == pytest.approx([EVERY] * 4)


@in_time_of_its_own
async def test_what_somebody_waits_for_goes_at_once_and_the_others_after_it(
    allowance: Allowance,
) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(2):
        await allowance.turn(Rank.NOW)
    assert loop.time() == 0
    await allowance.turn(Rank.LATER)
    assert loop.time() == pytest.approx(2 * EVERY)


@in_time_of_its_own
async def test_who_is_cancelled_takes_no_turn(allowance: Allowance) -> None:
    await allowance.turn(Rank.NOW)
    gone = asyncio.create_task(allowance.turn(Rank.LATER))
    await asyncio.sleep(0)
    gone.cancel()
    await allowance.turn(Rank.LATER)
    assert asyncio.get_running_loop().time() == pytest.approx(EVERY)


@in_time_of_its_own
async def test_what_changes_all_the_time_leaves_turns_to_the_others(allowance: Allowance) -> None:
    order = []

    async def ask(name: str, rank: Rank) -> None:
        await allowance.turn(rank)
        order.append(name)

    await allowance.turn(Rank.NOW)
    soon = [asyncio.create_task(ask("soon", Rank.SOON)) for _ in range(5)]
    later = asyncio.create_task(ask("later", Rank.LATER))
    due = asyncio.create_task(ask("due", Rank.DUE))
    await asyncio.gather(*soon, later, due)
    assert order == ["soon", "soon", "due", "soon", "soon", "later", "soon"]
