"""``async def`` handlers: limits, cancellation, and errors that must not reach the loop."""

import asyncio
import contextlib
import gc
import time
from typing import Any

import pytest

from worker import BusinessError, Item, handler
from worker.errors import ApplicationError, TimeLimitExceeded
from worker.item.context import current_item
from worker.item.error_text import source_of


async def test_a_handler_returns_its_value_with_its_item_current(house: Any) -> None:
    @handler("q")
    async def work(payload: dict[str, Any], item: Item) -> dict[str, Any]:
        await asyncio.sleep(0)
        assert current_item.get() is item
        return {"got": payload["n"]}

    executor, registered = await house.executor(work)
    assert await executor.run(house.call(registered, n=7)) == {"got": 7}
    assert current_item.get() is None
    assert executor.lost() == 0


async def test_a_handler_raises_what_it_raised(house: Any) -> None:
    @handler("q")
    async def work() -> None:
        raise BusinessError("no", code="X")

    executor, registered = await house.executor(work)
    with pytest.raises(BusinessError, match="no"):
        await executor.run(house.call(registered))


async def test_soft_timeout_cancels_and_names_handler_and_limit(house: Any) -> None:
    cleaned = asyncio.Event()

    @handler("q", timeout=0.05)
    async def slow(item: Item) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            assert item.stopping
            cleaned.set()

    executor, registered = await house.executor(slow)
    with pytest.raises(TimeLimitExceeded, match=r"slow ran longer than its timeout of 50ms") as at:
        await executor.run(house.call(registered))
    assert cleaned.is_set()
    assert "await asyncio.sleep(60)" in source_of(at.value)
    assert "worker/engine" not in source_of(at.value)


async def test_a_result_given_after_the_soft_timeout_is_kept(house: Any) -> None:
    @handler("q", timeout=0.05)
    async def slow() -> dict[str, int]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return {"partial": 1}
        return {}

    executor, registered = await house.executor(slow)
    assert await executor.run(house.call(registered)) == {"partial": 1}


async def test_hard_timeout_ends_the_run_of_a_handler_that_swallows_cancellation(
    house: Any, eventually: Any
) -> None:
    release = asyncio.Event()

    @handler("q", timeout=0.05, hard_timeout=0.1)
    async def stubborn(item: Item) -> None:
        while not release.is_set():
            try:
                await deeper()
            except asyncio.CancelledError:
                continue

    async def deeper() -> None:
        await release.wait()

    executor, registered = await house.executor(stubborn)
    with pytest.raises(TimeLimitExceeded, match="hard_timeout of 100ms") as at:
        await executor.run(house.call(registered))
    assert "await deeper()" in at.value.stack
    assert "await release.wait()" in at.value.stack
    assert at.value.stack in source_of(at.value)
    assert executor.lost() == 1
    assert house.changes == 1
    release.set()
    await eventually(lambda: executor.lost() == 0)
    assert house.changes == 2


@pytest.mark.parametrize("limits", [{"timeout": None}, {"timeout": None, "hard_timeout": 30}])
async def test_a_cancelled_run_cancels_its_handler_and_waits_for_it(
    house: Any, limits: dict[str, Any]
) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    @handler("q", **limits)
    async def slow(item: Item) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            ended.set()

    executor, registered = await house.executor(slow)
    call = house.call(registered)
    run = asyncio.create_task(executor.run(call))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert ended.is_set()
    assert call.item.stopping
    assert executor.lost() == 0


async def test_work_finished_despite_the_cancellation_is_not_thrown_away(house: Any) -> None:
    started = asyncio.Event()
    left: list[int] = []

    @handler("q")
    async def careful() -> dict[str, bool]:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.02)
        return {"done": True}

    executor, registered = await house.executor(careful)

    async def engine() -> Any:
        result = await executor.run(house.call(registered))
        task = asyncio.current_task()
        assert task is not None
        left.append(task.cancelling())
        return result

    run = asyncio.create_task(engine())
    await started.wait()
    run.cancel()
    assert await run == {"done": True}
    assert left == [0]


async def test_a_second_cancellation_abandons_at_once(house: Any, eventually: Any) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    @handler("q")
    async def stubborn() -> None:
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    executor, registered = await house.executor(stubborn)
    run = asyncio.create_task(executor.run(house.call(registered)))
    await started.wait()
    run.cancel()
    await asyncio.wait([run], timeout=0.05)
    assert not run.done()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert executor.lost() == 1
    release.set()
    await eventually(lambda: executor.lost() == 0)


async def test_a_run_cancelled_before_its_first_step_ends(house: Any) -> None:
    @handler("q")
    async def work() -> None:
        await asyncio.sleep(60)

    executor, registered = await house.executor(work)
    run = asyncio.create_task(executor.run(house.call(registered)))
    asyncio.get_running_loop().call_soon(run.cancel)
    with pytest.raises(asyncio.CancelledError):
        await run


class Odd(BaseException):
    """Neither an Exception nor one of the interpreter's own."""


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError("mine"), Odd("x")],
    ids=lambda e: type(e).__name__,
)
async def test_what_would_end_the_worker_is_an_application_error(
    house: Any, error: BaseException
) -> None:
    @handler("q")
    async def fatal() -> None:
        raise error

    executor, registered = await house.executor(fatal)
    with pytest.raises(ApplicationError, match=f"fatal raised {type(error).__name__}") as at:
        await executor.run(house.call(registered))
    assert "raise error" in source_of(at.value)


async def test_a_handler_that_cancels_itself_is_an_application_error(house: Any) -> None:
    @handler("q")
    async def own() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    executor, registered = await house.executor(own)
    with pytest.raises(ApplicationError, match="raised CancelledError"):
        await executor.run(house.call(registered))


async def test_a_timeout_of_the_handlers_own_stays_its_own(house: Any) -> None:
    @handler("q", timeout=30)
    async def own() -> None:
        async with asyncio.timeout(0.02):
            await asyncio.sleep(60)

    executor, registered = await house.executor(own)
    with pytest.raises(TimeoutError):
        await executor.run(house.call(registered))


async def test_stop_cancels_what_runs_and_abandons_the_rest(house: Any, eventually: Any) -> None:
    release = asyncio.Event()
    started: list[int] = []

    @handler("q")
    async def stubborn(payload: dict[str, Any]) -> None:
        started.append(1)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                if payload.get("polite"):
                    raise

    executor, registered = await house.executor(stubborn)
    polite = asyncio.create_task(executor.run(house.call(registered, polite=True)))
    rude = asyncio.create_task(executor.run(house.call(registered)))
    await eventually(lambda: len(started) == 2)
    await executor.stop(0.05)
    for run in (polite, rude):
        with pytest.raises(asyncio.CancelledError):
            await run
    assert executor.lost() == 1
    release.set()
    await eventually(lambda: executor.lost() == 0)


async def test_runs_leave_nothing_behind(house: Any) -> None:
    @handler("q")
    async def work(payload: dict[str, Any]) -> None:
        if payload["n"] % 2:
            raise ValueError("odd")

    executor, registered = await house.executor(work)
    gc.collect()
    gc.disable()
    try:
        for n in range(400):
            call = house.call(registered, n=n)
            with contextlib.suppress(ValueError):
                await executor.run(call)
            del call
        await asyncio.sleep(0)
        alive = [o for o in gc.get_objects() if type(o) is Item and o.log is house.log]
        assert not alive
    finally:
        gc.enable()
    assert len(asyncio.all_tasks()) == 1


async def test_running_costs_little_more_than_awaiting(house: Any) -> None:
    @handler("q")
    async def noop() -> None:
        return None

    executor, registered = await house.executor(noop)
    call = house.call(registered)

    async def cost(work: Any) -> float:
        start = time.thread_time()
        for _ in range(100):
            await work()
        return time.thread_time() - start

    async def task() -> None:
        await asyncio.create_task(noop.function())

    # Both by turns and in the processor's time, so that a slow or busy machine slows both alike.
    rounds = [(await cost(task), await cost(lambda: executor.run(call))) for _ in range(70)]
    bare, through = (min(took) for took in zip(*rounds, strict=True))
    assert through < 8 * bare  # 2 on an idle machine; noise is not the promise
