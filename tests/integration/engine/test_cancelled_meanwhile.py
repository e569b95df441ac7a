"""A cancellation that comes just before the end of an attempt: the item does not come again."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.integration.engine.conftest import create_queue
from tests.integration.engine.test_taking_over import Line, log, writeback
from worker import Backoff, Item, ItemFailed, Retry, connect, handler
from worker.engine.fleet.deaths import mark_of
from worker.engine.fleet.takeover import Orphan, TakeOver
from worker.openiap.client import Client
from worker.openiap.pool import Pool
from worker.openiap.workitem import JsonObject
from worker.producer.sender import ClientSender

LONG = 3600.0
"""Seconds until the worker would look for cancelled items by itself."""


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody leaves a note for the worker, as older programs do not."""

    async def nothing(self: ClientSender, document: JsonObject) -> None:
        return None

    monkeypatch.setattr(ClientSender, "_tell_worker", nothing)


async def failing(item: Item) -> None:
    raise LookupError("down")


async def again(item: Item) -> None:
    raise Retry(after="1h", reason="not yet")


async def sleeping(item: Item) -> None:
    await item.sleep("7d")


async def test_no_end_of_an_attempt_overwrites_that_its_item_is_cancelled(
    client, settings, start, untold
) -> None:
    calls: list[str] = []
    inside: dict[str, asyncio.Event] = {}
    cancelled = asyncio.Event()

    def handled(queue: str, end: Callable[[Item], Any], **options: Any) -> Any:
        @handler(queue, **options)
        async def work(payload: dict[str, Any], item: Item) -> None:
            calls.append(queue)
            inside[queue].set()
            await cancelled.wait()
            await end(item)

        inside[queue] = asyncio.Event()
        return work

    works = [
        handled("fails", failing),
        handled("backs-off", failing, retry=Backoff("1h")),
        handled("later", again),
        handled("sleeps", sleeping),
    ]
    for work in works:
        await create_queue(client, work.options.queue, retrydelay=600)
    await start(*works, heartbeat_interval=LONG, dead_after=3 * LONG)
    async with connect(settings), asyncio.timeout(60):
        pushed = [await work.push({}) for work in works]
        for one in inside.values():
            await one.wait()
        for one in pushed:
            assert await one.cancel("the order is gone") == "stopping"
        cancelled.set()
        for work, one in zip(works, pushed, strict=True):
            with pytest.raises(ItemFailed) as failed:
                await one.result("30s")
            said = (failed.value.code, failed.value.message, failed.value.errortype)
            assert said == ("CANCELLED", "the order is gone", "business"), work
            assert failed.value.raised == ""
    (stored,) = await client.query("workitems", {"wiq": "fails"})
    assert "LookupError: down" in stored["errorsource"]
    assert "nextrun" not in stored or stored["nextrun"] is None
    assert sorted(calls) == ["backs-off", "fails", "later", "sleeps"]


async def test_a_cancelled_item_that_its_program_gives_back_is_cancelled(
    client, settings, untold
) -> None:
    await create_queue(client, "taken")
    async with connect(settings.model_copy(update={"heartbeat_interval": LONG})) as producer:
        pushed = await producer.push("taken", {})
        async with producer.take("taken") as item:
            assert await pushed.cancel("no") == "stopping"
            item.release("not mine")
        assert item.state == "failed"
        with pytest.raises(ItemFailed, match="CANCELLED"):
            await pushed.result("30s")


async def test_a_cancelled_item_is_not_put_back_when_its_worker_has_died(client) -> None:
    await create_queue(client, "q")
    await client.push_workitem("q", {"n": 1})
    popped = await client.pop_workitem("q")
    assert popped is not None
    await ClientSender(client).cancel(popped.id, "no")
    pool, writes = cast(Pool, Line(client)), writeback(client, "heir")
    take = TakeOver(pool, writes, worker_id="heir", max_deaths=3, log=log())
    orphan = Orphan(popped, "w9", "died", died=True, gone=True)
    delivered = await take.take(orphan)
    assert (delivered.result, delivered.state) == ("applied", "failed")
    (stored,) = await client.query("workitems", {"wiq": "q"})
    assert (stored["state"], stored["errormessage"]) == ("failed", "[CANCELLED] no")
    assert stored["errorsource"] == mark_of(1)


class _BetweenLookAndMark:
    """A client whose first update comes after the item went back to its queue."""

    def __init__(self, client: Client, item_id: str) -> None:
        self._client = client
        self._id = item_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def update_workitem(self, item: JsonObject) -> Any:
        id, self._id = self._id, ""
        if id:
            await self._client.update_workitem({"_id": id, "state": "retry", "errormessage": "x"})
        return await self._client.update_workitem(item)


async def test_an_item_that_goes_back_while_it_is_cancelled_is_cancelled(client) -> None:
    await create_queue(client, "slow", retrydelay=600)
    id = (await client.push_workitem("slow", {})).id
    assert (await client.pop_workitem("slow")).id == id
    between: Any = _BetweenLookAndMark(client, id)
    assert await ClientSender(between).cancel(id, "no") == "cancelled"
    (stored,) = await client.query("workitems", {"_id": id})
    assert (stored["state"], stored["retries"]) == ("failed", 1)
    assert stored["errormessage"] == "[CANCELLED] no"
