"""What a program takes is worked with a worker's promises, and ends as its block says."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.integration.engine.conftest import DEADLINE, create_queue, settings_for
from tests.integration.engine.pulling.conftest import QUEUE, both_clients
from worker import (
    ApplicationError,
    BusinessError,
    NoItem,
    Retry,
    Skip,
    connect,
    context,
    handler,
)
from worker.item.taken import Undecided


class Order(BaseModel):
    number: int


@both_clients
async def test_left_quietly_it_is_successful_with_its_result(producer, push, stored) -> None:
    (id,) = await push({"number": 7})
    async with producer.take(QUEUE) as item:
        assert (item.id, item.queue, item.attempt, item.attempts_left) == (id, QUEUE, 1, 2)
        assert item.payload_as(Order) == Order(number=7)
        assert context.item_id() == id
        item.payload["seen"] = True
        item.result = {"total": 14}
    assert (item.state, context.item_id()) == ("successful", "")
    (found,) = await stored()
    assert (found["state"], found["payload"]["total"]) == ("successful", 14)
    assert (found["payload"]["number"], found["payload"]["seen"]) == (7, True)


@both_clients
async def test_files_follow_ups_and_checkpoints_are_those_of_a_handler(
    producer, push, stored, client, tmp_path: Path
) -> None:
    await push()
    await create_queue(client, "next")
    (tmp_path / "a.txt").write_text("two words")
    await client.push_workitem(QUEUE, {}, name="n", files=[tmp_path / "a.txt"])
    async with producer.take(QUEUE) as item:
        assert await item.files["a.txt"].read_text() == "two words"
        assert await item.files["a.txt"].size() == 9
        await item.checkpoint({"page": 1}, now=True)
        await item.progress(0.5, "half")
        await item.attach(b"out", "b.txt")
        pushed = await item.push("next", {"from": item.id})
        assert item.checkpointed == {"page": 1}
    (found,) = await stored()
    assert sorted(file["name"] for file in found["files"]) == ["a.txt", "b.txt"]
    (follow_up,) = await client.query("workitems", {"wiq": "next"})
    assert (follow_up["_id"], follow_up["payload"]["from"]) == (pushed, item.id)


@pytest.mark.parametrize(
    ("error", "state", "says", "comes_out"),
    [
        (BusinessError("bad amount", code="BAD"), "failed", "[BAD] bad amount", False),
        (ApplicationError("down"), "new", "down", False),
        (Retry(after=60, reason="not yet"), "new", "not yet", False),
        (Skip(), "successful", None, False),
        (ValueError("broken"), "new", "ValueError: broken", True),
        (KeyboardInterrupt(), "new", None, True),
        (SystemExit(3), "new", "producer.take('taken') raised SystemExit: 3", True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_an_error_decides_as_in_a_handler(
    producer, push, stored, error: BaseException, state: str, says: str | None, comes_out: bool
) -> None:
    await push({"n": 1})
    raised: BaseException | None = None
    try:
        async with producer.take(QUEUE) as item:
            raise error.with_traceback(None)
    except BaseException as found:
        raised = found
    assert (raised is error) is comes_out
    assert item.state == state
    (found,) = await stored()
    assert (found["state"], found.get("errormessage")) == (state, says)
    if comes_out and says:
        assert "test_taking.py" in found["errorsource"]
        assert "block.py" not in found["errorsource"]
        frames = []
        trace = error.__traceback__
        while trace is not None:
            frames.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        assert frames == ["test_an_error_decides_as_in_a_handler"]


@pytest.mark.parametrize(
    ("decide", "state", "says", "retries"),
    [
        (lambda item: item.release("not mine"), "new", None, 0),
        (lambda item: item.fail(ApplicationError("down")), "new", "down", 1),
        (lambda item: item.fail("a text"), "new", "a text", 1),
        (lambda item: item.fail(BusinessError("no")), "failed", "no", 0),
        (lambda item: item.dead_letter("nobody knows it"), "failed", "nobody knows it", 0),
        (lambda item: item.done({"a": 1}), "successful", None, 0),
    ],
    ids=["release", "fail", "fail-text", "fail-business", "dead-letter", "done"],
)
async def test_what_is_decided_in_the_block_counts(
    producer, push, stored, decide: Any, state: str, says: str | None, retries: int
) -> None:
    await push({"n": 1})
    with suppress(KeyError):
        async with producer.take(QUEUE) as item:
            decide(item)
            with pytest.raises(Undecided):
                item.release()
            raise KeyError("after it was decided")
        pytest.fail("what the block raises goes on, whatever was decided")
    (found,) = await stored()
    assert (found["state"], found["retries"], item.state) == (state, retries, state)
    assert (found.get("errormessage") or None) == says
    assert ("a" in found["payload"]) is (state == "successful")


async def test_a_dead_letter_goes_along_the_chain(producer, push, stored, client) -> None:
    await create_queue(client, "graves")
    (graves,) = await client.query("mq", {"name": "graves"})
    await push(failed_wiq="graves", failed_wiqid=graves["_id"])
    await push({"n": 1})
    async with producer.take(QUEUE) as item:
        item.dead_letter("nobody knows it")
    (copy,) = await client.query("workitems", {"wiq": "graves"})
    assert copy["payload"]["n"] == 1


async def test_past_its_time_a_block_is_stopped_and_counts_as_an_application_error(
    producer, push, stored
) -> None:
    await push({"n": 1}, retrydelay=600)
    began = time.monotonic()
    async with producer.take(QUEUE, timeout="300ms") as item:
        await asyncio.sleep(DEADLINE)
    assert time.monotonic() - began < DEADLINE / 2
    assert (item.state, item.stopping) == ("new", True)
    (found,) = await stored()
    assert (found["state"], found["retries"], found["errortype"]) == ("new", 1, "application")
    assert found["errormessage"] == "its block ran longer than its timeout of 300ms"


async def test_a_block_that_does_not_end_is_given_up(
    settings, push, stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.pulling.block.GRACE", 0.2)
    await push({"n": 1}, retrydelay=600)

    async def program() -> str:
        async with connect(settings) as producer:
            async with producer.take(QUEUE, timeout=0.2) as item:
                until = time.monotonic() + DEADLINE
                while not settled.is_set() and time.monotonic() < until:
                    time.sleep(0.01)  # keeps this loop from everything, its timeout too
                item.result = {"late": True}
            return item.state

    settled = threading.Event()
    running = asyncio.create_task(in_thread(program))
    async with asyncio.timeout(DEADLINE):
        while (await stored())[0]["retries"] == 0:
            await asyncio.sleep(0.02)
        settled.set()
        assert await running == "new"
    (found,) = await stored()
    assert (found["state"], "late" in found["payload"]) == ("new", False)
    assert "keeps this loop from everything" in found["errorsource"]


@pytest.mark.parametrize("then", ["leaves", "says done", "raises"])
async def test_what_a_block_does_past_its_time_makes_no_success_of_it(
    producer, push, stored, then: str
) -> None:
    await push({"n": 1}, retrydelay=600)
    with suppress(LookupError):
        async with producer.take(QUEUE, timeout="200ms") as item:
            try:
                await asyncio.sleep(DEADLINE)
            except asyncio.CancelledError:
                if then == "raises":
                    raise LookupError("while it ended") from None
                if then == "says done":
                    item.done({"late": True})
                item.result = {"late": True}
    assert item.state == "new"
    (found,) = await stored()
    assert (found["retries"], found["errortype"]) == (1, "application")
    assert found["errormessage"].startswith("its block ran longer than its timeout of 200ms")
    assert "late" not in found["payload"]
    assert ("while it ended" in found["errorsource"]) is (then == "raises")


async def test_what_was_decided_before_the_time_was_up_counts(producer, push, stored) -> None:
    await push({"n": 1}, retrydelay=600)
    async with producer.take(QUEUE, timeout="200ms") as item:
        item.done({"early": True})
        await asyncio.sleep(DEADLINE)
    (found,) = await stored()
    assert (item.state, found["payload"]["early"]) == ("successful", True)


@both_clients
@pytest.mark.parametrize("swallows", [False, True])
async def test_a_block_whose_item_is_cancelled_is_stopped_and_fails(
    settings, push, stored, swallows: bool
) -> None:
    (id,) = await push({"n": 1})
    seldom = settings.model_copy(update={"heartbeat_interval": DEADLINE, "dead_after": 600})
    began = time.monotonic()
    async with connect(seldom) as producer:
        async with producer.take(QUEUE, timeout=None) as item:
            said = asyncio.create_task(producer.pushed(id).cancel("the order is gone"))
            try:
                await asyncio.sleep(DEADLINE)
            except asyncio.CancelledError:
                if not swallows:
                    raise
            item.result = {"late": True}
        assert await said == "stopping"
    assert time.monotonic() - began < DEADLINE / 2, "it is stopped, long before the next look"
    assert (item.state, item.stopping) == ("failed", True)
    (found,) = await stored()
    assert found["state"] == "failed"
    assert found["errormessage"].startswith("[CANCELLED] the order is gone")
    assert "late" not in found["payload"]


@both_clients
async def test_two_at_once_and_one_inside_another(producer, push, stored) -> None:
    await push({"n": 1}, {"n": 2}, {"n": 3})
    both = asyncio.Barrier(2)

    async def one() -> None:
        async with producer.take(QUEUE) as item:
            await both.wait()
            item.result = {"by": "task"}

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(one(), one())
    await push({"n": 4})
    async with producer.take(QUEUE) as outer:
        async with producer.take(QUEUE) as inner:
            inner.result = {"by": "inner"}
        assert context.item_id() == outer.id
        with pytest.raises(NoItem):
            async with producer.take(QUEUE, wait=0):
                pass
        outer.result = {"by": "outer"}
    found = await stored()
    assert {one["state"] for one in found} == {"successful"}
    assert sorted(one["payload"]["by"] for one in found) == ["inner", "outer", "task", "task"]


async def test_an_inner_block_goes_back_when_the_time_of_the_outer_one_is_up(
    producer, push, stored
) -> None:
    await push({"n": 1}, {"n": 2}, retrydelay=600)
    async with producer.take(QUEUE, timeout=0.5), producer.take(QUEUE):
        await asyncio.sleep(DEADLINE)
    outer, inner = await stored()
    assert (outer["state"], outer["retries"]) == ("new", 1)
    assert (inner["state"], inner["retries"]) == ("new", 0)


async def test_a_cancelled_block_gives_its_item_back_and_costs_no_attempt(
    producer, push, stored
) -> None:
    await push({"n": 1})
    inside = asyncio.Event()

    async def works() -> None:
        async with producer.take(QUEUE):
            inside.set()
            await asyncio.sleep(DEADLINE)

    task = asyncio.create_task(works())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (found,) = await stored()
    assert (found["state"], found["retries"]) == ("new", 0)


async def test_its_worker_leads_no_queue_that_another_works(producer, push, client) -> None:
    """Retention, keys and schedules are looked after by the lowest name that lives."""
    await push({})
    async with producer.take(QUEUE):
        (me,) = await client.query("openiap_workers", {"_type": "worker"})
    assert me["_id"].startswith("zz-take-")


async def test_code_that_blocks_loses_no_item_to_others(
    push, stored, server, tmp_path: Path, start
) -> None:
    """Heartbeats come from another thread, so nobody takes a block's item for an orphan."""
    worked = []

    @handler(QUEUE)
    async def steal(payload: dict[str, Any]) -> None:
        worked.append(payload)

    quick = {"heartbeat_interval": 0.1, "dead_after": 1.0, "rescue_interval": 0.1}
    mine = settings_for(server.ws_url, tmp_path / "mine", **quick)

    async def program() -> str:
        async with connect(mine) as producer:
            async with producer.take(QUEUE) as item:
                begun.set()
                time.sleep(4.0)
            return item.state

    begun = threading.Event()
    await push({"n": 1})
    running = asyncio.create_task(in_thread(program))
    async with asyncio.timeout(DEADLINE):
        await asyncio.to_thread(begun.wait, DEADLINE)
        await start(steal, **quick, state_dir=tmp_path / "other")
        assert await running == "successful"
    assert worked == []


async def in_thread(program: Callable[[], Coroutine[Any, Any, str]]) -> str:
    """Run a program on a loop of its own: it may block that one."""
    return await asyncio.to_thread(asyncio.run, program())
