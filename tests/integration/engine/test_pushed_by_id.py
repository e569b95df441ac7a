"""Items by their ids, from anywhere: result, state, progress, and cancellation with rights."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from tests.integration.engine import process_deeds
from tests.integration.engine.conftest import (
    DEADLINE,
    PASSWORD,
    USER,
    create_queue,
    until_finished,
)
from worker import Item, ItemFailed, connect, handler, sync
from worker.item.cancelled import cancelled_because, cancelling
from worker.item.signals import COLLECTION
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.errors import ItemNotFound, OpenIAPError
from worker.openiap.workitem import FAILED
from worker.producer.pushed import Progress


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    options = ServerOptions(
        port=0,
        grpc_port=0,
        users={USER: PASSWORD},
        plain_users={"stranger": PASSWORD},
        wakeup_interval=0.2,
        wakeup_spacing=0.01,
    )
    async with LocalServer(options) as running:
        yield running


@handler("slow")
async def slow(payload: dict[str, Any], item: Item) -> dict[str, int]:
    await item.progress(0.5, "half")
    await asyncio.Event().wait()
    return {}


@handler("threads")
def in_thread(payload: dict[str, Any], item: Item) -> str:
    while not item.stopping:
        pass
    if payload.get("finishes"):
        return "done all the same"
    raise RuntimeError("asked to end")


@handler("quick")
async def quick(n: int) -> int:
    return n + 1


async def until(state: str, pushed: Any) -> None:
    async with asyncio.timeout(60):
        while await pushed.state() != state:
            await asyncio.sleep(0.02)


async def test_an_item_is_followed_and_read_by_its_id(client, settings, start) -> None:
    for queue in ("slow", "quick"):
        await create_queue(client, queue)
    await start(slow, quick)
    async with connect(settings) as producer:
        id = (await quick.push({"n": 1})).id
        assert await quick.pushed(id).result("1m") == 2
        assert (await producer.pushed(id).result("1m"))["result"] == 2
        assert await quick.pushed(id, via=producer).state() == "successful"
        runs = slow.pushed((await slow.push({})).id)
        async with asyncio.timeout(60):
            while (seen := await runs.progress()) is None:
                await asyncio.sleep(0.02)
        assert isinstance(seen, Progress)
        assert (seen.share, seen.text) == (0.5, "half")
        assert await runs.state() == "processing"
        for asked in (slow.pushed("65f000000000000000000000").state(), runs.result(0)):
            with pytest.raises((ItemNotFound, TimeoutError)):
                await asked
        with pytest.raises(ItemNotFound):
            await slow.pushed("65f000000000000000000000").cancel()
        with pytest.raises(TypeError, match=r"cancel\(5\): allowed: a reason, as a text"):
            await runs.cancel(5)  # type: ignore[arg-type]


async def test_an_item_that_waits_fails_with_code_cancelled(client, settings, start) -> None:
    await create_queue(client, "letters")
    await create_queue(client, "slow", failed_wiq="letters")
    async with connect(settings):
        pushed = await slow.push({"n": 1}, delay="1h")
        assert await slow.pushed(pushed.id).cancel("the order is gone") == "cancelled"
        with pytest.raises(ItemFailed) as failed:
            await pushed.result("1m")
        assert (failed.value.code, failed.value.message) == ("CANCELLED", "the order is gone")
        assert failed.value.errortype == "business"
        assert await pushed.cancel() == "ended"
    (letter,) = await client.query("workitems", {"wiq": "letters"})
    assert letter["payload"]["n"] == 1


@pytest.mark.parametrize("handled", [slow, in_thread, process_deeds.endless])
async def test_a_handler_whose_item_is_cancelled_is_asked_to_end_at_once(
    client, settings, start, handled: Any
) -> None:
    await create_queue(client, handled.options.queue, maxretries=5)
    await start(handled, heartbeat_interval=DEADLINE, dead_after=600)
    async with connect(settings):
        pushed = await handled.push({})
        await until("processing", pushed)
        assert await pushed.cancel("stop it") == "stopping"
        with pytest.raises(ItemFailed, match="stop it") as failed:
            await pushed.result(DEADLINE / 2)
        assert failed.value.code == "CANCELLED"
        raised = "; asked to end, its handler raised RuntimeError: asked to end"
        assert failed.value.message == f"stop it{'' if handled is slow else raised}"
    assert not await client.query(COLLECTION, {}), "the note is taken away"


async def test_a_cancelled_item_whose_handler_lets_it_sleep_is_cancelled(
    client, settings, start
) -> None:
    ends = asyncio.Event()

    @handler("naps")
    async def naps(payload: dict[str, Any], item: Item) -> None:
        try:
            await item.sleep("7d")
        finally:
            ends.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    await create_queue(client, "naps")
    await start(naps, heartbeat_interval=0.2, dead_after=2)
    async with connect(settings):
        pushed = await naps.push({})
        async with asyncio.timeout(60):
            await ends.wait()
        assert await pushed.cancel("stop it") == "stopping"
        with pytest.raises(ItemFailed, match="stop it") as failed:
            await pushed.result("20s")
    assert failed.value.code == "CANCELLED"


async def test_what_a_cancelled_handler_still_returns_counts(client, settings, start) -> None:
    await create_queue(client, "threads")
    await start(in_thread, heartbeat_interval=0.2, dead_after=2)
    async with connect(settings):
        pushed = await in_thread.push({"finishes": True})
        await until("processing", pushed)
        await pushed.cancel()
        assert await pushed.result("1m") == "done all the same"


async def test_a_cancelled_item_that_was_handed_back_is_not_worked_again(
    client, settings, start
) -> None:
    await create_queue(client, "slow")
    async with connect(settings):
        pushed = await slow.push({})
        popped = await client.pop_workitem("slow")
        assert await pushed.cancel("too late") == "stopping"
        stored = (await client.query("workitems", {"_id": pushed.id}))[0]
        assert (stored["state"], stored["payload"]) == ("processing", popped.payload)
        await client.update_one(
            "workitems", {**stored, "state": "new", "nextrun": "2020-01-01T00:00:00.000Z"}
        )
        await start(slow)
        (done,) = await until_finished(client, "slow")
    assert (done["state"], done["errormessage"]) == ("failed", "[CANCELLED] too late")


async def test_cancelling_takes_the_rights_that_an_update_takes(client, settings) -> None:
    await create_queue(client, "slow")
    async with connect(settings):
        pushed = await slow.push({})
    strangers = settings.model_copy(update={"username": "stranger"})
    async with connect(strangers):
        with pytest.raises(OpenIAPError):
            await slow.pushed(pushed.id).cancel()
    assert (await client.query("workitems", {"_id": pushed.id}))[0]["state"] == "new"


async def test_the_blocking_client_does_so_as_well(client, settings, start) -> None:
    await create_queue(client, "quick")
    await start(quick)

    def script() -> list[Any]:
        with sync.connect(settings) as openiap:
            id = openiap.push(quick, {"n": 1}).id
            later = openiap.push("quick", {"n": 2}, delay="1h")
            found = openiap.pushed(id, quick)
            result = found.result("1m")
            cancelled = openiap.pushed(later.id).cancel("no")
            return [result, found.state(), found.progress(), cancelled, later.state()]

    assert await asyncio.to_thread(script) == [2, "successful", None, "cancelled", "failed"]


def test_a_mark_is_of_one_attempt() -> None:
    what, fields = cancelling({"state": "processing", "retries": 1}, "no")
    assert (what, "state" in fields) == ("stopping", False)
    message, source = fields["errormessage"], fields["errorsource"]
    assert cancelled_because(message, source, 1) == "no"
    assert cancelled_because(message, source, 2) == ""
    assert cancelled_because("[CANCELLED] by the handler itself", "worker w, attempt 2", 1) == ""
    assert cancelling({"state": "new"}, "")[1]["state"] == FAILED
    assert cancelling({"state": "failed"}, "") == ("ended", {})
