"""Items that were in flight when workers died run beside few others, then alone."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.virtualloop import in_virtual_time
from worker.engine import isolation as room
from worker.engine.fleet.deaths import Deaths, mark_of
from worker.engine.in_flight import Running
from worker.engine.isolation import Isolation
from worker.openiap.errors import ServerError
from worker.openiap.pool import Pool
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class House:
    """A process with items in flight, and a server that counts deaths."""

    def __init__(self, slots: int = 9) -> None:
        self.running: list[Running] = []
        self.counted: dict[str, int] = {}
        self.asked = 0
        self.told: list[list[bool]] = []
        self.opened = 0
        self.refuses = False
        self.isolation = Isolation(
            lambda: self.running,
            slots=slots,
            pool=cast(Pool, self),
            tell=self.tell,
            now=lambda: NOW,
            log=Log("error", write=lambda level, line: None),
            chance=random.Random(1),
            on_open=self.open,
        )

    def item(self, deaths: int, *, said: int | None = None, stage: Any = "preparing") -> Running:
        """Pop an item of so many deaths."""
        id = f"i{len(self.running)}"
        mark = deaths if said is None else said
        workitem = Workitem(id=id, payload={}, errorsource=mark_of(mark) if mark else "")
        self.counted[id] = deaths
        running = Running(workitem, 0.0, NOW, 1, stage=stage)
        self.running.append(running)
        return running

    def ends(self, running: Running) -> None:
        self.running.remove(running)
        self.isolation.left(running)

    def open(self) -> None:
        self.opened += 1

    async def tell(self) -> None:
        self.told.append([one.alone for one in self.running])

    async def wait_ready(self) -> None: ...

    async def call(self, operation: Callable[[Any], Awaitable[Any]]) -> Any:
        async def query(_: str, query: dict[str, Any], *__: Any, **___: Any) -> Any:
            self.asked += 1
            if self.refuses:
                raise ServerError("no", operation="query")
            item = str(query["_id"]).removeprefix("deaths-")
            runs = tuple(range(1_001, self.counted[item] * 1_000 + 1_001, 1_000))
            return [Deaths(item, runs).document("q", NOW)]

        return await operation(SimpleNamespace(query=query))


@pytest.mark.parametrize("deaths", [0, 1])
async def test_one_death_changes_nothing_and_asks_nobody(deaths: int) -> None:
    house = House()
    for _ in range(20):
        assert await house.isolation.admit(house.item(deaths)) is None
    assert house.asked == 0
    assert not house.isolation.closed


async def test_of_the_items_of_two_deaths_a_few_run_at_a_time() -> None:
    house = House(slots=9)
    suspects = [house.item(2) for _ in range(4)]
    admitted = [await house.isolation.admit(one) for one in suspects]
    assert admitted[:3] == [None] * 3
    waits = admitted[3]
    assert waits is not None
    assert NOW < waits.until <= NOW + timedelta(seconds=room.TURN)
    assert "2 worker deaths" in waits.why
    assert await house.isolation.admit(house.item(0)) is None, "the others run beside them"
    house.ends(suspects[0])
    assert await house.isolation.admit(suspects[3]) is None


async def test_an_item_of_three_deaths_runs_alone_and_says_so_before_it_begins() -> None:
    house = House()
    other, sent = house.item(0), house.item(0, stage="delivering")
    suspect = house.item(3)
    entering = asyncio.create_task(house.isolation.admit(suspect))
    await asyncio.sleep(3 * room.LOOK_EVERY)
    assert house.isolation.closed, "nothing is popped while it waits"
    assert not entering.done()
    late = house.item(3)
    waits = await house.isolation.admit(late)
    assert waits is not None, "two that want to be alone do not wait for each other"
    house.ends(late)
    house.ends(other)
    async with asyncio.timeout(60):
        assert await entering is None
    assert house.told == [[False, True]], "who only sends its outcome kills nobody"
    assert house.isolation.closed
    house.ends(suspect)
    assert not house.isolation.closed
    assert house.opened == 1
    house.ends(sent)


def test_who_cannot_be_alone_soon_lets_the_others_work() -> None:
    house = House()
    house.item(0)
    suspect = house.item(3)

    async def admitted() -> float:
        """Return for how many seconds it waited."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await house.isolation.admit(suspect) is not None
        assert not house.isolation.closed
        return loop.time() - began

    async def twice() -> list[float]:
        return [await admitted(), await admitted()]

    took = in_virtual_time(twice())
    assert took == pytest.approx([room.PATIENCE, 2 * room.PATIENCE]), "it waits longer each time"
    assert house.opened == 2


async def test_a_stop_while_it_waits_lets_the_others_work() -> None:
    house = House()
    house.item(0)
    entering = asyncio.create_task(house.isolation.admit(house.item(3)))
    await asyncio.sleep(room.LOOK_EVERY)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert not house.isolation.closed
    assert house.opened == 1


async def test_a_mark_that_nobody_counted_for_makes_no_suspect() -> None:
    house = House()
    house.item(0)
    assert await house.isolation.admit(house.item(0, said=9)) is None
    assert not house.isolation.closed


async def test_where_nothing_can_be_read_the_mark_tells() -> None:
    house = House()
    house.refuses = True
    assert await house.isolation.admit(house.item(0, said=3)) is None
    assert house.isolation.closed
