"""Stopping loses nothing, and keeps to its time."""

import asyncio
import time
from pathlib import Path

from tests.acceptance.clients import both_clients
from tests.acceptance.points import RECORDED
from tests.acceptance.processes import Worker, until
from tests.acceptance.results import table, write_section
from tests.acceptance.stage import Stage

DRAIN = 3.0
CANCEL = 1.0
ENDLESS = 0.0
SECONDS = [1.0] * 3 + [10.0] * 3 + [ENDLESS] * 2
KINDS = ("async", "thread", "process")


async def in_flight(stage: Stage, worker: Worker, count: int) -> None:
    """Wait until handlers of that many items have begun."""
    await until(
        f"{count} handlers began",
        lambda: len(stage.journal.notes("start")) >= count,
        40,
        tell=worker.tail,
    )


async def test_a_stop_accounts_for_everything_in_flight_in_time(tmp_path: Path) -> None:
    rows = await asyncio.gather(*(stopped(kind, tmp_path / kind) for kind in KINDS))
    head = ["handlers", "in flight", "finished", "handed back, no attempt spent", "lost", "exit"]
    write_section(
        "Stopping",
        f"SIGTERM with 8 items in flight: 3 of 1 s, 3 of 10 s, 2 endless; drain {DRAIN:.0f} s,"
        f" cancel {CANCEL:.0f} s.\n\n" + table(head, list(rows)),
    )


async def stopped(kind: str, folder: Path) -> list[object]:
    """Stop a worker whose handlers run in one way; returns the line of the table."""
    folder.mkdir()
    queue = f"stop-{kind}"
    async with Stage(folder) as stage, stage.outsider() as outsider:
        await outsider.queue(queue, maxretries=3)
        worker = stage.worker("a", queue, drain_timeout=DRAIN, cancel_timeout=CANCEL)
        await worker.started()
        pushed = await outsider.push(queue, [{"seconds": seconds} for seconds in SECONDS])
        await in_flight(stage, worker, len(SECONDS))
        began = time.monotonic()
        worker.terminate()
        code = await worker.ended(30)
        took = time.monotonic() - began
        documents = {one["_id"]: one for one in await outsider.items(queue)}
    states = [documents[one]["state"] for one in pushed]
    short = SECONDS.count(1.0)
    assert states[:short] == ["successful"] * short, worker.tail()
    assert states[short:] == ["new"] * (len(SECONDS) - short), worker.tail()
    assert [documents[one]["retries"] for one in pushed] == [0] * len(SECONDS)
    assert code == 0
    assert took < DRAIN + CANCEL + 2
    return [kind, len(SECONDS), short, len(SECONDS) - short, 0, f"under {DRAIN + CANCEL + 2:.0f} s"]


async def test_a_second_signal_skips_the_drain(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage, stage.outsider() as outsider:
        await outsider.queue("stop-async", maxretries=3)
        worker = stage.worker("a", "stop-async", drain_timeout=60, cancel_timeout=CANCEL)
        await worker.started()
        pushed = await outsider.push("stop-async", [{"seconds": 50.0}] * 4)
        await in_flight(stage, worker, 4)
        began = time.monotonic()
        worker.terminate()
        await until("it stops", lambda: "stopping: 4 items" in worker.text(), 10, tell=worker.tail)
        worker.terminate()
        assert await worker.ended(20) == 0
        assert time.monotonic() - began < CANCEL + 3
        states = [one["state"] for one in await outsider.items("stop-async")]
    assert states == ["new"] * len(pushed)


async def test_a_third_signal_ends_at_once_and_leaves_the_outbox_intact(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage, stage.outsider() as outsider:
        await outsider.queue(RECORDED, maxretries=5)
        stage.points.arm(RECORDED)
        points = {"points": str(stage.folder / "points")}
        worker = stage.worker("a", RECORDED, plan=points, drain_timeout=60, cancel_timeout=60)
        await worker.started()
        pushed = await outsider.push(RECORDED, [{}])
        await until("an outcome is on disk", lambda: stage.points.reached(RECORDED), 20)
        worker.terminate()
        await until("it stops", lambda: "stopping: 1 items" in worker.text(), 10, tell=worker.tail)
        worker.terminate()
        await until("it hurries", lambda: "again" in worker.text(), 10, tell=worker.tail)
        began = time.monotonic()
        worker.terminate()
        await worker.ended(10)
        assert time.monotonic() - began < 2
        await worker.start()
        books = await stage.settled(RECORDED, pushed, 30)
    assert books.successful == 1
    assert books.runs == (1,)


@both_clients
async def test_a_stop_without_a_server_keeps_to_its_time_and_loses_nothing(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue("items", maxretries=5)
            worker = stage.worker("a", "items", drain_timeout=DRAIN, cancel_timeout=CANCEL)
            await worker.started()
            pushed = await outsider.push("items", [{"seconds": 1.0}] * 4)
            await in_flight(stage, worker, 4)
        stage.proxy.refuse()
        began = time.monotonic()
        worker.terminate()
        assert await worker.ended(30) == 0
        assert time.monotonic() - began < DRAIN + CANCEL + 2
        stage.proxy.restore()
        await worker.start()
        books = await stage.settled("items", pushed, 30)
    assert books.successful == 4
    assert books.runs == (1,) * 4


@both_clients
async def test_an_idle_worker_without_a_server_stops_at_once(client: str, tmp_path: Path) -> None:
    async with Stage(tmp_path, client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue("items", maxretries=5)
        worker = stage.worker("a", "items", drain_timeout=30, cancel_timeout=10)
        await worker.started()
        stage.proxy.refuse()
        await until("it knows", lambda: "disconnected" in worker.text(), 10, tell=worker.tail)
        await asyncio.sleep(0.5)
        began = time.monotonic()
        worker.terminate()
        assert await worker.ended(50) == 0
        assert time.monotonic() - began < 8
