"""A slot holds an item until its handler has ended; an outcome on its way holds none."""

import asyncio

import pytest

from tests.integration.engine.conftest import DEADLINE, create_queue, until_finished
from worker import handler
from worker.localserver import LocalServer

WRITES = ("updatedocument", "updateworkitem")


@pytest.mark.parametrize(("slots", "begun"), [(2, 4), (1, 1)])
@pytest.mark.parametrize("client_name", ["native"], indirect=True)
async def test_so_many_outcomes_are_on_their_way_as_there_are_slots(
    server: LocalServer, client, start, slots: int, begun: int
) -> None:
    running: set[int] = set()
    ran: list[int] = []
    most = 0

    @handler("q", concurrency=slots)
    async def work(payload: dict) -> None:
        nonlocal most
        running.add(payload["n"])
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.discard(payload["n"])
        ran.append(payload["n"])

    await create_queue(client, "q")
    for n in range(3 * slots):
        await client.push_workitem("q", {"n": n})
    server.faults.delay = dict.fromkeys(WRITES, 60.0)
    daemon = await start(work)
    async with asyncio.timeout(DEADLINE):
        while len(ran) < begun:
            await asyncio.sleep(0.01)
        # Pops that were asked for are answered by then, and no other item was among them.
        for _ in range(20):
            await client.count("workitems", {})
    assert len(ran) == begun
    assert daemon.counts()["q"].in_flight == begun
    assert most <= slots
    server.faults.delay.clear()
    await client.disconnect()
    await server.drop_connections()  # what waits there for a minute is sent again
    await client.connect()
    assert len(await until_finished(client, "q", 3 * slots)) == 3 * slots
    assert sorted(ran) == list(range(3 * slots))
