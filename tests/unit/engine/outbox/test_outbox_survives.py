"""What is recorded outlives the worker: real processes, really killed, with really full disks."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from worker.engine.outbox import forked_copies
from worker.engine.outbox import outbox as outbox_room
from worker.engine.outbox.lockfile import Locked
from worker.engine.outbox.outbox import Outbox
from worker.errors import StateError
from worker.item.outcome import Outcome
from worker.openiap.workitem import Workitem

LASTRUN = datetime(2026, 11, 20, 10, 0, 0, 123000, tzinfo=UTC)
RETRY_AT = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)


async def open_outbox(folder: Path, worker_id: str = "w-1") -> Outbox:
    return await Outbox.open(folder, worker_id, sync="normal", keep_evidence_days=7)


async def test_a_pop_is_on_disk_when_the_handler_starts(
    tmp_path: Path, live: Callable[..., str]
) -> None:
    live("killed_after_popped", "a")
    outbox = await open_outbox(tmp_path)
    (row,) = await outbox.pending()
    assert (row.item_id, row.queue, row.retries, row.deaths) == ("a", "invoices", 0, 1)
    assert row.outcome is None
    assert row.lastrun == row.workitem.lastrun == row.popped_at == LASTRUN
    assert row.workitem == Workitem(
        id="a",
        name="Invoice",
        payload=None,
        wiq="invoices",
        wiqid="q1",
        lastrun=LASTRUN,
        state="processing",
        username="robot",
    )
    await outbox.close()


async def test_an_outcome_is_on_disk_before_it_is_sent(
    tmp_path: Path, live: Callable[..., str]
) -> None:
    live("killed_after_finished", "w-1")
    outbox = await open_outbox(tmp_path)
    rows = {row.item_id: row for row in await outbox.pending()}
    assert rows["a"].outcome == Outcome(
        "application", {"x": "\ud800"}, "message", "source", RETRY_AT, (("r.pdf", "/spool/r.pdf"),)
    )
    assert rows["a"].deaths == 0, "its handler had ended: no death of the item"
    assert rows["b"].outcome is None
    assert (rows["b"].retries, rows["b"].deaths) == (2, 1)
    assert outbox.size() == 2
    await outbox.close()


async def test_a_run_is_on_disk_alone_although_earlier_ones_have_just_gone(
    tmp_path: Path, live: Callable[..., str]
) -> None:
    live("killed_after_popped_again")
    outbox = await open_outbox(tmp_path)
    (row,) = await outbox.pending()
    assert (row.outcome, row.popped_at) == (None, RETRY_AT), "the end of another run"
    await outbox.close()


async def test_an_item_that_kills_its_worker_is_counted_across_attempts(
    tmp_path: Path, live: Callable[..., str]
) -> None:
    live("killed_after_popped", "poison", "other")
    live("killed_after_nothing")  # died before it handed anything back: no death of theirs
    live("killed_after_popped", "poison")
    outbox = await open_outbox(tmp_path)
    assert {row.item_id: row.deaths for row in await outbox.pending()} == {"poison": 2, "other": 1}
    outbox.delivered("poison", 0)
    await outbox.popped(Workitem(id="poison", retries=1), LASTRUN)
    assert outbox.deaths("poison") == 2, "a retry does not make an item innocent"
    await outbox.finished("poison", 1, Outcome("successful", {}))
    outbox.delivered("poison", 1)
    assert outbox.deaths("poison") == 0
    await outbox.close()
    outbox = await open_outbox(tmp_path)
    assert outbox.deaths("poison") == 0
    assert outbox.deaths("other") == 1
    await outbox.close()


async def test_a_full_disk_stops_nothing_and_is_told_once(
    tmp_path: Path, live: Callable[..., str]
) -> None:
    said = live("full_disk").splitlines()
    assert [line.split(":")[0] for line in said if ":" in line] == ["trouble", "recovery"]
    assert "would not survive its own death" in said[0]
    assert said[1] == "healthy False size 2"
    assert said[-1] == "healthy True failure ''"
    outbox = await open_outbox(tmp_path)
    rows = {row.item_id: row.outcome for row in await outbox.pending()}
    assert rows == {"before": None, "during": Outcome("successful", {"done": True})}
    await outbox.close()


async def test_what_an_earlier_life_left_is_read_on_a_full_disk(
    tmp_path: Path, live: Callable[..., str]
) -> None:
    live("killed_after_finished", "w-1")
    said = live("full_from_the_start").splitlines()
    assert "healthy False rows ['a', 'b']" in said
    outbox = await open_outbox(tmp_path)
    assert {row.item_id for row in await outbox.pending()} == {"a", "b", "later"}
    await outbox.close()


async def test_two_processes_cannot_share_an_outbox(
    tmp_path: Path, begin: Callable[..., object]
) -> None:
    holder = begin("holds")
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Locked, match=rf"w-1.outbox is in use .*, pid {holder.pid} "):
        await open_outbox(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.wait(60)
    outbox = await open_outbox(tmp_path)
    await outbox.close()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a lock that somebody is about to give back be waited for on the slowest machine."""
    monkeypatch.setattr(outbox_room, "LOCK_WAIT", 60.0)


@pytest.mark.usefixtures("patience")
async def test_a_forked_child_does_not_hold_a_dead_workers_outbox(
    tmp_path: Path, live: Callable[..., str], begin: Callable[..., object]
) -> None:
    process = begin("forked")
    child = int(process.stdout.readline())
    try:
        process.wait(60)
        outbox = await open_outbox(tmp_path)
        await outbox.close()
    finally:
        os.kill(child, signal.SIGKILL)


async def test_a_hung_copy_of_a_dead_worker_is_ended_and_one_of_a_living_worker_is_not(
    tmp_path: Path, begin: Callable[..., subprocess.Popen[str]]
) -> None:
    for then in ("lives", "dies"):
        process = begin("copied", then)
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        try:
            if then == "lives":
                with pytest.raises(Locked, match=rf"pid {process.pid} "):
                    await open_outbox(tmp_path)
                assert child.is_running()
                process.kill()
            process.wait(60)
            outbox = await open_outbox(tmp_path)
            await outbox.close()
            assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
        finally:
            with suppress(psutil.NoSuchProcess):
                child.kill()


async def test_while_its_taker_lives_no_other_process_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start asks for all locks of its folder, its own among them."""
    outbox = await open_outbox(tmp_path)
    looks: list[Path] = []
    monkeypatch.setattr(forked_copies, "holders", lambda path: looks.append(path) or [])
    assert Outbox.adoptable(tmp_path) == []
    assert looks == []
    await outbox.close()


async def test_a_dead_siblings_rows_are_adopted(tmp_path: Path, live: Callable[..., str]) -> None:
    live("killed_after_finished", "w-2")
    outbox = await open_outbox(tmp_path, "w-1")
    await outbox.popped(Workitem(id="own", wiq="invoices"), LASTRUN)
    assert Outbox.adoptable(tmp_path) == ["w-2"]
    rows = await outbox.adopt("w-2")
    assert {(row.item_id, row.deaths, row.outcome is None) for row in rows} == {
        ("a", 0, False),
        ("b", 1, True),
    }
    assert outbox.size() == 3
    assert Outbox.adoptable(tmp_path) == []
    outbox.delivered("a", 0)
    await outbox.close()
    outbox = await open_outbox(tmp_path, "w-1")
    assert {row.item_id for row in await outbox.pending()} == {"b", "own"}
    await outbox.close()


async def test_a_living_sibling_is_not_adopted(
    tmp_path: Path, live: Callable[..., str], begin: Callable[..., object]
) -> None:
    live("killed_after_popped", "a")
    holder = begin("holds")
    assert holder.stdout.readline() == "held\n"
    assert Outbox.adoptable(tmp_path) == []
    outbox = await open_outbox(tmp_path, "w-2")
    with pytest.raises(Locked):
        await outbox.adopt("w-1")
    assert outbox.size() == 0
    assert outbox.healthy
    await outbox.close()


@pytest.mark.usefixtures("patience")
async def test_a_slow_release_is_waited_for(tmp_path: Path) -> None:
    first = await open_outbox(tmp_path)
    asyncio.get_running_loop().call_later(0.3, lambda: asyncio.ensure_future(first.close()))
    second = await open_outbox(tmp_path)
    await second.close()


async def test_a_siblings_damaged_file_is_refused_as_one_that_cannot_be_used(
    tmp_path: Path,
) -> None:
    """Whoever adopts goes on without it; its start must not end over another's file."""
    sibling = await Outbox.open(tmp_path, "w-2", sync="normal", keep_evidence_days=1)
    for number in range(300):
        item = Workitem(id=f"{number:024d}", wiq="q", payload=None)
        await sibling.popped(item, datetime.now(UTC))
    await sibling.close()
    file = tmp_path / "w-2.outbox.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:-8192] + bytes(range(256)) * 32)
    outbox = await Outbox.open(tmp_path, "w-1", sync="normal", keep_evidence_days=1)
    assert Outbox.adoptable(tmp_path) == ["w-2"]
    with pytest.raises(StateError, match="contradict"):
        await outbox.adopt("w-2")
    await outbox.popped(Workitem(id="1", wiq="q", payload=None), datetime.now(UTC))
    assert outbox.healthy
    await outbox.close()
