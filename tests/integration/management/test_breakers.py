"""While a system is away nothing is popped that needs it, and no item pays for it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.management.failures import INVOKE, ORDINARY, PASSWORD, READ, queue_for
from worker import Breaker, Outage, handler
from worker.app.options import Handler
from worker.engine.breakers.circuit import BREAKERS
from worker.engine.daemon import Daemon
from worker.management.errors import NotFoundError
from worker.management.queues.breakers import (
    Breakers,
    BreakersGetListPayload,
    BreakerUpdatePayload,
)
from worker.openiap.workitem import JsonObject, Workitem
from worker.testing.local_openiap import LocalOpenIAP
from worker.testing.worker_test import WorkerTest

DEADLINE = 60.0
FAILURES = 5
SLOTS = 8
AWAY_FOR = 600.0
PAUSE = 60.0


async def until(holds: Callable[[], bool], within: float = DEADLINE) -> None:
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.005)


class System:
    """Away until somebody says otherwise, or until a moment of the server's time."""

    def __init__(
        self, openiap: LocalOpenIAP, *, breaker: Breaker | None = None, slots: int = SLOTS
    ) -> None:
        self.openiap = openiap
        self.calls = 0
        self.away_until = float("inf")
        self.at_once: asyncio.Barrier | None = None
        """Who calls first waits until so many do."""
        payments = breaker or Breaker(
            "payments", on=(ConnectionError,), failures=FAILURES, pause=PAUSE, most="30m"
        )

        @handler("orders", concurrency=slots, breakers=[payments])
        async def orders(payload: dict[str, Any]) -> None:
            if self.at_once is not None and self.calls < self.at_once.parties:
                async with asyncio.timeout(DEADLINE):
                    await self.at_once.wait()
            self.call(payload)

        self.handler: Handler[..., Any] = orders

    def call(self, payload: dict[str, Any]) -> None:
        self.calls += 1
        if self.openiap.clock() < self.away_until:
            raise ConnectionError("nobody answers")

    @property
    def states(self) -> set[str]:
        return {item.state for item in self.openiap.items("orders")}


def shut(daemon: Daemon) -> bool:
    parts = daemon._parts
    assert parts is not None
    return parts.breakers.closed("orders") and not daemon.counts()["orders"].in_flight


async def circuit(openiap: LocalOpenIAP, queue: str = "orders") -> JsonObject:
    (document,) = await openiap.client.query("mq", {"name": queue})
    found: JsonObject = document.get(BREAKERS, {}).get("payments", {})
    return found


async def away_for_ten_minutes(
    openiap: LocalOpenIAP, count: int, step: float, *, workers: int = 1, slots: int = SLOTS
) -> None:
    """Push items of one attempt each to a system that comes back in ten minutes of the server's."""
    openiap.queue("orders", maxretries=1)
    system = System(openiap, slots=slots)
    system.away_until = openiap.clock() + AWAY_FOR
    system.at_once = asyncio.Barrier(workers * slots) if workers * slots <= FAILURES else None
    daemons = [await openiap.start_worker(system.handler) for _ in range(workers)]
    for start in range(0, count, 500):
        some = [Workitem(payload={"n": n}) for n in range(start, min(count, start + 500))]
        await openiap.client.push_workitems("orders", some)
    probes, ran_when_it_opened = 0, 0
    ended = ({"successful"}, {"failed"})
    while True:
        await until(lambda: all(map(shut, daemons)) or system.states in ended, within=4 * DEADLINE)
        assert "failed" not in system.states, "none pays for it"
        if system.states == {"successful"}:
            break
        if not ran_when_it_opened:
            ran_when_it_opened = system.calls
            assert FAILURES <= ran_when_it_opened <= FAILURES + workers * slots
        elif openiap.clock() < system.away_until:
            probes = system.calls - ran_when_it_opened
            assert probes <= 5, "after 1, 2, 4 and 8 minutes, and one that was in between"
        await openiap.advance(step)
        await asyncio.sleep(0.6)  # a heartbeat tells what time it is
    assert {item.attempts for item in openiap.items("orders")} == {1}
    assert system.calls <= count + ran_when_it_opened + 6


async def test_no_item_pays_for_a_system_that_is_away(openiap: LocalOpenIAP) -> None:
    await away_for_ten_minutes(openiap, 60, step=4 * PAUSE)


async def test_a_fleet_counts_failures_together(openiap: LocalOpenIAP) -> None:
    await away_for_ten_minutes(openiap, 60, step=4 * PAUSE, workers=5, slots=1)


@pytest.mark.dear
@pytest.mark.timeout(300)
async def test_hundreds_of_items_wait_for_a_system_that_is_away(openiap: LocalOpenIAP) -> None:
    await away_for_ten_minutes(openiap, 400, step=PAUSE)


async def test_a_fleet_knows_and_lets_one_item_through(openiap: LocalOpenIAP) -> None:
    openiap.queue("orders", maxretries=1)
    system = System(openiap)
    daemons = [await openiap.start_worker(system.handler) for _ in range(3)]
    for n in range(30):
        await openiap.push("orders", {"n": n})
    await until(lambda: all(map(shut, daemons)))
    assert (await circuit(openiap))["state"] == "open"
    before = system.calls
    assert before <= FAILURES + 3 * SLOTS
    await openiap.advance(PAUSE + 1)
    await until(lambda: system.calls > before)
    await until(lambda: all(map(shut, daemons)))
    await asyncio.sleep(0.6)
    assert system.calls == before + 1, "one item tried it, in the whole fleet"
    assert (await circuit(openiap))["pause"] == 2 * PAUSE
    system.away_until = 0.0
    await openiap.advance(2 * PAUSE + 1)
    await until(lambda: system.states == {"successful"})
    assert (await circuit(openiap))["state"] == "closed"


async def test_while_it_stays_closed_an_item_is_handed_back_three_times(
    openiap: LocalOpenIAP,
) -> None:
    openiap.queue("orders", maxretries=1)
    system = System(openiap)
    await openiap.start_worker(system.handler)
    await openiap.push("orders", {"n": 1})
    for _ in range(40):
        if system.states == {"failed"}:
            break
        await asyncio.sleep(0.1)
        await openiap.advance(2)
    assert system.states == {"failed"}
    assert system.calls == 4


async def test_an_outage_says_itself_for_how_long(openiap: LocalOpenIAP) -> None:
    openiap.queue("orders", maxretries=1)
    system = System(openiap, breaker=Breaker("payments"))

    def call(payload: dict[str, Any]) -> None:
        system.calls += 1
        if system.calls == 1:
            raise Outage("payments", after="5m", reason="they said so")

    system.call = call  # type: ignore[method-assign]
    daemon = await openiap.start_worker(system.handler)
    await openiap.push("orders", {"n": 1})
    await until(lambda: system.calls == 1 and shut(daemon))
    await until(
        lambda: daemon._parts is not None and "they said so" in daemon._parts.breakers.of("orders")
    )
    await openiap.advance(200)
    await asyncio.sleep(0.7)
    assert system.calls == 1
    await openiap.advance(101)
    await until(lambda: system.states == {"successful"})


async def test_without_the_right_to_update_the_queue_it_is_this_workers_alone(
    openiap: LocalOpenIAP,
) -> None:
    await queue_for(openiap, "orders", READ + INVOKE)
    system = System(openiap)
    daemon = await openiap.start_worker(
        system.handler, username=ORDINARY, password=PASSWORD, log_level="warn"
    )
    for n in range(10):
        await openiap.push("orders", {"n": n})
    await until(lambda: shut(daemon))
    assert await circuit(openiap) == {}
    before = system.calls
    system.away_until = 0.0
    await openiap.advance(PAUSE + 1)
    await until(lambda: system.states == {"successful"})
    assert before <= FAILURES + SLOTS


async def test_it_is_forced_by_hand(openiap: LocalOpenIAP) -> None:
    openiap.queue("orders", maxretries=1)
    system = System(openiap)
    system.away_until = 0.0
    daemon = await openiap.start_worker(system.handler)
    breakers = Breakers(openiap.client)
    async with asyncio.timeout(DEADLINE):
        while not await breakers.get_list(BreakersGetListPayload()):
            await asyncio.sleep(0.02)
    (opened,) = await breakers.update_one(BreakerUpdatePayload(name="payments", to="open"))
    assert (opened.queue, opened.stands, opened.forced) == ("orders", "shut", "open")
    await until(lambda: shut(daemon), 2)
    await openiap.push("orders", {"n": 1})
    await openiap.advance("2h")
    await asyncio.sleep(0.7)
    assert system.calls == 0, "whatever time goes by"
    await breakers.update_one(BreakerUpdatePayload(name="payments", to="close"))
    await until(lambda: system.states == {"successful"})
    system.away_until = float("inf")
    await openiap.push("orders", {"n": 2})
    await until(lambda: "failed" in system.states)
    assert system.calls == 2, "an error counts as any other"
    (left,) = await breakers.update_one(BreakerUpdatePayload(name="payments", to="auto"))
    assert (left.stands, left.forced) == ("popped", None)
    with pytest.raises(NotFoundError, match="there are: payments"):
        await breakers.update_one(BreakerUpdatePayload(name="other", to="open"))


@handler("orders", process=True, breakers=[Breaker("payments", on=ConnectionError, failures=1)])
def in_a_process(payload: dict[str, Any]) -> None:
    if payload.get("outage"):
        raise Outage("payments", after="5m")
    raise ConnectionRefusedError("nobody answers")


@handler("orders", breakers=[Breaker("payments", on=ConnectionError, failures=1)])
def in_a_thread(payload: dict[str, Any]) -> None:
    in_a_process(payload)


@pytest.mark.parametrize(
    ("chosen", "payload"),
    [
        pytest.param(in_a_process, {"outage": True}, marks=pytest.mark.dear),
        (in_a_thread, {}),
        (in_a_thread, {"outage": True}),
    ],
)
async def test_threads_processes_and_worker_test_know_of_it(
    worker_test: WorkerTest, chosen: Handler[..., Any], payload: dict[str, Any]
) -> None:
    run = await worker_test(chosen, payload, maxretries=1)
    assert run.outcome.kind == "released"
    assert "payments" in run.outcome.message
