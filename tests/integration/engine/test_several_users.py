"""Workers of one queue that sign in as different ordinary users share what a fleet shares."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.conftest import (
    PASSWORD,
    USER,
    create_queue,
    settings_for,
    until_finished,
)
from worker import State, connect, handler
from worker.engine.daemon import Daemon
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.factory import make_client

WORKERS = ("ann", "bob")
WORKS = 22


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    users, plain = {USER: PASSWORD}, dict.fromkeys(WORKERS, PASSWORD)
    options = ServerOptions(port=0, grpc_port=0, users=users, plain_users=plain)
    async with LocalServer(options) as running:
        yield running


@pytest.fixture
async def admin(server: LocalServer, tmp_path: Path) -> AsyncIterator[Client]:
    client = make_client(settings_for(server.ws_url, tmp_path / "admin", client="native"))
    await client.connect()
    yield client
    await client.disconnect()


async def queue(admin: Client, name: str) -> None:
    users = [(await admin.query("users", {"name": name}))[0] for name in WORKERS]
    acl = [{"_id": user["_id"], "rights": WORKS} for user in users]
    await create_queue(admin, name, _acl=acl)


async def test_state_and_presence_are_shared_between_users_of_a_queue(
    server: LocalServer, admin: Client, client_name: str, tmp_path: Path
) -> None:
    numbers: list[int] = []
    begun: list[bool] = []
    both = asyncio.Barrier(2)  # each of the workers has one at a time: both take part

    @handler("q", concurrency=1)
    async def work(payload: dict[str, Any], state: State) -> None:
        async with asyncio.timeout(60):
            await both.wait()
        async with state.lock("ledger"):
            numbers.append(await state.counter("vouchers").add())
        # By the server's clock, which is a document of whoever asked first.
        begun.append(await state.once("mail", keep="1h"))

    await queue(admin, "q")
    for _ in range(4):
        await admin.push_workitem("q", {})
    async with AsyncExitStack() as stack:
        for user in WORKERS:
            settings = settings_for(
                server.ws_url, tmp_path / user, client=client_name, username=user
            )
            daemon = Daemon(settings, [work])
            await daemon.start()
            stack.push_async_callback(daemon.stop)
        done = await until_finished(admin, "q", 4)
        assert {item["state"] for item in done} == {"successful"}
        assert sorted(numbers) == [1, 2, 3, 4]
        assert sorted(begun) == [False, False, False, True]
        seen = []
        for user in WORKERS:
            settings = settings_for(server.ws_url, tmp_path / "look", username=user)
            client = make_client(settings.model_copy(update={"client": "native"}))
            await client.connect()
            seen.append(await client.count("openiap_workers", {"_type": "worker"}))
            await client.disconnect()
        assert seen == [2, 2], "each sees the other's heartbeat, and could take over"


async def test_a_unique_push_of_one_user_finds_the_item_of_another(
    server: LocalServer, admin: Client, client_name: str, tmp_path: Path
) -> None:
    @handler("q")
    async def work(payload: dict[str, Any]) -> None: ...

    await queue(admin, "q")
    ids = []
    for user in WORKERS:
        settings = settings_for(server.ws_url, tmp_path, client=client_name, username=user)
        async with connect(settings):
            pushed = await work.push({"by": user}, unique="4711", unique_for="1h")
            ids.append(pushed.id)
    assert ids[0] == ids[1]
    assert await admin.count("workitems", {"wiq": "q"}) == 1
