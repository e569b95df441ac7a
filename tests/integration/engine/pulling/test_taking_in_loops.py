"""What a loop over items leaves behind it, however it is left."""

import asyncio

import pytest

from tests.integration.engine.conftest import DEADLINE
from tests.integration.engine.pulling.conftest import QUEUE, both_clients
from worker import (
    BusinessError,
)
from worker.item.taken import LEFT_EARLY


@both_clients
async def test_a_loop_takes_one_after_another_until_the_queue_is_empty(
    producer, push, stored
) -> None:
    await push(*({"n": n} for n in range(5)))
    seen = []
    async with asyncio.timeout(DEADLINE):
        async for item in producer.items(QUEUE):
            seen.append(item.payload["n"])
            if item.payload["n"] == 1:
                item.fail(BusinessError("one"))
            if item.payload["n"] == 2:
                async with item:
                    raise BusinessError("two")
            item.result = {"done": True}
    assert sorted(seen) == [0, 1, 2, 3, 4]
    states = [(one["state"], one.get("errormessage") or "") for one in await stored()]
    done, ended = ("successful", ""), ["one", "two"]
    assert states == [done, ("failed", ended[0]), ("failed", ended[1]), done, done]


@both_clients
async def test_loops_side_by_side_leave_no_item_in_the_queue(producer, push, stored) -> None:
    """A pop that finds nothing says nothing of the item that another one is just bringing."""

    async def loop() -> None:
        async for _ in producer.items(QUEUE):
            await asyncio.sleep(0.01)

    async with asyncio.timeout(DEADLINE):
        for _ in range(8):
            await push(*({"n": n} for n in range(5)))
            await asyncio.gather(loop(), loop())
            assert {one["state"] for one in await stored()} == {"successful"}


@pytest.mark.parametrize("how", ["break", "raise", "aclose"])
async def test_a_loop_that_is_left_early_says_nothing_of_its_last_item(
    producer, push, stored, how: str
) -> None:
    await push({"n": 1}, {"n": 2}, retrydelay=600)
    kept = []

    async def loop() -> None:
        async for item in producer.items(QUEUE):
            kept.append(item)
            if how == "break":
                break
            if how == "raise":
                raise KeyError("the body's")

    if how == "aclose":
        items = producer.items(QUEUE)
        await anext(items)
        await items.aclose()
    elif how == "raise":
        with pytest.raises(KeyError):
            await loop()
    else:
        await loop()

    async def settled() -> bool:
        return all(one["state"] == "new" for one in await stored())

    async with asyncio.timeout(DEADLINE):
        while not await settled():
            await asyncio.sleep(0.02)
    first, second = await stored()
    assert (first["errormessage"], first["retries"]) == (LEFT_EARLY, 1)
    assert (second.get("errormessage") or None, second["retries"]) == (None, 0)


async def test_a_loop_that_is_left_after_done_keeps_that(producer, push, stored) -> None:
    await push({"n": 1})
    async for item in producer.items(QUEUE):
        item.done({"a": 1})
        break

    async with asyncio.timeout(DEADLINE):
        while (await stored())[0]["state"] != "successful":
            await asyncio.sleep(0.02)
