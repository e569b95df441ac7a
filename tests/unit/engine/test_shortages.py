"""What the machine lacks: one queue rests, is looked after, and is popped again by itself."""

import pytest

from worker.engine import shortages as room
from worker.engine.shortages import Shortages
from worker.errors import WorkerFault
from worker.telemetry.log import Log


class House:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.is_over = False
        self.opened: list[str] = []
        self.said: list[str] = []
        self.shortages = Shortages(
            self.opened.append,
            log=Log("info", write=lambda level, line: self.said.append(level)),
            clock=lambda: self.now,
        )
        self.fault = WorkerFault("no room", over=lambda: self.is_over)

    async def look(self, after: float) -> float:
        self.now += after
        return await self.shortages.round()


async def test_one_queue_rests_until_it_is_over_and_both_are_said_once() -> None:
    house = House()
    assert await house.look(0) == room.IDLE, "nothing to look for"
    for _ in range(3):
        house.shortages.note("q", house.fault)
    assert house.shortages.closed("q")
    assert not house.shortages.closed("other")
    assert house.shortages.reasons() == {"q": "no room"}
    for _ in range(3):
        assert await house.look(room.LOOK_FIRST) == room.LOOK_FIRST
    assert house.opened == []
    house.is_over = True
    await house.look(room.LOOK_FIRST)
    assert house.opened == ["q"]
    assert not house.shortages.closed("q")
    assert house.shortages.reasons() == {}
    assert house.said == ["error", "info"]


async def test_one_that_comes_back_at_once_is_waited_for_longer() -> None:
    house = House()
    house.is_over = True
    waits = []
    for _ in range(8):
        house.shortages.note("q", house.fault)
        waits.append(await house.look(0))
        await house.look(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    house.now += room.SOON
    house.shortages.note("q", house.fault)
    assert await house.look(0) == room.LOOK_FIRST


def test_an_item_that_meets_one_again_and_again_has_itself_to_thank() -> None:
    shortages = House().shortages
    most = room.MOST_OF_ONE_ITEM
    assert [shortages.is_the_items("i") for _ in range(most + 1)] == [*[False] * most, True]
    assert not shortages.is_the_items("other")
    shortages.done("i")
    assert not shortages.is_the_items("i")


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread")])
async def test_where_nothing_can_be_looked_at_it_is_not_over(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()

    async def to_thread(*_: object) -> None:
        raise error

    monkeypatch.setattr("worker.engine.faults.asyncio.to_thread", to_thread)
    house.shortages.note("q", house.fault)
    house.is_over = True
    await house.look(room.LOOK_FIRST)
    assert house.shortages.closed("q")
