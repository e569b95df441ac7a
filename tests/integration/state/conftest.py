"""Shared state over both clients, against the local server."""

import asyncio
import importlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.state.holder import PASSWORD, USER
from worker import State
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.types import ConnectionOptions
from worker.testing.memory_documents import memory_client

CLASSES = {
    "official": ("worker.openiap.official.client", "OfficialClient"),
    "native": ("worker.openiap.native", "NativeClient"),
}
MakeClient = Callable[..., Awaitable[Client]]


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    users = {USER: PASSWORD, "other": PASSWORD}
    async with LocalServer(ServerOptions(users=users, plain_users={"plain": PASSWORD})) as running:
        yield running


@pytest.fixture(params=["official", "native"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def make(kind: str, server: LocalServer) -> AsyncIterator[MakeClient]:
    """Return signed-in clients that are closed when the test ends."""
    async with AsyncExitStack() as stack:

        async def make(kind: str = kind, *, timeout: float = 60.0, url: str = "") -> Client:
            module, name = CLASSES[kind]
            options = ConnectionOptions(
                url=url or server.ws_url,
                username=USER,
                password=PASSWORD,
                default_timeout=timeout,
            )
            client: Client = getattr(importlib.import_module(module), name)(options)
            stack.push_async_callback(client.disconnect)
            await client.connect(timeout=60)
            return client

        yield make


@pytest.fixture
async def client(make: MakeClient) -> Client:
    return await make()


@pytest.fixture(params=[*CLASSES, "memory"])
async def state(request: pytest.FixtureRequest, server: LocalServer) -> AsyncIterator[State]:
    """Return state over a server with each client, and in memory."""
    if request.param == "memory":
        yield State(memory_client(), "test")
        return
    module, name = CLASSES[request.param]
    options = ConnectionOptions(url=server.ws_url, username=USER, password=PASSWORD)
    client: Client = getattr(importlib.import_module(module), name)(options)
    await client.connect(timeout=60)
    yield State(client, "test")
    await client.disconnect()


class Process:
    """A holder (``holder.py``) in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self, *, within: float = 60) -> Any:
        """Return its next answer."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within):
            line = await self._process.stdout.readline()
        assert line, f"it ended with {await self._process.wait()}"
        return json.loads(line)

    def tell(self, command: str) -> None:
        """Give it a command and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())

    async def ask(self, command: str) -> Any:
        self.tell(command)
        return await self.answer()

    def signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def end(self) -> None:
        self.signal(signal.SIGKILL)
        await self._process.wait()


@pytest.fixture
async def process(kind: str, server: LocalServer) -> AsyncIterator[Callable[..., Any]]:
    """Start holders that are killed when the test ends."""
    started: list[Process] = []

    async def start(kind: str = kind) -> Process:
        found = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.state.holder",
            server.ws_url,
            kind,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        one = Process(found)
        started.append(one)
        assert await one.answer() == "ready"
        return one

    yield start
    for one in started:
        await one.end()
