"""Process handlers that misbehave: each hurts only its own item, with the evidence on it."""

import asyncio
import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from worker.engine.execution import process, process_attempt
from worker.engine.execution.stacks import UNKNOWN
from worker.errors import ResourceLimitExceeded, TimeLimitExceeded, WorkerFault
from worker.item.error_text import described, source_of

REPOSITORY = Path(__file__).parents[4]


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def evidence_may_be_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for a stack at once and for long, so that no busy machine makes it unknown."""
    monkeypatch.setattr(process_attempt, "DUMP_SECONDS", 0.001)
    monkeypatch.setattr(process_attempt, "DUMP_LOOKS", 30_000)


async def written(path: Path) -> int:
    async with asyncio.timeout(60):
        while not path.exists() or not path.read_text():
            await asyncio.sleep(0.01)
    return int(path.read_text())


async def test_without_a_process_to_run_in_it_is_the_worker_s_fault_until_there_is_one(
    house: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, registered = await house.executor(house.sample("die"), slots=1)

    async def start(*_: object) -> NoReturn:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as patch:
        patch.setattr(process.ChildProcess, "start", start)
        with pytest.raises(ResourceLimitExceeded):
            await executor.run(house.call(registered, how="exit"))
        with pytest.raises(WorkerFault, match="no process to run in") as caught:
            await executor.run(house.call(registered, how="exit"))
        assert not caught.value.over()
    await eventually(caught.value.over)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("endless", "in endless"),
        ("native", 're.match(r"(a+)+b"'),
        ("stubborn_async", "await asyncio.sleep(60)"),
    ],
)
@pytest.mark.usefixtures("evidence_may_be_late")
async def test_a_stuck_handler_is_killed_with_its_stack(
    house: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch, name: str, line: str
) -> None:
    answers = name != "native"  # whose interpreter cannot
    monkeypatch.setattr(process_attempt, "ANSWER_SECONDS", 30.0 if answers else 0.01)
    executor, registered = await house.executor(house.sample(name), slots=1)
    with pytest.raises(
        TimeLimitExceeded, match="hard_timeout of 400ms: its process was kill"
    ) as at:
        await executor.run(house.call(registered))
    assert line in at.value.stack
    assert line in source_of(at.value)
    assert "worker/engine" not in at.value.stack
    assert "runpy" not in at.value.stack
    await eventually(lambda: executor.lost() == 0)
    assert house.changes == 2
    with pytest.raises(TimeLimitExceeded):  # the child that took its place
        await executor.run(house.call(registered))


async def test_a_frozen_process_is_killed_too(house: Any, eventually: Any) -> None:
    executor, registered = await house.executor(house.sample("frozen"), slots=1)
    with pytest.raises(TimeLimitExceeded) as at:
        await executor.run(house.call(registered))
    assert at.value.stack == UNKNOWN
    await eventually(lambda: executor.lost() == 0)


@pytest.mark.usefixtures("evidence_may_be_late")
async def test_programs_that_a_killed_handler_started_die_with_it(
    house: Any, eventually: Any, tmp_path: Path
) -> None:
    executor, registered = await house.executor(house.sample("start"), slots=1)
    sign = tmp_path / "sign"
    run = asyncio.create_task(executor.run(house.call(registered, sign=str(sign))))
    pid = await written(sign)
    for attempt in executor._attempts:  # as its timer does, but not before the program runs
        attempt.give_up("timeout")
    with pytest.raises(TimeLimitExceeded) as at:
        await run
    assert "in start" in at.value.stack
    await eventually(lambda: gone(pid))


async def test_a_sudden_hog_fails_its_item_with_limit_and_peak(house: Any, eventually: Any) -> None:
    executor, registered = await house.executor(house.sample("hog"), slots=1)
    with pytest.raises(ResourceLimitExceeded, match=r"hog broke its memory limit of 256 MB") as at:
        # In one piece, so that no look from outside comes first.
        await executor.run(house.call(registered, steps=1, mb=4000))
    assert "peak" in str(at.value)
    assert 'b"x" * payload["mb"]' in source_of(at.value)
    await eventually(lambda: executor.lost() == 0)
    assert await executor.run(house.call(registered, steps=1, mb=1)) == {"kept": 1}


@pytest.mark.usefixtures("evidence_may_be_late")
async def test_a_creeping_hog_is_seen_and_killed(house: Any, eventually: Any) -> None:
    executor, registered = await house.executor(house.sample("hog"), slots=1)
    with pytest.raises(ResourceLimitExceeded, match=r"limit of 256 MB \(peak \d+ MB\)") as at:
        await executor.run(house.call(registered, steps=200, mb=8, pause=0.02))
    assert "in hog" in at.value.stack
    await eventually(lambda: executor.lost() == 0)
    assert await executor.run(house.call(registered, steps=1, mb=1)) == {"kept": 1}


@pytest.mark.usefixtures("evidence_may_be_late")
async def test_too_much_cpu_fails_the_item_with_limit_and_use(house: Any, eventually: Any) -> None:
    executor, registered = await house.executor(house.sample("cpu"), slots=1)
    with pytest.raises(ResourceLimitExceeded, match=r"CPU limit of 500ms \(used ") as at:
        await executor.run(house.call(registered, burn=True))
    assert "in cpu" in at.value.stack
    await eventually(lambda: executor.lost() == 0)
    # CPU and not wall time; and of the item, not of the child.
    for _ in range(2):
        assert await executor.run(house.call(registered, burn=False, seconds=0.8)) == {"ok": True}


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("exit", "its process exited with code 3"),
        ("segv", "its process was killed by SIGSEGV"),
        ("kill", "its process was killed by SIGKILL, not by the worker"),
        ("fork", "its process exited with code 4"),
        ("garbage", "its process was killed by SIGKILL"),
    ],
)
async def test_a_process_that_dies_fails_its_item_and_is_replaced(
    house: Any, how: str, text: str
) -> None:
    executor, registered = await house.executor(house.sample("die"), slots=1)
    first = (await executor.run(house.call(registered, how="not")))["pid"]
    with pytest.raises(ResourceLimitExceeded, match=text) as at:
        await executor.run(house.call(registered, how=how))
    if how == "segv":
        assert "ctypes.string_at(0)" in source_of(at.value)
    assert described(at.value).startswith("sample_handlers.die: ")
    second = (await executor.run(house.call(registered, how="not")))["pid"]
    assert second != first
    assert executor.lost() == 0


async def test_a_child_killed_from_outside_while_idle_is_replaced(
    house: Any, eventually: Any
) -> None:
    executor, registered = await house.executor(house.sample("die"), slots=1)
    first = (await executor.run(house.call(registered, how="not")))["pid"]
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: gone(first))
    await asyncio.sleep(0)
    second = first
    while second == first:
        try:
            second = (await executor.run(house.call(registered, how="not")))["pid"]
        except ResourceLimitExceeded:
            continue  # handed over in the moment of its death
    assert second != first


async def test_a_child_killed_from_outside_in_the_middle_fails_its_item(
    house: Any, tmp_path: Path
) -> None:
    executor, registered = await house.executor(house.sample("sleep"), slots=2)
    sign = tmp_path / "sign"
    run = asyncio.create_task(executor.run(house.call(registered, sign=str(sign))))
    os.kill(await written(sign), signal.SIGKILL)
    with pytest.raises(ResourceLimitExceeded, match="killed by SIGKILL"):
        await run


async def test_a_cancelled_run_is_asked_and_killed_at_the_second_cancellation(
    house: Any, eventually: Any, tmp_path: Path
) -> None:
    executor, registered = await house.executor(house.sample("sleep"), slots=1)
    sign = tmp_path / "sign"
    call = house.call(registered, sign=str(sign))
    run = asyncio.create_task(executor.run(call))
    pid = await written(sign)
    run.cancel()
    await asyncio.wait([run], timeout=0.05)
    assert not run.done()
    assert call.item.stopping
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await eventually(lambda: gone(pid))
    assert executor.lost() in (0, 1)


async def test_a_cancelled_async_handler_ends_in_its_child(house: Any) -> None:
    executor, registered = await house.executor(house.sample("stubborn_async"), slots=1)
    run = asyncio.create_task(executor.run(house.call(registered)))
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises((asyncio.CancelledError, TimeLimitExceeded)):
        await run


async def test_stop_kills_what_does_not_end_in_time(house: Any, tmp_path: Path) -> None:
    executor, registered = await house.executor(house.sample("sleep"), slots=1)
    sign = tmp_path / "sign"
    run = asyncio.create_task(executor.run(house.call(registered, sign=str(sign))))
    waiting = asyncio.create_task(executor.run(house.call(registered, sign=str(sign))))
    pid = await written(sign)
    async with asyncio.timeout(60):  # and not the ten minutes that the handler sleeps
        await executor.stop(0.2)
    for task in (run, waiting):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert gone(pid)
    assert executor.lost() == 0


@pytest.mark.parametrize("name", ["sleep", "spinning"])
async def test_a_killed_worker_leaves_no_child_behind(
    eventually: Any, tmp_path: Path, name: str
) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, os, sys\n"
        f"sys.path[:0] = [{str(REPOSITORY)!r}, {str(tmp_path)!r}]\n"
        "import kept\n"
        "from datetime import UTC, datetime\n"
        "from worker.engine.execution import HandlerCall, make_executor\n"
        "from worker.item.item import Item\n"
        "from worker.openiap.workitem import Workitem\n"
        "from worker.app.registry import Registered\n"
        "from worker.app.signature import signature_of\n"
        "async def main():\n"
        f"    h = kept.{name}\n"
        "    r = Registered(h, signature_of(h.function, name=h.name))\n"
        "    e = make_executor(r, slots=2)\n"
        "    await e.start()\n"
        "    i = Item(Workitem(id='1', payload={}), files=None, log=None,\n"
        "             started=datetime.now(UTC))\n"
        "    await e.run(HandlerCall(r, i, {}, None, {}))\n"
        "asyncio.run(main())\n"
    )
    sign = tmp_path / "sign"
    (tmp_path / "kept.py").write_text(
        "import os, re, time\nfrom pathlib import Path\nfrom worker import handler\n"
        "@handler('s', process=True)\n"
        "def sleep():\n"
        f"    Path({str(sign)!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "@handler('n', process=True)\n"
        "def spinning():\n"
        f"    Path({str(sign)!r}).write_text(str(os.getpid()))\n"
        "    re.match(r'(a+)+b', 'a' * 64)\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, str(script))
    await written(sign)
    children = [c.pid for c in psutil.Process(parent.pid).children()]
    assert len(children) == 2
    parent.kill()
    await parent.wait()
    await eventually(lambda: all(gone(pid) for pid in children))


@pytest.mark.usefixtures("evidence_may_be_late")
def test_processes_serve_and_are_killed_on_the_fast_loop_too(
    on_fast_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_attempt, "ANSWER_SECONDS", 0.01)  # it cannot

    async def scenario(house: Any) -> None:
        executor, registered = await house.executor(house.sample("die"), slots=1)
        first = (await executor.run(house.call(registered, how="not")))["pid"]
        for how, text in (("segv", "SIGSEGV"), ("fork", "exited with code 4")):
            with pytest.raises(ResourceLimitExceeded, match=text):
                await executor.run(house.call(registered, how=how))
        assert (await executor.run(house.call(registered, how="not")))["pid"] != first
        executor, registered = await house.executor(house.sample("native"), slots=1)
        with pytest.raises(TimeLimitExceeded) as at:
            await executor.run(house.call(registered))
        assert 're.match(r"(a+)+b"' in at.value.stack

    on_fast_loop(scenario)
