"""Several pops at once where they do not disturb each other; one where that is enough."""

import asyncio

import pytest

from tests.integration.engine.conftest import DEADLINE, create_queue, until_finished, until_idle
from worker import handler
from worker.app.application import Application
from worker.engine.daemon import Daemon
from worker.openiap.api.workitems import WorkitemCalls
from worker.openiap.workitem import Workitem
from worker.settings import Settings


class Pops:
    """Counts the pops of all clients, and how many are in flight."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all = self.now = self.most = 0
        pop = WorkitemCalls.pop_workitem

        async def counted(calls: WorkitemCalls, *args, **more) -> Workitem | None:
            self.all += 1
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                return await pop(calls, *args, **more)
            finally:
                self.now -= 1

        monkeypatch.setattr(WorkitemCalls, "pop_workitem", counted)


@pytest.fixture
def pops(monkeypatch: pytest.MonkeyPatch) -> Pops:
    return Pops(monkeypatch)


@handler("q", concurrency=20)
async def work(payload: dict) -> None: ...


async def test_a_full_queue_is_popped_by_several_at_once(client, start, pops: Pops) -> None:
    await create_queue(client, "q")
    for n in range(100):
        await client.push_workitem("q", {"n": n})
    daemon = await start(work)
    await until_finished(client, "q", 100)
    await until_idle(daemon)
    assert 3 <= pops.most <= 8
    assert pops.all <= 100 + 20


async def test_a_single_item_takes_no_further_pops(client, start, pops: Pops) -> None:
    await create_queue(client, "q")
    daemon = await start(work, poll_interval=3600.0)
    async with asyncio.timeout(DEADLINE):
        while not pops.all or pops.now:
            await asyncio.sleep(0.01)
    before = pops.all
    await client.push_workitem("q", {})
    await until_finished(client, "q")
    await until_idle(daemon)
    assert (pops.most, pops.all - before) == (1, 2)


async def all_done(client, settings: Settings, work, count: int) -> None:
    """Have a worker empty a queue of so many items, wait for nothing, and end."""
    await create_queue(client, "q")
    for n in range(count):
        await client.push_workitem("q", {"n": n})
    changes = {"once": True, "poll_interval": 3600.0}
    daemon = Daemon(settings.model_copy(update=changes), Application.of(work))
    async with asyncio.timeout(DEADLINE):
        assert await daemon.run(signals=False) == 0
    assert await client.count("workitems", {"wiq": "q", "state": "successful"}) == count


async def test_it_ends_with_its_queue_however_many_pops_are_in_flight(
    client, settings: Settings
) -> None:
    await all_done(client, settings, work, 50)


async def test_one_slot_is_enough_for_all_that_pop(client, settings: Settings) -> None:
    """A slot that a pop was to fill, and did not, is another pop's: nobody waits for it."""

    @handler("q", concurrency=1)
    def one_by_one(payload: dict) -> None: ...

    await all_done(client, settings, one_by_one, 12)


async def test_those_that_wait_to_join_keep_no_stop_waiting(client, start) -> None:
    @handler("q", concurrency=1)
    def one_by_one(payload: dict) -> None: ...

    await create_queue(client, "q")
    daemon = await start(one_by_one, drain_timeout=600)
    await client.push_workitem("q", {})
    await until_finished(client, "q")
    async with asyncio.timeout(60):  # the drain would take ten times as long
        await daemon.stop()
