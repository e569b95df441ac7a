"""Breakers of two workers over one document: one change holds, one item tries."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from worker import Breaker, BusinessError, Outage
from worker.engine.breakers.breakers import Breakers
from worker.engine.breakers.circuit import Circuit
from worker.engine.breakers.store import Written
from worker.engine.in_flight import Running
from worker.openiap.errors import RequestTimeout
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log

QUEUE = "orders"
BREAKER = Breaker("payments", on=ConnectionError, failures=2, pause=60)


class Server:
    """One queue's document, and what time it is."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.stored: dict[str, Circuit] = {}
        self.failures: list[datetime] = []
        self.denies = False
        self.down = False

    async def write(self, queue: str, name: str, before: int, circuit: Circuit) -> Written:
        await asyncio.sleep(0)
        if self.down:
            raise RequestTimeout("no answer", operation="update_document")
        if self.denies:
            return "denied"
        known = self.stored.get(name)
        if (0 if known is None else known.number) != before:
            return "changed"
        self.stored[name] = circuit
        return "done"

    async def count(self, queue: str, name: str, most: int, at: datetime) -> list[datetime]:
        self.failures.append(at)
        await asyncio.sleep(0)
        if self.down:
            raise RequestTimeout("no answer", operation="update_document")
        return self.failures[-most:]


class Fleet:
    def __init__(self, workers: int = 2) -> None:
        self.server = Server()
        self.seen: list[dict[str, Circuit]] = [{} for _ in range(workers)]
        self.said: list[str] = []
        self.workers = [self._worker(number) for number in range(workers)]

    def _worker(self, number: int) -> Breakers:
        def told(queue: str) -> Mapping[str, Circuit]:
            return self.seen[number]

        return Breakers(
            {QUEUE: (BREAKER,)},
            worker_id=f"w{number}",
            now=lambda: self.server.now,
            log=Log("warn", write=lambda level, line: self.said.append(line)),
            write=self.server.write,
            count=self.server.count,
            told=told,
        )

    def tell(self) -> None:
        """The watch tells all of them."""
        for number, worker in enumerate(self.workers):
            self.seen[number] = dict(self.server.stored)
            worker.note()

    async def rounds(self) -> None:
        for worker in self.workers:
            await worker.round()
        self.tell()

    async def open(self) -> None:
        await self.rounds()
        for _ in range(BREAKER.failures):
            await self.workers[0].weigh(item(), ConnectionError("away"))
        await self.rounds()

    def closed(self) -> list[bool]:
        return [worker.closed(QUEUE) for worker in self.workers]


def item(id: str = "i") -> Running:
    return Running(Workitem(id=id, wiq=QUEUE), 0.0, datetime.now(UTC), 0)


async def test_what_one_worker_finds_out_all_know() -> None:
    fleet = Fleet()
    await fleet.open()
    assert fleet.closed() == [True, True]
    assert fleet.server.stored["payments"].state == "open"
    fleet.server.now += timedelta(seconds=60)
    assert fleet.closed() == [False, False]
    assert [worker.one_only(QUEUE) for worker in fleet.workers] == [True, True]


async def test_failures_of_all_workers_count_together() -> None:
    fleet = Fleet()
    await fleet.rounds()
    for worker in fleet.workers:
        assert not worker.closed(QUEUE)
        assert await worker.weigh(item(), ConnectionError("away")) is not None
    assert fleet.closed() == [False, True], "the second one is the last that is needed"
    await fleet.rounds()
    assert fleet.closed() == [True, True]


async def test_failures_long_ago_do_not_count() -> None:
    fleet = Fleet()
    await fleet.rounds()
    for worker in fleet.workers:
        await worker.weigh(item(), ConnectionError("away"))
        fleet.server.now += timedelta(seconds=BREAKER.within + 1)
    assert fleet.closed() == [False, False]


async def test_while_the_server_is_away_each_counts_alone() -> None:
    fleet = Fleet()
    await fleet.rounds()
    fleet.server.down = True
    for worker in fleet.workers:
        assert await worker.weigh(item(), ConnectionError("away")) is not None
    assert fleet.closed() == [False, False]
    await fleet.workers[0].weigh(item(), ConnectionError("away"))
    assert fleet.closed() == [True, False]


async def test_of_two_that_would_try_one_does() -> None:
    fleet = Fleet()
    await fleet.open()
    fleet.server.now += timedelta(seconds=60)
    items = [item("a"), item("b")]
    for worker, one in zip(fleet.workers, items, strict=True):
        worker.popped(one)
        worker.popped(item("late"))
    assert fleet.closed() == [True, True], "each has popped its one"
    found = await asyncio.gather(
        *(worker.admit(one) for worker, one in zip(fleet.workers, items, strict=True))
    )
    assert [outcome is None for outcome in found] == [True, False]
    fleet.workers[1].left(items[1])
    assert fleet.closed() == [True, True], "and waits until it hears of it"
    fleet.workers[0].answered(items[0])
    fleet.workers[0].left(items[0])
    await fleet.rounds()
    assert fleet.closed() == [False, False]
    assert not any(worker.one_only(QUEUE) for worker in fleet.workers)


async def test_a_probe_that_tells_nothing_leaves_it_to_another() -> None:
    fleet = Fleet(1)
    await fleet.open()
    fleet.server.now += timedelta(seconds=60)
    (worker,), one = fleet.workers, item()
    worker.popped(one)
    assert await worker.admit(one) is None
    worker.left(one)  # the worker stops, say
    await fleet.rounds()
    assert worker.one_only(QUEUE)
    again = item()
    worker.popped(again)
    assert await worker.admit(again) is None
    assert await worker.weigh(again, ConnectionError("away")) is not None
    worker.left(again)
    assert fleet.closed() == [True]
    assert worker._lines[QUEUE].of("payments").pause == 120


async def test_both_open_at_once_and_one_document_holds() -> None:
    fleet = Fleet()
    await fleet.rounds()
    for worker in fleet.workers:
        await worker.weigh(item(), Outage("payments", after=30))
    await asyncio.gather(*(worker.round() for worker in fleet.workers))
    assert fleet.closed() == [True, True]
    fleet.tell()
    assert fleet.closed() == [True, True]
    assert [w._lines[QUEUE].of("payments").number for w in fleet.workers] == [2, 2]


async def test_while_the_server_is_away_it_is_open_here_and_told_later() -> None:
    fleet = Fleet()
    await fleet.rounds()
    fleet.server.down = True
    await fleet.workers[0].weigh(item(), Outage("payments"))
    assert await fleet.workers[0].round() == 1.0
    assert fleet.closed() == [True, False]
    fleet.server.down = False
    await fleet.rounds()
    assert fleet.closed() == [True, True]


async def test_without_the_right_it_is_this_workers_alone_and_said_once() -> None:
    fleet = Fleet()
    fleet.server.denies = True
    await fleet.open()
    await fleet.open()
    assert fleet.closed() == [True, False]
    assert fleet.server.stored == {}
    assert sum("this worker's alone" in line for line in fleet.said) == 2, "once by each"


@pytest.mark.parametrize("error", [BusinessError("wrong"), ValueError("x"), Outage("other")])
async def test_other_errors_are_none_of_its_business(error: Exception) -> None:
    fleet = Fleet(1)
    for _ in range(9):
        assert await fleet.workers[0].weigh(item(), error) is None
    assert fleet.closed() == [False]
