"""Waiting for an item: who finds none is told why, and none is lost."""

import asyncio

import pytest

from tests.integration.engine.conftest import DEADLINE
from tests.integration.engine.pulling.conftest import QUEUE, both_clients
from worker import (
    NoItem,
    NoProducer,
    connect,
)
from worker.errors import WorkerError
from worker.openiap.errors import QueueNotFound
from worker.producer.connect import connect as without_engine
from worker.producer.taking import wanted


@both_clients
async def test_a_wait_that_is_cancelled_loses_no_item(producer, push, stored) -> None:
    """Whenever the cancellation comes: before, while, and after the item does."""
    await push()
    for pause in (0.0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.05, 0.1):

        async def works() -> None:
            async with producer.take(QUEUE):
                pass

        task = asyncio.create_task(works())
        await asyncio.sleep(0)
        await push({"pause": pause})
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(DEADLINE):
        async for item in producer.items(QUEUE, wait=1):
            item.result = {"worked": True}
    found = await stored()
    assert {(one["state"], one["retries"]) for one in found} == {("successful", 0)}
    assert len(found) == 8


async def test_an_item_that_comes_as_its_wait_is_over_goes_back(producer, push, stored) -> None:
    await push({"n": 1}, {"n": 2})
    asked = wanted(QUEUE, None, None)
    async with asyncio.timeout(DEADLINE):
        block = await asyncio.wrap_future(producer.pulls.ask(asked))
        producer.pulls.forget(asked)
        async with producer.take(QUEUE) as item:  # it holds neither item nor slot
            assert item.id != block.item.id or item.attempt == 1
        while [one["state"] for one in await stored()].count("processing"):
            await asyncio.sleep(0.02)
    assert [one["retries"] for one in await stored()] == [0, 0]


async def test_who_finds_nothing_is_told_why(producer, push, settings, tmp_path) -> None:
    await push()
    with pytest.raises(NoItem, match="no item of taken now") as none:
        async with producer.take(QUEUE, wait=0):
            pass
    assert none.value.empty
    with pytest.raises(NoItem, match="no item of taken within 300ms") as none:
        async with producer.take(QUEUE, wait=0.3):
            pass
    assert none.value.empty
    with pytest.raises(QueueNotFound):
        async with producer.take("nobody-made-it"):
            pass
    with pytest.raises(ValueError, match="timeout"):
        producer.take(QUEUE, timeout=0)
    with pytest.raises(ValueError, match="queue"):
        producer.take("")
    async with without_engine(settings) as bare:
        with pytest.raises(NoProducer):
            bare.take(QUEUE)


async def test_who_waits_while_the_connection_closes_is_told(settings, push) -> None:
    await push()
    async with connect(settings) as producer:
        waiting = asyncio.create_task(producer.take(QUEUE, wait=None).__aenter__())
        await asyncio.sleep(0.3)
    with pytest.raises(WorkerError, match="the connection is closed"):
        await waiting
    with pytest.raises(WorkerError, match="the connection is closed"):
        await producer.take(QUEUE).__aenter__()


async def test_a_new_item_is_taken_at_once_by_who_waits_for_ever(producer, push) -> None:
    await push()

    async def one() -> str:
        async with producer.take(QUEUE, wait=None) as item:
            return item.id
        return ""

    waiting = asyncio.create_task(one())
    await asyncio.sleep(0.5)
    (id,) = await push({})
    async with asyncio.timeout(DEADLINE):
        assert await waiting == id


@both_clients
async def test_a_server_that_is_away_is_no_empty_queue(server, push, settings) -> None:
    await push()
    async with connect(settings) as producer:
        with pytest.raises(NoItem):
            async with producer.take(QUEUE, wait=0):
                pass
        await server.stop()
        with pytest.raises(NoItem) as none:
            async for _ in producer.items(QUEUE, wait=0.5):
                pass
        assert not none.value.empty
        with pytest.raises(NoItem) as none:
            async for _ in producer.items("another", wait=0.5):
                pass
        assert not none.value.empty
