"""The server's clock and this machine's differ: what items wait for is the server's time."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from tests.integration.engine.conftest import DEADLINE, PASSWORD, USER, create_queue
from worker import Retry, handler
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.fields import moment_of

APART = 3600.0


@pytest.fixture(params=[APART, -APART], ids=["the server is ahead", "the server is behind"])
def apart(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture
async def server(apart: float) -> AsyncIterator[LocalServer]:
    """One whose clock is an hour off this machine's."""
    options = ServerOptions(
        port=0,
        grpc_port=0,
        users={USER: PASSWORD},
        wakeup_interval=0.2,
        wakeup_spacing=0.01,
        clock=lambda: time.time() + apart,
    )
    async with LocalServer(options) as running:
        yield running


@pytest.fixture
def client_name() -> str:
    return "native"  # the official library cannot send the time of a retry (server.md, Update)


async def test_a_retry_waits_by_the_servers_clock(client, start, apart: float) -> None:
    @handler("q")
    async def work(payload: dict) -> None:
        raise Retry("10m")

    await create_queue(client, "q")
    await start(work)
    item = await client.push_workitem("q", {})
    async with asyncio.timeout(DEADLINE):
        while True:
            (found,) = await client.query("workitems", {"_id": item.id})
            if found["state"] == "new" and found["retries"] == 1:
                break
            await asyncio.sleep(0.05)
    due = moment_of(found["nextrun"])
    assert due is not None
    there = datetime.now(UTC).timestamp() + apart
    assert abs(due.timestamp() - there - 600) < DEADLINE


async def test_an_item_that_is_handed_back_is_due_at_once(client, start, apart: float) -> None:
    begun = asyncio.Event()

    @handler("q")
    async def work(payload: dict) -> None:
        begun.set()
        await asyncio.sleep(DEADLINE)

    await create_queue(client, "q")
    worker = await start(work, drain_timeout=0.1, cancel_timeout=5)
    await client.push_workitem("q", {})
    async with asyncio.timeout(DEADLINE):
        await begun.wait()
    await worker.stop()
    popped = await client.pop_workitem("q")
    assert popped is not None
    assert popped.retries == 0
