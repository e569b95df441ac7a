"""Outcomes are sent until the server has them, and a refusal is not believed at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.integration.engine.conftest import create_queue, until_finished, until_idle
from worker import Item, handler
from worker.openiap.client import Client
from worker.openiap.errors import PayloadTooLarge


def impatient(update: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return the client's method, which waits for a reply no longer than a second."""

    async def update_soon(*args: Any, **options: Any) -> Any:
        return await update(*args, **{**options, "timeout": 1.0})

    return update_soon


def written_by(client: Client) -> str:
    """Return the command by which outcomes are written."""
    return "updatedocument" if client.capabilities.conditional_updates else "updateworkitem"


async def test_a_server_whose_database_is_away_costs_no_finished_work(
    client, start, server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.delivery.writeback.WAIT_MAX", 0.2)
    runs = []

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        runs.append(item.id)
        server.faults.refuse |= {"updateworkitem": 6, "updatedocument": 6}
        return {"done": True}

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"
    assert done["payload"] == {"done": True}
    assert len(runs) == 1
    assert server.faults.refuse["updateworkitem"] == 0


async def test_what_is_refused_for_long_ends_as_failed_with_the_reason(
    client, start, server
) -> None:
    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        server.faults.refuse[written_by(client)] = 1
        return {"done": True}

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    daemon = await start(work, refusal_patience=0.0)
    async with asyncio.timeout(60):
        while daemon.counts()["q"].finished < 1:
            await asyncio.sleep(0.01)
    await until_idle(daemon)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "failed"
    assert done["errormessage"] == (
        "OpenIAP refused the outcome of the handler: the database does not answer (fault)"
    )
    assert done["errorsource"] == "no traceback, nothing was raised"


async def test_an_unknown_chain_target_is_no_reason_to_repeat(client, start) -> None:
    """The server answers with an error although the state has changed (server.md, Update)."""
    runs = []

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        runs.append(item.id)
        return {"done": True}

    await create_queue(client, "q", success_wiq="nowhere")
    await client.push_workitem("q", {})
    daemon = await start(work)
    (done,) = await until_finished(client, "q")
    await until_idle(daemon)
    assert done["state"] == "successful"
    assert len(runs) == 1
    assert daemon.counts()["q"].successful == 1


async def test_a_lost_reply_is_read_back_before_anything_is_repeated(
    client, start, server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only updates give up soon: a pop that did would leave its item to the rescuer.
    for name in ("update_workitem", "update_document"):
        monkeypatch.setattr(type(client), name, impatient(getattr(type(client), name)))

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        if item.attempt == 1:
            server.faults.lose_replies[written_by(client)] = 1
            raise RuntimeError("first")
        return {"done": True}

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    daemon = await start(work)
    await until_finished(client, "q")
    await until_idle(daemon)  # the first attempt as well, which had no reply for so long
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"
    assert done["retries"] == 1, "the retry was applied once, although its reply was lost"


async def test_an_outcome_that_is_refused_for_long_holds_no_slot(
    client, start, server, monkeypatch
) -> None:
    monkeypatch.setattr("worker.engine.delivery.refusals.OVERDUE_AFTER", 0.0)
    monkeypatch.setattr(
        "worker.engine.delivery.writeback.WAIT_MAX", 1.0
    )  # or a slow machine waits for long

    @handler("q", concurrency=1)
    async def work(payload: dict) -> dict:
        return {"done": True}

    await create_queue(client, "q")
    for n in (1, 2, 3):
        await client.push_workitem("q", {"n": n})
    server.faults.refuse |= {"updateworkitem": 1_000_000, "updatedocument": 1_000_000}
    daemon = await start(work)
    async with asyncio.timeout(60):
        while daemon.counts()["q"].popped < 3:
            await asyncio.sleep(0.01)
    assert daemon.counts()["q"].successful == 0, "all are still refused"
    server.faults.refuse.clear()
    await until_finished(client, "q", 3)
    await until_idle(daemon)
    assert daemon.counts()["q"].successful == 3


async def test_an_item_tells_how_long_the_server_took_for_its_outcome(
    client, start, monkeypatch
) -> None:
    # Elsewhere nothing has to be known of it.
    monkeypatch.setattr("worker.engine.queue_workers.pops_compete", lambda server: True)

    @handler("q")
    async def work(payload: dict) -> None: ...

    await create_queue(client, "q")
    daemon = await start(work)
    await client.push_workitem("q", {})
    await until_finished(client, "q")
    await until_idle(daemon)
    assert daemon._workers.consumers["q"].turns._pace.write


async def test_a_payload_that_no_link_carries_is_refused_before_it_is_sent(client) -> None:
    await create_queue(client, "q")
    with pytest.raises(PayloadTooLarge) as caught:
        await client.push_workitem("q", {"a": "x" * 20_000_000})
    assert str(caught.value) == (
        "push_workitem: the payload has 20000008 bytes, more than the 16711680 that OpenIAP"
        " carries; attach big data as a file"
    )
    assert client.connected
    assert await client.count("workitems", {"wiq": "q"}) == 0
