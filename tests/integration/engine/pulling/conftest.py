"""A program that takes items, beside the server of ``tests/integration/engine/conftest.py``."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.integration.engine.conftest import CLIENTS, create_queue
from worker import Producer, connect
from worker.openiap.client import Client
from worker.settings import Settings

Push = Callable[..., Awaitable[list[str]]]
Stored = Callable[[], Awaitable[list[dict[str, Any]]]]
QUEUE = "taken"
both_clients = pytest.mark.parametrize("client_name", CLIENTS, indirect=True)


@pytest.fixture(params=["native"])
def client_name(request: pytest.FixtureRequest) -> str:
    """One client for most tests: which one it is matters below the engine alone."""
    return str(request.param)


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[Producer]:
    async with connect(settings) as found:
        yield found


@pytest.fixture
def push(client: Client) -> Push:
    """Make the queue, and push items to it; returns their ids."""

    async def pushed(*payloads: dict[str, Any], **more: Any) -> list[str]:
        if not await client.query("mq", {"name": QUEUE}):
            await create_queue(client, QUEUE, **more)
        return [(await client.push_workitem(QUEUE, one, name="n")).id for one in payloads]

    return pushed


@pytest.fixture
def stored(client: Client) -> Stored:
    """Return the queue's items in the order in which they were pushed."""

    async def found() -> list[dict[str, Any]]:
        return await client.query("workitems", {"wiq": QUEUE}, orderby={"_id": 1})

    return found
