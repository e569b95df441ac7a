"""Whatever goes wrong around a link, the next one is tried: a worker is never left without."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.proxy import Proxy
from tests.integration.engine.conftest import create_queue, settings_for, until_finished
from worker import Item, handler
from worker.openiap.client import Client
from worker.openiap.connection import Connection, LinkTimes
from worker.openiap.factory import make_client
from worker.openiap.limiter import Limiter
from worker.telemetry.log import Log

TIMES = LinkTimes(reconnect_min=0.05, reconnect_max=0.2)


def connection(make: Callable[[], Client], on_connected) -> Connection:
    return Connection(
        "1",
        make,
        limiter=Limiter(0),
        times=TIMES,
        log=Log("error", write=lambda level, line: None),
        on_connected=on_connected,
        on_lost=lambda connection, reason: None,
    )


async def test_a_document_of_an_odd_form_at_the_sign_in_does_not_end_it(settings) -> None:
    rounds = 0

    async def on_connected(_: Connection) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise KeyError("a field that a document lacks")

    kept = connection(lambda: make_client(settings), on_connected)
    async with asyncio.timeout(60):
        await kept.start()
    assert kept.ready.is_set()
    assert rounds == 2
    await kept.stop()


async def test_an_error_of_the_system_while_connecting_does_not_end_it(
    server, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(server.ws_url, tmp_path, client="native")
    made: list[Client] = []

    def make() -> Client:
        made.append(make_client(settings))
        if len(made) == 1:

            async def connect(*_: object, **__: object) -> None:
                raise OSError(24, "Too many open files")

            monkeypatch.setattr(made[0], "connect", connect)
        return made[-1]

    async def on_connected(_: Connection) -> None: ...

    kept = connection(make, on_connected)
    async with asyncio.timeout(60):
        await kept.start()
    assert kept.ready.is_set()
    assert len(made) == 2
    await kept.stop()


async def test_a_link_that_is_away_costs_no_item_its_files(
    server, settings, start, client, tmp_path: Path
) -> None:
    """The handler has one attempt; its client has no link when it asks, and has one soon."""
    loop = asyncio.get_running_loop()
    async with Proxy(server.port) as proxy:

        @handler("reads", timeout="1m")
        async def reads(payload: dict[str, Any], item: Item) -> dict[str, Any]:
            file = item.files["in.bin"]
            proxy.refuse()
            loop.call_later(0.3, proxy.restore)
            size = await file.size()
            proxy.refuse()
            loop.call_later(0.3, proxy.restore)
            return {"size": size, "read": len((await file.path()).read_bytes())}

        await create_queue(client, "reads", maxretries=1)
        source = tmp_path / "in.bin"
        source.write_bytes(b"x" * 300_000)
        await client.push_workitem("reads", {}, files=[source])
        await start(reads, url=f"ws://127.0.0.1:{proxy.port}", reconnect_min=0.05, lease=60.0)
        (done,) = await until_finished(client, "reads")
    assert (done["state"], done["payload"]) == ("successful", {"size": 300_000, "read": 300_000})
    assert done["retries"] == 0
