"""The server's rate limit: met once, known at the next start, and nothing is lost by it."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.engine.conftest import (
    DEADLINE,
    PASSWORD,
    USER,
    create_queue,
    settings_for,
)
from worker import handler
from worker.engine.daemon import Daemon
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.factory import make_client

LIMIT = 30
ITEMS = 60


@handler("limited", concurrency=8)
async def work(payload: dict) -> dict:
    return {"done": True}


async def worked(
    server: LocalServer, options: ServerOptions, folder: Path, client_name: str
) -> tuple[float, Daemon]:
    """Work items with a worker of its own life; returns the rate that it knew at its start, 0 for
    none, and itself, stopped."""
    settings = settings_for(server.ws_url, folder, client=client_name, rate_limit="auto")
    options.rate_limit = 0
    client = make_client(settings_for(server.ws_url, folder, client="native"))
    await client.connect()
    before = await client.count("workitems", {"wiq": "limited"})
    for number in range(ITEMS):
        await client.push_workitem("limited", {"n": number})
    options.rate_limit = LIMIT
    daemon = Daemon(settings, [work])
    await daemon.start()
    at_start = daemon.telemetry.counts.worker()["effective_rate"]
    try:
        async with asyncio.timeout(DEADLINE):
            while await client.count("workitems", {"wiq": "limited", "state": "successful"}) < (
                before + ITEMS
            ):
                await asyncio.sleep(0.2)  # seldom: these calls count, too
    finally:
        await daemon.stop()
        await client.disconnect()
    return at_start, daemon


@pytest.mark.dear
@pytest.mark.parametrize(
    "client_name", ["native", pytest.param("official", marks=pytest.mark.dear)], indirect=True
)
async def test_a_limit_is_met_once_and_known_at_the_next_start(
    client_name: str, tmp_path: Path
) -> None:
    options = ServerOptions(port=0, grpc_port=0, users={USER: PASSWORD}, rate_limit=LIMIT)
    async with LocalServer(options) as server:
        client = make_client(settings_for(server.ws_url, tmp_path / "x", client="native"))
        await client.connect()
        await create_queue(client, "limited")
        await client.disconnect()
        unknown, first = await worked(server, options, tmp_path / "state", client_name)
        assert unknown == 0
        assert first.telemetry.counts.worker()["rate_limited"] >= 1
        known, second = await worked(server, options, tmp_path / "state", client_name)
        assert 0.8 * LIMIT <= known <= 1.5 * LIMIT
        numbers = second.telemetry.counts.worker()
        assert 0.8 * LIMIT <= numbers["effective_rate"] <= 1.5 * LIMIT
        # One on a machine that has time: what it sends late meets what it sends in time.
        assert numbers["rate_limited"] < LIMIT
