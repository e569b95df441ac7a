"""Blocking code takes items with the same promises, and is stopped in its own thread."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.conftest import DEADLINE, create_queue
from tests.integration.engine.pulling.conftest import QUEUE, both_clients
from worker import BusinessError, NoItem, context, sync
from worker.engine.execution.stopping import raise_in
from worker.engine.pulling.block import PulledBlock
from worker.item.taken import LEFT_EARLY
from worker.settings import Settings


@pytest.fixture
def program(settings: Settings) -> Callable[..., Any]:
    """Run a program that blocks in a thread, while the server goes on here."""

    async def run(work: Callable[[sync.OpenIAP], Any]) -> Any:
        def connected() -> Any:
            with sync.connect(settings) as openiap:
                return work(openiap)

        async with asyncio.timeout(DEADLINE):
            return await asyncio.to_thread(connected)

    return run


async def test_a_block_ends_as_it_says(program, push, stored) -> None:
    def work(openiap: sync.OpenIAP) -> None:
        with openiap.take(QUEUE) as item:
            assert context.item_id() == item.id
            item.result = {"total": item.payload["n"] * 2}
        assert (item.state, context.item_id()) == ("successful", "")
        with openiap.take(QUEUE) as item:
            raise BusinessError("bad")
        assert item.state == "failed"
        with pytest.raises(KeyError), openiap.take(QUEUE) as item:
            raise KeyError("broken")
        assert item.state == "new"
        with openiap.take(QUEUE, wait=0) as item:
            item.release()
        assert item.state == "new"

    await push(*({"n": n} for n in range(4)), retrydelay=600)
    await program(work)
    one, two, three, four = await stored()
    assert (one["state"], one["payload"]["total"]) == ("successful", 0)
    assert (two["state"], two["errormessage"]) == ("failed", "bad")
    assert (three["errormessage"], three["retries"]) == ("KeyError: 'broken'", 1)
    assert (four["state"], four["retries"]) == ("new", 0)


async def test_files_follow_ups_and_checkpoints_block(
    program, push, stored, client, tmp_path: Path
) -> None:
    def work(openiap: sync.OpenIAP) -> None:
        with openiap.take(QUEUE) as item:
            assert list(item.files) == ["a.txt"]
            assert item.files["a.txt"].read_text() == "two words"
            assert item.files["a.txt"].size() == 9
            with pytest.raises(KeyError, match=r"it has: a\.txt"):
                item.files["b.txt"].path()
            item.attach(b"out", "b.txt")
            item.progress(0.5)
            item.checkpoint({"page": 1}, now=True)
            item.push("next", {"from": item.id})

    await push()
    await create_queue(client, "next")
    (tmp_path / "a.txt").write_text("two words")
    await client.push_workitem(QUEUE, {}, name="n", files=[tmp_path / "a.txt"])
    await program(work)
    (found,) = await stored()
    assert sorted(file["name"] for file in found["files"]) == ["a.txt", "b.txt"]
    assert len(await client.query("workitems", {"wiq": "next"})) == 1


@pytest.mark.parametrize("how", ["swallows", "waits"])
async def test_past_its_time_a_block_is_stopped_in_its_thread(
    program, push, stored, how: str
) -> None:
    def work(openiap: sync.OpenIAP) -> str:
        with openiap.take(QUEUE, timeout=0.3) as item:
            end = time.monotonic() + DEADLINE
            while time.monotonic() < end:
                try:
                    time.sleep(0.01)
                except Exception:
                    assert how == "swallows"
            pytest.fail("nobody stopped it")
        time.sleep(0.05)  # nothing strikes any more
        return item.state

    await push({"n": 1}, retrydelay=600)
    assert await program(work) == "new"
    (found,) = await stored()
    assert found["errormessage"] == "its block ran longer than its timeout of 300ms"
    assert found["retries"] == 1


async def test_a_block_that_swallows_its_stop_is_no_success(program, push, stored) -> None:
    def work(openiap: sync.OpenIAP) -> str:
        with openiap.take(QUEUE, timeout=0.2) as item:
            end = time.monotonic() + DEADLINE
            try:
                while time.monotonic() < end:
                    time.sleep(0.01)
            except BaseException:
                item.done({"late": True})
        return item.state

    await push({"n": 1}, retrydelay=600)
    assert await program(work) == "new"
    (found,) = await stored()
    assert found["errormessage"] == "its block ran longer than its timeout of 200ms"
    assert "late" not in found["payload"]


async def test_a_block_whose_item_is_cancelled_is_stopped_in_its_thread(
    settings, push, stored
) -> None:
    def work() -> str:
        with sync.connect(quick) as openiap:
            with openiap.take(QUEUE) as item:
                openiap.pushed(item.id).cancel("no")
                end = time.monotonic() + DEADLINE
                while time.monotonic() < end:
                    time.sleep(0.01)
            return item.state

    await push({"n": 1})
    quick = settings.model_copy(update={"heartbeat_interval": DEADLINE, "dead_after": 600})
    async with asyncio.timeout(DEADLINE / 2):
        assert await asyncio.to_thread(work) == "failed"
    (found,) = await stored()
    assert found["errormessage"].startswith("[CANCELLED] no")


async def test_a_block_that_ends_as_its_time_is_up_is_never_struck_later(
    program, push, stored
) -> None:
    def work(openiap: sync.OpenIAP) -> list[str]:
        states = []
        for pause in (0.090, 0.095, 0.098, 0.1, 0.101, 0.102, 0.105, 0.11):
            with openiap.take(QUEUE, timeout=0.1) as item:
                time.sleep(pause)
            for _ in range(1000):
                pass
            states.append(item.state)
        return states

    await push(*({"n": n} for n in range(8)), retrydelay=600)
    assert set(await program(work)) <= {"successful", "new"}
    for one in await stored():
        ended = (one["state"], one["retries"])
        assert ended in [("successful", 0), ("new", 1)]


async def test_a_block_that_is_struck_while_it_is_left_ends_all_the_same(
    program, push, stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strikes(thread: int, error: type[BaseException]) -> None:
        """The engine holds the block's mutex here: let the block wait for it, and then strike."""
        late.set()
        leaving = 0
        while leaving < 3:
            leaving += sys._current_frames()[thread].f_code is PulledBlock.leave.__code__
            time.sleep(0.01)
        raise_in(thread, error)

    def work(openiap: sync.OpenIAP) -> str:
        with openiap.take(QUEUE, timeout=0.1) as item:
            late.wait(DEADLINE)
        return item.state

    late = threading.Event()
    monkeypatch.setattr("worker.engine.pulling.block.raise_in", strikes)
    await push({"n": 1}, retrydelay=600)
    assert await program(work) == "new"


async def test_an_inner_block_goes_back_when_the_time_of_the_outer_one_is_up(
    program, push, stored
) -> None:
    def work(openiap: sync.OpenIAP) -> None:
        with openiap.take(QUEUE, timeout=0.5), openiap.take(QUEUE):
            end = time.monotonic() + DEADLINE
            while time.monotonic() < end:
                time.sleep(0.01)

    await push({"n": 1}, {"n": 2}, retrydelay=600)
    await program(work)
    outer, inner = await stored()
    assert (outer["state"], outer["retries"]) == ("new", 1)
    assert (inner["state"], inner["retries"]) == ("new", 0)


@both_clients
async def test_several_threads_take_at_once(program, push, stored) -> None:
    def work(openiap: sync.OpenIAP) -> None:
        both = threading.Barrier(2)

        def one() -> None:
            with openiap.take(QUEUE) as item:
                both.wait(DEADLINE)
                item.result = {"done": True}

        threads = [threading.Thread(target=one) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)

    await push({"n": 1}, {"n": 2})
    await program(work)
    assert [one["payload"].get("done") for one in await stored()] == [True, True]


async def test_a_loop_and_its_ends(program, push, stored) -> None:
    def work(openiap: sync.OpenIAP) -> None:
        def first_three() -> None:
            for item in openiap.items(QUEUE):
                if item.payload["n"] == 0:
                    with item:
                        raise BusinessError("zero")
                if item.payload["n"] == 2:
                    break

        first_three()
        last = openiap.items(QUEUE)
        next(last).done({"last": True})
        last.close()
        with pytest.raises(NoItem), openiap.take(QUEUE, wait=0):
            pass
        assert list(openiap.items(QUEUE)) == []

    await push(*({"n": n} for n in range(4)), retrydelay=600)
    await program(work)
    zero, one, two, three = await stored()
    assert (zero["state"], zero["errormessage"]) == ("failed", "zero")
    assert one["state"] == "successful"
    assert (two["state"], two["retries"], two["errormessage"]) == ("new", 1, LEFT_EARLY)
    assert (three["state"], three["payload"]["last"]) == ("successful", True)
