"""Who looks at a group when: few looks, the last member's end at once, nothing left behind."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from worker.engine.groups import Groups
from worker.item.group_desk import GroupProgress
from worker.openiap.errors import Disconnected
from worker.telemetry.log import Log

GROUP = "6921f0c5" + "a" * 11


class Fleet:
    """One that this worker leads, or not."""

    def __init__(self, rank: int | None) -> None:
        self.place = rank

    def server_now(self) -> datetime:
        return datetime.now(UTC)

    def rank(self, queue: str) -> int | None:
        return self.place

    async def peers(self) -> Sequence[object]:
        return []


class Desk:
    """A group of so many members, which others end as well."""

    def __init__(self, of: int) -> None:
        self.state = GroupProgress(GROUP, of)
        self.looks = 0
        self.fails = 0

    def end(self, count: int = 1) -> None:
        self.state = replace(self.state, done=self.state.done + count)

    async def settle(self, group: str) -> GroupProgress:
        self.looks += 1
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise Disconnected("gone")
        self.state = replace(self.state, over=self.state.done >= self.state.of)
        return self.state

    async def open(self, after: str, top: int) -> list[str]:
        return [GROUP]


def service(desk: Any, rank: int | None = 0, soon: float = 0.01) -> Groups:
    fleet, chance = Fleet(rank), random.Random(1)
    log = Log("error", write=lambda level, text: None)
    return Groups(["q"], desk, every=3600, fleet=fleet, log=log, chance=chance, soon=soon)


async def test_the_only_worker_looks_a_few_times_however_many_members_there_are() -> None:
    desk = Desk(1000)
    groups = service(desk, soon=3600)

    async def slot() -> None:
        for _ in range(100):
            desk.end()
            await groups.ended(GROUP)

    await asyncio.gather(*(slot() for _ in range(10)))
    assert desk.state.over
    assert desk.looks <= 4
    assert not groups.pending
    await groups.stop()


async def test_the_last_member_of_several_workers_is_seen_soon() -> None:
    desk = Desk(10)
    groups = service(desk)
    desk.end()
    await groups.ended(GROUP)
    desk.end(8)  # elsewhere
    desk.end()
    await groups.ended(GROUP)
    assert groups.pending
    async with asyncio.timeout(60):
        while not desk.state.over:
            await asyncio.sleep(0.005)
    assert not groups.pending
    assert desk.looks == 2
    await groups.ended(GROUP)
    assert desk.looks == 2, "what is over is not looked at again"


@pytest.mark.parametrize("leads", [True, False])
async def test_a_look_is_pending_until_what_comes_after_the_group_is_pushed(leads: bool) -> None:
    """Who waits for all that follows would otherwise believe it to be there."""
    asked, goes_on = asyncio.Event(), asyncio.Event()

    class Slow(Desk):
        async def settle(self, group: str) -> GroupProgress:
            asked.set()
            await goes_on.wait()
            return await super().settle(group)

    desk = Slow(1)
    groups = service(desk, rank=0 if leads else 1)
    desk.end()
    looking = asyncio.create_task(groups.round() if leads else groups.ended(GROUP))
    async with asyncio.timeout(60):
        await asked.wait()
        assert groups.pending
        goes_on.set()
        await looking
    assert not groups.pending


async def test_a_look_that_fails_is_made_again_and_no_member_pays() -> None:
    desk = Desk(2)
    desk.fails = 2
    groups = service(desk)
    for _ in range(2):
        desk.end()
        await groups.ended(GROUP)
    async with asyncio.timeout(60):
        while not desk.state.over:
            await asyncio.sleep(0.005)
    assert desk.looks == 3


async def test_a_stop_leaves_no_look_behind() -> None:
    desk = Desk(10)
    groups = service(desk, soon=3600)
    for _ in range(2):
        desk.end()
        await groups.ended(GROUP)
    await groups.stop()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "group"] == []


async def test_one_worker_of_a_fleet_looks_after_what_a_death_left() -> None:
    for rank, looks in ((0, 1), (None, 1), (1, 0)):
        desk = Desk(1)
        desk.end()
        groups = service(desk, rank)
        await groups.round()
        await groups.round()
        assert desk.looks == looks
