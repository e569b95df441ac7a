"""The door over every client and transport, against the local server.

A client of another name joins all contract tests by its word in ``CLIENTS``.
"""

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.types import ClientEvent, ConnectionOptions
from worker.openiap.workitem import JsonObject

CLIENTS = ["official", "native"]
TRANSPORTS = ["ws", "grpc"]

ONLY_OFFICIAL = pytest.mark.parametrize(
    "idle_door", ["official-ws", "official-grpc"], indirect=True
)
"""For the traps that only the official library has."""

_CLASSES = {
    "official": ("worker.openiap.official.client", "OfficialClient"),
    "native": ("worker.openiap.native", "NativeClient"),
}
USER = "tester"
PASSWORD = "secret"


def make_client(kind: str, options: ConnectionOptions) -> Client:
    """Return an unconnected client of a kind."""
    module, name = _CLASSES[kind]
    client: Client = getattr(importlib.import_module(module), name)(options)
    return client


@dataclass
class Door:
    """A client under test, its server, and the way to more clients like it."""

    kind: str
    transport: str
    server: LocalServer
    stack: AsyncExitStack
    events: list[ClientEvent] = field(default_factory=list)
    client: Client = field(init=False)

    @property
    def url(self) -> str:
        return self.server.ws_url if self.transport == "ws" else self.server.grpc_url

    def options(self, **changes: Any) -> ConnectionOptions:
        settings: dict[str, Any] = {
            "url": self.url,
            "username": USER,
            "password": PASSWORD,
            "http_url": self.server.http_url,
            "default_timeout": 60.0,
        }
        return ConnectionOptions(**(settings | changes))

    def make(self, **changes: Any) -> Client:
        """Return an unconnected client that is closed when the test ends."""
        client = make_client(self.kind, self.options(**changes))
        self.stack.push_async_callback(client.disconnect)
        return client

    async def another(self, **changes: Any) -> Client:
        """Return one more client, signed in."""
        client = self.make(**changes)
        await client.connect(timeout=60)
        return client

    async def queue(self, name: str, **fields: Any) -> JsonObject:
        """Make a work item queue through its document, which every client can write."""
        document = {"_type": "workitemqueue", "name": name, "maxretries": 3, "retrydelay": 0}
        return await self.client.insert_one("mq", document | {"initialdelay": 0} | fields)


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    options = ServerOptions(users={USER: PASSWORD}, wakeup_interval=0.2, wakeup_spacing=0.0)
    async with LocalServer(options) as running:
        yield running


@pytest.fixture(params=[f"{client}-{transport}" for client in CLIENTS for transport in TRANSPORTS])
async def idle_door(request: pytest.FixtureRequest, server: LocalServer) -> AsyncIterator[Door]:
    """The door with a client that is not connected yet."""
    kind, _, transport = request.param.partition("-")
    async with AsyncExitStack() as stack:
        door = Door(kind, transport, server, stack)
        door.client = door.make()
        door.client.on_client_event(door.events.append)
        yield door


@pytest.fixture
async def door(idle_door: Door) -> Door:
    """The door with a client that is signed in."""
    await idle_door.client.connect(timeout=60)
    return idle_door


@pytest.fixture
def names(door: Door) -> Callable[[], list[str]]:
    """The connection events so far, by name."""
    return lambda: [event.event for event in door.events]
