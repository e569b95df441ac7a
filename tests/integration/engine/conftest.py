"""A real server, a real client and a whole daemon, in one loop and on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from worker.app.application import Application
from worker.app.options import Handler
from worker.engine.daemon import Daemon
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.openiap.workitem import JsonObject
from worker.settings import Settings, load

USER, PASSWORD = "tester", "secret"

CLIENTS = ["official", "native"]

official_is_dear = pytest.mark.parametrize(
    "client_name", ["native", pytest.param("official", marks=pytest.mark.dear)], indirect=True
)
"""For what is between the worker and a process of its own: the client has little part in it."""

DEADLINE = 60.0
"""Seconds that anything is waited for; only a failure takes so long."""


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    options = ServerOptions(
        users={USER: PASSWORD}, grpc_enabled=False, wakeup_interval=0.2, wakeup_spacing=0.01
    )
    async with LocalServer(options) as running:
        yield running


@pytest.fixture(params=CLIENTS)
def client_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(server: LocalServer, client_name: str, tmp_path: Path) -> Settings:
    return settings_for(server.ws_url, tmp_path / "state", client=client_name)


def settings_for(url: str, state_dir: Path, **more: Any) -> Settings:
    values = {
        "url": url,
        "username": USER,
        "password": PASSWORD,
        "state_dir": str(state_dir),
        "poll_interval": 0.2,
        "drain_timeout": 10,
        # No handler here is deaf, so this is how long a slow machine may take to write back.
        "cancel_timeout": 30,
        "rate_limit": 0,
        "reconnect_min": 0.05,
        "reconnect_max": 0.5,
        "log_level": "warn",
        **more,
    }
    return load(values, environment={}).settings


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    door = make_client(settings)
    await door.connect()
    yield door
    await door.disconnect()


Make = Callable[..., Awaitable[Daemon]]


@pytest.fixture
async def start(settings: Settings) -> AsyncIterator[Make]:
    """Start daemons that are stopped at the end of the test."""
    running: list[Daemon] = []

    async def begin(*handlers: Handler[..., Any] | Application, **changes: Any) -> Daemon:
        parts = handlers[0] if isinstance(handlers[0], Application) else Application.of(*handlers)
        daemon = Daemon(settings.model_copy(update=changes), parts)
        running.append(daemon)
        async with asyncio.timeout(DEADLINE):
            await daemon.start()
        return daemon

    begin.settings = settings  # type: ignore[attr-defined]
    yield begin
    for daemon in running:
        await daemon.stop()


async def create_queue(client: Client, name: str, **more: Any) -> str:
    """Make a queue through its document in ``mq``; works with every client."""
    document = {
        "_type": "workitemqueue",
        "name": name,
        "maxretries": 3,
        "retrydelay": 0,
        "initialdelay": 0,
        "amqpqueue": name,
        **more,
    }
    return str((await client.insert_one("mq", document))["_id"])


async def until_finished(
    client: Client, queue: str, count: int = 1, *, timeout: float = DEADLINE
) -> list[dict[str, Any]]:
    """Return the queue's items once so many of them are finished."""
    async with asyncio.timeout(timeout):
        while True:
            found = await client.query("workitems", {"wiq": queue}, top=1000)
            done = [d for d in found if d["state"] in ("successful", "failed")]
            if len(done) >= count:
                return done
            await asyncio.sleep(0.02)


async def until_one(client: Client, query: JsonObject, *, timeout: float = DEADLINE) -> JsonObject:
    """Return the one item that answers the query, once it is there."""
    async with asyncio.timeout(timeout):
        while not (found := await client.query("workitems", query)):
            await asyncio.sleep(0.02)
    (only,) = found
    return only


async def until_idle(daemon: Daemon) -> None:
    """Return once nothing is in flight: the server knows of a finish before the worker does."""
    async with asyncio.timeout(DEADLINE):
        while any(counts.in_flight for counts in daemon.counts().values()):
            await asyncio.sleep(0.01)
