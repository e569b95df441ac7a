"""``def`` handlers: threads that are bounded, asked, given up and counted."""

import asyncio
import sys
import threading
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worker import BusinessError, Item, handler
from worker.errors import ApplicationError, TimeLimitExceeded
from worker.item.context import current_item
from worker.item.error_text import source_of
from worker.openiap.errors import FileTransferError


async def begun(run: Coroutine[Any, Any, Any], started: threading.Event) -> "asyncio.Task[Any]":
    """Start a run; the loop, and the run's limits with it, stand still until its handler works."""
    task = asyncio.create_task(run)
    await asyncio.sleep(0)
    assert started.wait(60)
    return task


def without_limits(executor: Any) -> None:
    """What this executor runs from now on may take its time."""
    executor._limits = replace(executor._limits, soft=None, hard=None)


async def test_a_handler_runs_in_a_thread_with_its_item_current(house: Any) -> None:
    @handler("q")
    def work(payload: dict[str, Any], item: Item) -> dict[str, Any]:
        assert current_item.get() is item
        return {"thread": threading.current_thread() is not threading.main_thread()}

    executor, registered = await house.executor(work)
    assert await executor.run(house.call(registered)) == {"thread": True}


async def test_a_handler_raises_what_it_raised(house: Any) -> None:
    @handler("q")
    def work() -> None:
        raise BusinessError("no", code="X")

    executor, registered = await house.executor(work)
    with pytest.raises(BusinessError) as at:
        await executor.run(house.call(registered))
    assert 'raise BusinessError("no", code="X")' in source_of(at.value)
    assert "worker/engine" not in source_of(at.value)


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), StopIteration(1), asyncio.CancelledError()]
)
async def test_what_would_end_the_worker_is_an_application_error(
    house: Any, error: BaseException
) -> None:
    @handler("q")
    def fatal() -> None:
        raise error

    executor, registered = await house.executor(fatal)
    for _ in range(3):
        with pytest.raises(ApplicationError, match=f"fatal raised {type(error).__name__}"):
            await executor.run(house.call(registered))


async def test_no_more_threads_than_slots_and_they_are_used_again(
    house: Any, eventually: Any
) -> None:
    names: set[str] = set()
    lock = threading.Lock()
    together: list[int] = [0, 0]
    barrier = threading.Barrier(3)

    @handler("q")
    def work(payload: dict[str, Any]) -> None:
        with lock:
            names.add(str(threading.get_ident()))
            together[0] += 1
            together[1] = max(together)
        if payload["n"] < 3:
            barrier.wait(60)
        with lock:
            together[0] -= 1

    executor, registered = await house.executor(work, slots=3)
    await asyncio.gather(*(executor.run(house.call(registered, n=n)) for n in range(60)))
    assert len(names) == 3
    assert together[1] == 3
    await executor.stop(1)
    name = f"handler {registered.name}"
    await eventually(lambda: name not in {t.name for t in threading.enumerate()})


async def test_soft_timeout_sets_stopping_and_the_result_counts(house: Any) -> None:
    @handler("q", timeout=0.05)
    def slow(item: Item) -> dict[str, bool]:
        while not item.stopping:
            time.sleep(0.005)
        return {"stopped": True}

    executor, registered = await house.executor(slow)
    assert await executor.run(house.call(registered)) == {"stopped": True}


async def test_an_endless_loop_is_given_up_with_its_stack_and_then_ended(
    house: Any, eventually: Any
) -> None:
    started = threading.Event()

    @handler("q", timeout=0.05, hard_timeout=0.1)
    def endless() -> None:
        started.set()
        while True:
            pass

    executor, registered = await house.executor(endless, slots=1)
    run = await begun(executor.run(house.call(registered)), started)
    with pytest.raises(TimeLimitExceeded, match="hard_timeout of 100ms") as at:
        await run
    assert "in endless" in at.value.stack
    assert "threading.py" not in at.value.stack
    assert at.value.stack in source_of(at.value)
    await eventually(lambda: executor.lost() == 0)
    await eventually(lambda: house.changes == 2)


async def test_a_thread_that_cannot_be_stopped_holds_its_slot_until_it_ends(
    house: Any, eventually: Any
) -> None:
    started, release = threading.Event(), threading.Event()
    seen: list[str] = []

    @handler("q", timeout=0.05, hard_timeout=0.1)
    def stuck(payload: dict[str, Any]) -> dict[str, bool]:
        if payload.get("stuck"):
            started.set()
            release.wait(90)  # a lock is native code: nothing can be raised in it
            seen.append("went on")
        return {"ok": True}

    executor, registered = await house.executor(stuck, slots=2)
    run = await begun(executor.run(house.call(registered, stuck=True)), started)
    with pytest.raises(TimeLimitExceeded) as at:
        await run
    assert "release.wait(90)" in at.value.stack
    assert executor.lost() == 1
    without_limits(executor)
    assert await executor.run(house.call(registered)) == {"ok": True}
    assert executor.lost() == 1
    name = f"handler {registered.name}"
    assert len([t for t in threading.enumerate() if t.name == name]) == 2
    release.set()
    await eventually(lambda: executor.lost() == 0)
    assert seen == []  # given up is given up: the late handler does not go on


async def test_a_handler_that_swallows_even_that_stays_lost(house: Any, eventually: Any) -> None:
    started, release = threading.Event(), threading.Event()

    @handler("q", timeout=0.02, hard_timeout=0.05)
    def stubborn() -> None:
        started.set()
        while not release.is_set():
            try:
                time.sleep(0.005)
            except BaseException:
                continue

    executor, registered = await house.executor(stubborn, slots=1)
    run = await begun(executor.run(house.call(registered)), started)
    with pytest.raises(TimeLimitExceeded):
        await run
    late = asyncio.create_task(executor.run(house.call(registered)))
    with pytest.raises(TimeLimitExceeded, match="no thread was free"):
        await late
    assert executor.lost() == 1
    release.set()
    await eventually(lambda: executor.lost() == 0)
    without_limits(executor)
    assert await executor.run(house.call(registered)) is None


async def test_a_cancelled_run_waits_and_a_second_cancellation_abandons(
    house: Any, eventually: Any
) -> None:
    started, release = threading.Event(), threading.Event()

    @handler("q")
    def slow(payload: dict[str, Any]) -> dict[str, bool]:
        started.set()
        release.wait(90)
        return {"done": True}

    executor, registered = await house.executor(slow)
    call = house.call(registered)
    run = asyncio.create_task(executor.run(call))
    await asyncio.to_thread(started.wait, 60)
    run.cancel()
    await asyncio.wait([run], timeout=0.05)
    assert not run.done()
    assert call.item.stopping
    release.set()
    assert await run == {"done": True}

    started.clear()
    release.clear()
    run = asyncio.create_task(executor.run(house.call(registered)))
    await asyncio.to_thread(started.wait, 60)
    run.cancel()
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert executor.lost() == 1
    release.set()
    await eventually(lambda: executor.lost() == 0)


async def test_def_handlers_reach_files_and_attachments_by_waiting(house: Any) -> None:
    (house.store / "scan.pdf").write_bytes(b"scan")

    @handler("q")
    def work(item: Item) -> dict[str, Any]:
        path: Path = item.wait(item.files["scan.pdf"].path())
        item.wait(item.attach(path, "copy.pdf"))
        return {"size": item.wait(item.files["scan.pdf"].size()), "bytes": path.stat().st_size}

    executor, registered = await house.executor(work)
    item = house.item(files=("scan.pdf",))
    assert await executor.run(house.call(registered, item)) == {"size": 4, "bytes": 4}
    assert [a.name for a in item.attachments] == ["copy.pdf"]


async def test_waiting_raises_what_awaiting_would(house: Any) -> None:
    @handler("q")
    def work(item: Item) -> None:
        item.wait(item.files["absent.pdf"].path())

    executor, registered = await house.executor(work)
    with pytest.raises(FileTransferError, match="did not arrive whole"):
        await executor.run(house.call(registered, house.item(files=("absent.pdf",))))


async def test_async_handlers_are_told_to_await(house: Any) -> None:
    @handler("q")
    async def work(item: Item) -> None:
        item.wait(item.files["scan.pdf"].path())

    executor, registered = await house.executor(work)
    with pytest.raises(RuntimeError, match="awaits"):
        await executor.run(house.call(registered, house.item(files=("scan.pdf",))))


async def test_giving_up_ends_what_the_thread_waits_for(house: Any, eventually: Any) -> None:
    started = threading.Event()
    cancelled = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    @handler("q", timeout=0.05, hard_timeout=0.1)
    def work(item: Item) -> None:
        started.set()
        item.wait(forever())

    executor, registered = await house.executor(work)
    run = await begun(executor.run(house.call(registered)), started)
    with pytest.raises(TimeLimitExceeded) as at:
        await run
    assert "item.wait(forever())" in at.value.stack
    await asyncio.wait_for(cancelled.wait(), 60)
    await eventually(lambda: executor.lost() == 0)


async def test_a_stuck_thread_does_not_keep_the_process_from_ending(tmp_path: Path) -> None:
    script = tmp_path / "stuck.py"
    script.write_text(
        "import asyncio, sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[4])!r})\n"
        "from worker.app.decorator import handler\n"
        "from worker.app.signature import signature_of\n"
        "from worker.app.registry import Registered\n"
        "from worker.openiap.workitem import Workitem\n"
        "from worker.item.item import Item\n"
        "from worker.engine.execution import HandlerCall, make_executor\n"
        "from datetime import UTC, datetime\n"
        "@handler('q', timeout=0.05, hard_timeout=0.1)\n"
        "def stuck(): time.sleep(600)\n"
        "async def main():\n"
        "    r = Registered(stuck, signature_of(stuck.function, name='stuck'))\n"
        "    e = make_executor(r, slots=1)\n"
        "    i = Item(Workitem(id='1'), files=None, log=None, started=datetime.now(UTC))\n"
        "    try:\n"
        "        await e.run(HandlerCall(r, i, {}, None, {}))\n"
        "    except Exception as error:\n"
        "        sys.stdout.write(type(error).__name__)\n"
        "    await e.stop(0.1)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (out, process.returncode) == (b"TimeLimitExceeded", 0)
