"""Stopping loses nothing, and keeps to its time."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.points import RECORDED
from tests.acceptance.processes import WAIT, Worker, until
from tests.acceptance.results import table, write_section
from tests.acceptance.stage import PATIENT, Stage

DRAIN = 6.0
"""Seconds; by far more than the short ones take once they may end, also when the machine halts."""
CANCEL = 1.0
LONG = 600.0
"""Seconds; who does not keep to the times of a stop takes so long or for ever, not ``WAIT``."""
SHORT, ENDLESS = 3, 5
KINDS = ("async", "thread", "process")
HAND_BACK = {"hand_back": WAIT}


async def in_flight(stage: Stage, worker: Worker, count: int) -> None:
    """Wait until handlers of that many items have begun."""
    await until(
        f"{count} handlers began",
        lambda: len(stage.journal.notes("start")) >= count,
        WAIT,
        tell=worker.tail,
    )


async def told_to_stop(worker: Worker, count: int) -> None:
    """Ask a worker to stop, and wait until it does, with so many items in flight."""
    worker.terminate()
    said = f"stopping: {count} items"
    await until("it stops", lambda: said in worker.text(), WAIT, tell=worker.tail)


@pytest.mark.dear
async def test_a_stop_accounts_for_everything_in_flight_in_time(tmp_path: Path) -> None:
    rows = await asyncio.gather(*(stopped(kind, tmp_path / kind) for kind in KINDS))
    head = ["handlers", "in flight", "finished", "handed back, no attempt spent", "lost", "code"]
    write_section(
        "Stopping",
        f"SIGTERM with {SHORT + ENDLESS} items in flight: {SHORT} that end soon after, {ENDLESS}"
        f" endless; drain {DRAIN:.0f} s, cancel {CANCEL:.0f} s.\n\n" + table(head, list(rows)),
    )


async def stopped(kind: str, folder: Path) -> list[object]:
    """Stop a worker whose handlers run in one way; returns the line of the table."""
    folder.mkdir()
    queue, go = f"stop-{kind}", folder / "go"
    async with Stage(folder) as stage, stage.outsider() as outsider:
        await outsider.queue(queue, maxretries=3)
        times = {"drain_timeout": DRAIN, "cancel_timeout": CANCEL}
        worker = stage.worker("a", queue, plan=HAND_BACK, **times, **PATIENT)
        await worker.started()
        pushed = await outsider.push(queue, [{"until": str(go)}] * SHORT + [{}] * ENDLESS)
        await in_flight(stage, worker, len(pushed))
        await told_to_stop(worker, len(pushed))
        go.touch()
        code = await worker.ended(DRAIN + CANCEL + WAIT)
        documents = {one["_id"]: one for one in await outsider.items(queue)}
    states = [documents[one]["state"] for one in pushed]
    assert states == ["successful"] * SHORT + ["new"] * ENDLESS, worker.tail()
    assert [documents[one]["retries"] for one in pushed] == [0] * len(pushed)
    assert code == 0
    return [kind, len(pushed), SHORT, ENDLESS, 0, code]


async def test_a_second_signal_skips_the_drain(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage, stage.outsider() as outsider:
        await outsider.queue("stop-async", maxretries=3)
        times = {"drain_timeout": LONG, "cancel_timeout": CANCEL}
        worker = stage.worker("a", "stop-async", plan=HAND_BACK, **times, **PATIENT)
        await worker.started()
        pushed = await outsider.push("stop-async", [{}] * 4)
        await in_flight(stage, worker, 4)
        await told_to_stop(worker, 4)
        worker.terminate()
        assert await worker.ended(WAIT) == 0
        states = [one["state"] for one in await outsider.items("stop-async")]
    assert states == ["new"] * len(pushed)


async def test_a_third_signal_ends_at_once_and_leaves_the_outbox_intact(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage, stage.outsider() as outsider:
        await outsider.queue(RECORDED, maxretries=5)
        stage.points.arm(RECORDED)
        points = {"points": str(stage.folder / "points")}
        worker = stage.worker("a", RECORDED, plan=points, drain_timeout=LONG, cancel_timeout=LONG)
        await worker.started()
        pushed = await outsider.push(RECORDED, [{}])
        await until("an outcome is on disk", lambda: stage.points.reached(RECORDED), WAIT)
        await told_to_stop(worker, 1)
        worker.terminate()
        await until("it hurries", lambda: "again" in worker.text(), WAIT, tell=worker.tail)
        worker.terminate()
        await worker.ended(WAIT)
        await worker.start()
        books = await stage.settled(RECORDED, pushed)
    assert books.successful == 1
    assert books.runs == (1,)


@pytest.mark.dear
@both_clients
async def test_a_stop_without_a_server_keeps_to_its_time_and_loses_nothing(
    client: str, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    async with Stage(tmp_path, client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue("items", maxretries=5)
            worker = stage.worker("a", "items", drain_timeout=DRAIN, cancel_timeout=CANCEL)
            await worker.started()
            pushed = await outsider.push("items", [{"until": str(go)}] * 4)
            await in_flight(stage, worker, 4)
        stage.proxy.refuse()
        await told_to_stop(worker, 4)
        go.touch()
        assert await worker.ended(DRAIN + CANCEL + WAIT) == 0
        assert len(stage.journal.notes("end")) == 4
        stage.proxy.restore()
        await worker.start()
        books = await stage.settled("items", pushed)
    assert books.successful == 4
    assert books.runs == (1,) * 4


@both_clients
async def test_an_idle_worker_without_a_server_stops_at_once(client: str, tmp_path: Path) -> None:
    async with Stage(tmp_path, client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue("items", maxretries=5)
        times = {"drain_timeout": LONG, "cancel_timeout": LONG}
        worker = stage.worker("a", "items", poll_interval=0.1, **times)
        await worker.started()
        stage.proxy.refuse()
        await until("it knows", lambda: "disconnected" in worker.text(), WAIT, tell=worker.tail)
        # By now it waits for the link, and no longer for the next poll.
        tries = "it has asked for a link again"
        await until(tries, lambda: stage.proxy.turned_away > 1, WAIT, tell=worker.tail)
        worker.terminate()
        assert await worker.ended(WAIT) == 0
