"""Usual rows are committed on the loop; what could hold it up is left to the writer's thread."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.engine.outbox import ledger_file, loop_commits, sqlite, writer
from worker.engine.outbox.batch import Batch
from worker.engine.outbox.loop_commits import LoopCommits
from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.sqlite import Change, Ledger, Sync
from worker.item.new_item import FollowUp
from worker.item.outcome import UNCHANGED, Outcome
from worker.openiap.workitem import Workitem

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
DEADLINE = 60.0


class Commits(list[tuple[bool, int]]):
    """What was committed: whether on the loop, and how many rows."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.before: Callable[[], None] = lambda: None
        self._loop = threading.get_ident()
        self._has_file = threading.Lock()
        self._write = Ledger.write
        patch.setattr(Ledger, "write", lambda ledger, change: self._noted(ledger, change))

    def _noted(self, ledger: Ledger, change: Change) -> None:
        assert self._has_file.acquire(blocking=False), "two have the file"
        try:
            self.before()
            self._write(ledger, change)
            self.append((threading.get_ident() == self._loop, len(change.store)))
        finally:
            self._has_file.release()

    @property
    def on_loop(self) -> int:
        return sum(here for here, _ in self)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    # A busy machine is no slow disk, and the thread looks at nothing by itself meanwhile.
    monkeypatch.setattr(loop_commits, "LONG", DEADLINE)
    monkeypatch.setattr(ledger_file, "CHECK_EVERY", 2 * DEADLINE)
    monkeypatch.setattr(writer, "LOOK_EVERY", 2 * DEADLINE)
    return Commits(monkeypatch)


def item(id: str) -> Workitem:
    return Workitem(id=id, wiq="q", payload=None)


async def opened(folder: Path, sync: Sync = "normal") -> Outbox:
    outbox = await Outbox.open(folder, "me", sync=sync, keep_evidence_days=1, retry=0.01)
    await rests(outbox)
    return outbox


async def rests(outbox: Outbox) -> None:
    """Wait until its thread does."""
    async with asyncio.timeout(DEADLINE):
        while not outbox._writer._idle:
            await asyncio.sleep(0)


async def pop(outbox: Outbox, *ids: str) -> None:
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(outbox.popped(item(id), NOW) for id in ids))


async def test_what_comes_in_one_turn_is_one_commit_on_the_loop(
    tmp_path: Path, commits: Commits
) -> None:
    outbox = await opened(tmp_path)
    commits.clear()
    await pop(outbox, "a", "b", "c")
    assert commits == [(True, 3)]
    await outbox.close()


async def test_where_each_commit_waits_for_the_disk_the_loop_makes_none(
    tmp_path: Path, commits: Commits
) -> None:
    outbox = await opened(tmp_path, "full")
    await pop(outbox, "a")
    await outbox.finished("a", 0, UNCHANGED)
    await outbox.close()
    assert len(commits) >= 2
    assert not commits.on_loop


async def test_a_large_outcome_is_written_in_the_thread(tmp_path: Path, commits: Commits) -> None:
    outbox = await opened(tmp_path)
    await pop(outbox, "a")
    commits.clear()
    await outbox.finished("a", 0, Outcome("successful", {"text": "x" * 100_000}))
    assert commits == [(False, 1)]
    await pop(outbox, "b")
    assert commits[1:] == [(True, 1)], "and the next small one on the loop"
    await outbox.close()


async def test_what_else_makes_a_row_large_is_written_in_the_thread(
    tmp_path: Path, commits: Commits
) -> None:
    """A name has what somebody wrote into it; follow-up items stay with an accepted outcome."""
    outbox = await opened(tmp_path)
    await pop(outbox, "b")
    commits.clear()
    named = Workitem(id="a", name="x" * 100_000, wiq="q", payload=None)
    async with asyncio.timeout(DEADLINE):
        await outbox.popped(named, NOW)
    await rests(outbox)
    follow_up = FollowUp(id="f", queue="q", payload={"text": "x" * 100_000})
    outbox.accepted("b", 0, Outcome("successful", None, pushes=(follow_up,)))
    async with asyncio.timeout(DEADLINE):
        while len(commits) < 2:
            await asyncio.sleep(0)
    assert commits == [(False, 1), (False, 1)]
    await outbox.close()


async def test_a_commit_that_the_disk_refuses_on_the_loop_is_the_threads_to_mend(
    tmp_path: Path, commits: Commits
) -> None:
    outbox = await opened(tmp_path)

    def refuses() -> None:
        commits.before = lambda: None
        raise OSError(5, "a bad sector")

    commits.clear()
    commits.before = refuses
    await pop(outbox, "a")
    assert commits == [(False, 1)]
    assert outbox.healthy
    await outbox.close()


async def test_a_commit_that_is_refused_after_long_counts_as_a_long_one(
    tmp_path: Path, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = await opened(tmp_path)

    def refuses() -> None:
        commits.before = lambda: None
        raise OSError(5, "a bad sector")

    monkeypatch.setattr(loop_commits, "LONG", 0.0)
    monkeypatch.setattr(loop_commits, "AT_ONCE", 0.0)
    monkeypatch.setattr(loop_commits, "SHARE", 1e-9)
    commits.clear()
    commits.before = refuses
    await pop(outbox, "a")
    await rests(outbox)
    await pop(outbox, "b")
    assert commits == [(False, 1), (False, 1)]
    await outbox.close()


async def test_a_handler_that_blocks_the_loop_keeps_no_outcome_of_others_from_the_disk(
    tmp_path: Path, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOOK_EVERY", 0.2)
    outbox = await opened(tmp_path)
    await pop(outbox, "a")
    commits.clear()
    written: list[Commits] = []

    def blocks() -> None:
        until = time.monotonic() + DEADLINE
        while not commits and time.monotonic() < until:
            time.sleep(0.01)
        written.append(commits)

    finished = asyncio.create_task(outbox.finished("a", 0, UNCHANGED))
    asyncio.get_running_loop().call_soon(blocks)  # after the task, before the end of its turn
    await finished
    assert written == [[(False, 1)]]
    await outbox.close()


async def test_a_long_log_is_shortened_and_not_on_the_loop(
    tmp_path: Path, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LONG_LOG", 40)
    threads: list[int] = []
    shorten = Ledger.shorten_log

    def noted(ledger: Ledger) -> None:
        threads.append(threading.get_ident())
        shorten(ledger)

    monkeypatch.setattr(Ledger, "shorten_log", noted)
    outbox = await opened(tmp_path)
    for n in range(200):
        await pop(outbox, f"i{n}")
    log = tmp_path / "me.outbox.db-wal"
    assert threads
    assert threading.get_ident() not in threads
    assert log.stat().st_size < 100 * sqlite.PAGE
    assert commits.on_loop > 150
    await outbox.close()


def test_the_first_commit_after_a_log_was_shortened_waits_for_no_disk(tmp_path: Path) -> None:
    """SQLite brings the head of a new log to the disk: with what is written first into it."""
    path = tmp_path / "me.outbox.db"
    ledger = Ledger(path, sync="normal")

    def log() -> bytes:
        return path.with_name(f"{path.name}-wal").read_bytes()[12:16]  # its number

    life = ledger.begin_life(1.0)
    former = log()
    ledger.shorten_log()
    begun = log()
    assert begun != former
    ledger.touch(life, 2.0)
    assert log() == begun
    ledger.close()


async def test_the_loop_and_the_thread_never_have_the_file_at_once(
    tmp_path: Path, commits: Commits
) -> None:
    """Rows that the loop commits, while the thread reads and writes large ones."""
    outbox = await opened(tmp_path)
    large = Outcome("successful", {"text": "x" * 20_000})

    async def slot(name: str) -> None:
        for n in range(60):
            await outbox.popped(item(f"{name}/{n}"), NOW)
            await outbox.finished(f"{name}/{n}", 0, UNCHANGED if n % 5 else large)
            if n % 7 == 0:
                assert await outbox.evidence() == []
            if n % 2:
                outbox.delivered(f"{name}/{n}", 0)

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(slot(str(n)) for n in range(8)))
    await outbox.close()
    assert 0 < commits.on_loop < len(commits)
    again = await opened(tmp_path)
    left = {row.item_id: row for row in await again.pending()}
    assert left.keys() == {f"{s}/{n}" for s in range(8) for n in range(0, 60, 2)}
    assert all(row.outcome is not None for row in left.values())
    await again.close()


def test_long_commits_take_no_more_of_the_loop_than_a_small_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(loop_commits.time, "monotonic", lambda: now)
    commits, lost, began = LoopCommits("normal"), 0.0, now
    while now < began + 100:
        if commits.fit(Batch()):
            now, lost = now + 0.05, lost + 0.05
            commits.took(0.05)
        now += 0.001
    assert lost <= loop_commits.SHARE * 100 + loop_commits.AT_ONCE + 0.05
    assert lost > 1.0, "it is tried again and again"
    for _ in range(1000):  # short ones cost nothing
        commits.took(loop_commits.LONG / 2)
    now += 100
    commits.took(loop_commits.LONG)
    assert commits.fit(Batch()), "a single long one changes nothing"
