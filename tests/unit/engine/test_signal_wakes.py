"""Who wakes an item that is told something: one worker, and the others do nothing."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.engine.awaiting import wakes
from worker.engine.awaiting.waker import SignalWaker, Told
from worker.engine.awaiting.wakes import SignalWakes
from worker.openiap.client import Client
from worker.openiap.errors import Disconnected
from worker.openiap.pool import Pool
from worker.telemetry.log import Log

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Fleet:
    def __init__(self, ranks: Mapping[str, int | None]) -> None:
        self.ranks = ranks

    def server_now(self) -> datetime:
        return NOW

    def rank(self, queue: str) -> int | None:
        return self.ranks[queue]

    async def peers(self) -> list[object]:
        return []


class House:
    """A worker's wakes, and what it asked and woke."""

    def __init__(self, **ranks: int | None) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, list[Any]] = {}
        self.woken: list[tuple[str, tuple[str, ...]]] = []
        self.watch: Any = None
        client = SimpleNamespace(
            server_config={"supports_watch": True},
            query=self._query,
            watch=self._watch,
            insert_one=self._insert,
            delete_one=self._insert,
        )
        self.wakes = SignalWakes(
            tuple(ranks),
            client=cast(Client, client),
            pool=cast(Pool, SimpleNamespace(wait_ready=self._nothing)),
            fleet=Fleet(ranks),
            waker=cast(SignalWaker, SimpleNamespace(wake=self._wake)),
            every=15.0,
            woken=lambda queue: None,
            log=Log("error"),
        )

    async def _nothing(self, *_: Any) -> None:
        return None

    async def _query(self, collection: str, query: Any, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(collection)
        return self.answers.get(collection, [])

    async def _watch(self, collection: str, paths: Any, callback: Any) -> str:
        self.watch = callback
        return "watch"

    async def _insert(self, collection: str, document: Any) -> None:
        if isinstance(document, dict):
            self.watch(SimpleNamespace(document=document, operation="insert"))

    async def _wake(self, told: Told, queues: list[str]) -> bool:
        self.woken.append((told.id, tuple(queues)))
        return True

    def hear(self, id: str, **fields: str) -> None:
        document = {"_id": id, "item": f"item {id}", "name": "approval", **fields}
        self.watch(SimpleNamespace(document=document, operation="insert"))

    async def round(self) -> float:
        pause = await self.wakes.round()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return pause


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(wakes, "uptime", lambda: now[0])
    return now


async def test_the_leading_worker_wakes_at_once_and_the_next_one_a_second_later(clock) -> None:
    house = House(mine=0, second=1, third=2)
    pause = await house.round()
    assert house.wakes.heard, "its own document tried out the watch"
    assert pause == wakes.SELDOM
    house.hear("1", wiq="mine")
    house.hear("2", wiq="second")
    house.hear("3", wiq="third")
    house.hear("4", wiq="another")
    house.hear("5")
    assert await house.round() == wakes.NEXT_IN_LINE
    assert house.woken == [("1", ("mine",)), ("5", ("mine", "second"))]
    clock[0] += wakes.NEXT_IN_LINE
    await house.round()
    assert house.woken[2:] == [("2", ("second",))]


async def test_a_signal_wakes_while_a_look_waits_for_its_answer(clock) -> None:
    house = House(q=0)
    await house.round()
    answered = asyncio.Event()

    async def slow(*_: Any, **__: Any) -> list[Any]:
        await answered.wait()
        return []

    house.wakes._reader.query = slow  # type: ignore[method-assign]
    house.wakes.parked("other")
    look = asyncio.create_task(house.wakes.round())
    await asyncio.sleep(0)
    house.hear("1", wiq="q")
    for _ in range(3):
        await asyncio.sleep(0)
    assert (house.woken, look.done()) == ([("1", ("q",))], False)
    answered.set()
    await look


async def test_a_link_that_comes_while_a_look_goes_on_is_looked_over_as_well(clock) -> None:
    house = House(q=0)
    answered = asyncio.Event()

    async def slow(*_: Any, **__: Any) -> list[Any]:
        await answered.wait()
        return []

    query, house.wakes._reader.query = house.wakes._reader.query, slow  # type: ignore[method-assign]
    look = asyncio.create_task(house.wakes.round())
    for _ in range(3):
        await asyncio.sleep(0)
    house.wakes.signed_in()
    answered.set()
    assert await look == 0.0
    house.wakes._reader.query = query  # type: ignore[method-assign]
    assert await house.round() == wakes.SELDOM


async def test_a_look_that_fails_is_made_again(clock) -> None:
    house = House(q=0)
    query = house.wakes._reader.query

    async def broken(*_: Any, **__: Any) -> list[Any]:
        raise Disconnected("away", operation="query")

    house.wakes._reader.query = broken  # type: ignore[method-assign]
    with pytest.raises(Disconnected):
        await house.round()
    house.wakes._reader.query = query  # type: ignore[method-assign]
    assert await house.round() == wakes.SELDOM
    assert house.asked == [wakes.COLLECTION]


async def test_signals_beyond_bounds_are_looked_for_and_not_kept(clock, monkeypatch) -> None:
    monkeypatch.setattr(wakes, "MOST_TOLD", 2)
    house = House(q=0)
    await house.round()
    answered = asyncio.Event()

    async def slow(told: Told, queues: list[str]) -> bool:
        await answered.wait()
        return True

    house.wakes._waker.wake = slow  # type: ignore[method-assign]
    for number in range(5):
        house.hear(str(number), wiq="q")
        await asyncio.sleep(0)
    assert len(house.wakes._waking) == 2
    await house.round()
    assert house.asked == [wakes.COLLECTION] * 2
    answered.set()
    await house.wakes.stop()


async def test_an_item_that_was_woken_is_not_woken_again(clock) -> None:
    house = House(q=1)
    await house.round()
    house.hear("1", wiq="q")
    house.wakes.changed("item 1")
    clock[0] += 10
    await house.round()
    assert house.woken == []


async def test_nothing_is_asked_for_while_nothing_happens(clock) -> None:
    house = House(q=0)
    await house.round()
    assert house.asked == [wakes.COLLECTION], "what was told before"
    clock[0] += wakes.SELDOM - 1
    await house.round()
    assert len(house.asked) == 1
    house.wakes.signed_in()
    await house.round()
    assert len(house.asked) == 2, "what was told while the link was away"
    other = House(q=3)
    await other.round()
    assert other.asked == []


async def test_without_a_watch_they_are_looked_for_at_the_pace_of_polls(clock) -> None:
    house = House(q=None)
    house.wakes._client.server_config.clear()
    assert await house.round() == 15.0
    clock[0] += 15
    await house.round()
    assert len(house.asked) == 2


async def test_what_was_put_back_is_looked_at_once_more(clock) -> None:
    house = House(q=5)
    await house.round()
    house.wakes.parked("1")
    house.wakes.parked("2")
    await house.round()
    assert len(house.asked) == 1, "for both at once"
    document = {"_id": "old", "item": "3", "name": "scan", "_created": "2026-03-01T00:00:00.000Z"}
    waits = {"until": None, "signals": ["scan"]}
    item = {"_id": "3", "state": "new", "wiq": "q", "openiap_worker_waits": waits}
    house.answers = {wakes.COLLECTION: [document], "workitems": [item]}
    house.wakes.parked("3", ["old"])
    await house.round()
    assert house.woken == [], "it was not for this that it waits"
    house.wakes.parked("3")
    await house.round()
    assert house.woken == [("old", ("q",))]
