"""The outbox in one process: what it keeps, forgets, and makes of files that it cannot read."""

import asyncio
import itertools
import sqlite3
import stat
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.sqlite import Change, Ledger
from worker.errors import StateError
from worker.item.outcome import Outcome
from worker.openiap.workitem import Workitem

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
DONE = Outcome("successful", {"voucher": "V-1"})


class Told(list[str]):
    """What the outbox told."""

    def __call__(self, text: str) -> None:
        self.append(text)


async def open_outbox(folder: Path, told: Told | None = None, **more: float) -> Outbox:
    return await Outbox.open(
        folder,
        "w",
        sync="normal",
        keep_evidence_days=more.get("keep_evidence_days", 7),
        on_trouble=told if told is not None else Told(),
        on_recovery=told if told is not None else Told(),
        retry=0.05,
    )


def item(item_id: str, retries: int = 0) -> Workitem:
    return Workitem(id=item_id, retries=retries, wiq="q", lastrun=NOW, payload={"secret": "s"})


async def test_a_delivered_item_leaves_nothing(tmp_path: Path) -> None:
    outbox = await open_outbox(tmp_path)
    await outbox.popped(item("a"), NOW)
    assert outbox.size() == 1
    await outbox.finished("a", 0, DONE)
    outbox.delivered("a", 0)
    assert outbox.size() == 0
    await outbox.close()
    outbox = await open_outbox(tmp_path)
    assert await outbox.pending() == []
    assert await outbox.evidence() == []
    await outbox.close()


async def test_a_refused_outcome_is_kept_as_evidence_for_a_while(tmp_path: Path) -> None:
    outbox = await open_outbox(tmp_path)
    await outbox.popped(item("a", 2), NOW)
    await outbox.finished("a", 2, DONE)
    outbox.refused("a", 2, "the item has a new owner")
    assert outbox.size() == 0
    (kept,) = await outbox.evidence()
    assert (kept.item_id, kept.queue, kept.retries, kept.outcome) == ("a", "q", 2, DONE)
    assert kept.reason == "the item has a new owner"
    assert datetime.now(UTC) - kept.at < timedelta(minutes=1)
    await outbox.close()
    outbox = await open_outbox(tmp_path)
    assert len(await outbox.evidence()) == 1
    assert await outbox.pending() == []
    await outbox.close()
    outbox = await open_outbox(tmp_path, keep_evidence_days=0)
    assert await outbox.evidence() == []
    await outbox.close()


async def test_what_a_clean_stop_leaves_was_in_no_death(tmp_path: Path) -> None:
    outbox = await open_outbox(tmp_path)
    await outbox.popped(item("a"), NOW)
    assert await outbox.pending() == [], "this life's own items are nobody's leftovers"
    await outbox.close()
    outbox = await open_outbox(tmp_path)
    (row,) = await outbox.pending()
    assert row.deaths == 0
    await outbox.close()


async def test_the_same_attempt_popped_again_is_one_row(tmp_path: Path) -> None:
    outbox = await open_outbox(tmp_path)
    await outbox.popped(item("a"), NOW)
    await outbox.finished("a", 0, Outcome("released", message="worker stopped"))
    await outbox.popped(item("a"), NOW + timedelta(seconds=5))
    assert outbox.size() == 1
    await outbox.close()
    outbox = await open_outbox(tmp_path)
    (row,) = await outbox.pending()
    assert (row.outcome, row.popped_at) == (None, NOW + timedelta(seconds=5))
    await outbox.close()


async def test_only_this_user_may_read_it_and_the_popped_payload_is_not_in_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "made" / "here"
    outbox = await open_outbox(folder)
    await outbox.popped(item("a"), NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert {stat.S_IMODE(p.stat().st_mode) for p in (folder, folder.parent)} == {0o700}
    await outbox.close()
    assert b"secret" not in (folder / "w.outbox.db").read_bytes()


async def test_a_waiter_that_is_cancelled_takes_nobody_along(tmp_path: Path) -> None:
    outbox = await open_outbox(tmp_path)
    tasks = [asyncio.create_task(outbox.popped(item(f"i{n}"), NOW)) for n in range(20)]
    await asyncio.sleep(0)
    tasks[7].cancel()
    ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert [n for n, end in enumerate(ended) if end is not None] == [7]
    await outbox.close()
    outbox = await open_outbox(tmp_path)
    assert len(await outbox.pending()) == 20, "what was handed over is written all the same"
    await outbox.close()


async def test_what_comes_together_is_committed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    come = threading.Event()
    come.set()
    write = Ledger.write

    def counted(self: Ledger, change: Change) -> None:
        come.wait(60)
        commits.append(len(change.store))
        write(self, change)

    monkeypatch.setattr(Ledger, "write", counted)
    outbox = await open_outbox(tmp_path)
    commits.clear()
    come.clear()
    tasks = [asyncio.create_task(outbox.popped(item(f"i{n}"), NOW)) for n in range(500)]
    await asyncio.sleep(0)  # all have handed over what they have, and the first commit waits
    come.set()
    await asyncio.gather(*tasks)
    assert sum(commits) == 500
    assert len(commits) <= 2
    await outbox.close()


async def test_three_operations_cost_little_cpu_per_item(tmp_path: Path) -> None:
    """The figure is some 25 µs at 32 in flight; the bound leaves room for a busy machine."""
    outbox = await open_outbox(tmp_path)

    async def slot(numbers: Iterator[int]) -> None:
        for n in numbers:
            await outbox.popped(item(f"i{n}"), NOW)
            await outbox.finished(f"i{n}", 0, DONE)
            outbox.delivered(f"i{n}", 0)

    costs = []
    for _ in range(10):  # the best of some: what others take of the machine only adds
        numbers = iter(range(500))
        began = time.process_time()
        await asyncio.gather(*(slot(numbers) for _ in range(32)))
        costs.append((time.process_time() - began) / 500)
    await outbox.close()
    assert min(costs) < 120e-6, f"{min(costs) * 1e6:.1f} µs"


async def test_a_damaged_file_is_set_aside_loudly_and_the_worker_starts(tmp_path: Path) -> None:
    outbox = await open_outbox(tmp_path)
    await outbox.popped(item("a"), NOW)
    await outbox.close()
    path = tmp_path / "w.outbox.db"
    path.write_bytes(b"not a database " * 1000)
    told = Told()
    outbox = await open_outbox(tmp_path, told)
    assert outbox.healthy
    await outbox.popped(item("b"), NOW)
    await outbox.close()
    (aside,) = tmp_path.glob("w.outbox.db.damaged-*")
    assert aside.read_bytes().startswith(b"not a database")
    (text,) = told
    assert "cannot be read" in text
    assert aside.name in text
    outbox = await open_outbox(tmp_path)
    assert [row.item_id for row in await outbox.pending()] == ["b"]
    await outbox.close()


async def test_torn_pages_are_found_at_start(tmp_path: Path) -> None:
    outbox = await open_outbox(tmp_path)
    for n in range(200):
        await outbox.popped(item(f"item-{n:020}"), NOW)
    await outbox.close()
    path = tmp_path / "w.outbox.db"
    content = bytearray(path.read_bytes())
    content[8192:16384] = b"\xff" * 8192
    path.write_bytes(content)
    told = Told()
    outbox = await open_outbox(tmp_path, told)
    assert outbox.healthy
    assert len(list(tmp_path.glob("w.outbox.db.damaged-*"))) == 1
    assert len(told) == 1
    await outbox.close()


async def test_a_newer_major_version_is_set_aside_untouched(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "w.outbox.db") as db:
        db.execute("CREATE TABLE anything (x)")
        db.execute("PRAGMA user_version = 2000")
    db.close()
    told = Told()
    assert Outbox.adoptable(tmp_path) == []
    outbox = await open_outbox(tmp_path, told)
    assert outbox.healthy
    await outbox.close()
    (aside,) = tmp_path.glob("w.outbox.db.newer-*")
    assert "newer version" in told[0]
    db = sqlite3.connect(aside)
    assert db.execute("SELECT * FROM anything").fetchall() == []
    db.close()


async def test_a_newer_minor_version_is_read_and_written(tmp_path: Path) -> None:
    outbox = await open_outbox(tmp_path)
    await outbox.popped(item("a"), NOW)
    await outbox.finished("a", 0, DONE)
    await outbox.close()
    with sqlite3.connect(tmp_path / "w.outbox.db") as db:
        db.execute("ALTER TABLE rows ADD COLUMN mood TEXT DEFAULT 'good'")
        db.execute("UPDATE rows SET version = 2, outcome = json_set(outcome, '$.mood', 'good')")
        db.execute("PRAGMA user_version = 1007")
    db.close()
    outbox = await open_outbox(tmp_path)
    (row,) = await outbox.pending()
    assert row.outcome == DONE
    await outbox.popped(item("b"), NOW)
    outbox.delivered("a", 0)
    await outbox.close()
    with sqlite3.connect(tmp_path / "w.outbox.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1007,)
        assert db.execute("SELECT item_id, mood FROM rows").fetchall() == [("b", "good")]
    db.close()


DEEP = '{"kind": "successful", "payload": {"x": ' + "[" * 5000 + "]" * 5000 + "}}"


@pytest.mark.parametrize(
    ("column", "text", "left"),
    [
        ("workitem", "[", ["b"]),
        ("workitem", '{"retries": 0}', ["b"]),
        ("workitem", '{"id": "a", "retries": "0"}', ["b"]),
        ("workitem", "[" * 5000, ["b"]),
        ("popped_at", "never", ["b"]),
        ("popped_at", 1e300, ["b"]),
        ("outcome", '{"kind": "sideways"}', ["a", "b"]),
        ("outcome", '{"kind": ["successful"]}', ["a", "b"]),
        ("outcome", '{"kind": "successful", "pushes": ["text"]}', ["a", "b"]),
        ("outcome", '{"kind": "successful", "pushes": 5}', ["a", "b"]),
        ("outcome", '{"kind": "successful", "attachments": [1]}', ["a", "b"]),
        ("outcome", DEEP, ["a", "b"]),
    ],
)
async def test_an_unreadable_row_costs_itself_alone_and_is_kept_as_evidence(
    tmp_path: Path, column: str, text: object, left: list[str]
) -> None:
    outbox = await open_outbox(tmp_path)
    await outbox.popped(item("a"), NOW)
    await outbox.popped(item("b"), NOW)
    await outbox.close()
    with sqlite3.connect(tmp_path / "w.outbox.db") as db:
        db.execute(f"UPDATE rows SET {column} = ? WHERE item_id = 'a'", (text,))
    db.close()
    told = Told()
    outbox = await open_outbox(tmp_path, told)
    rows = await outbox.pending()
    assert [row.item_id for row in rows] == left
    assert [row.outcome for row in rows] == [None] * len(rows)
    assert outbox.unreadable == 1
    await outbox.popped(item("c"), NOW)
    await outbox.close()
    assert ["cannot be read" in said for said in told] == [True]
    with sqlite3.connect(tmp_path / "w.outbox.db") as db:
        kept = db.execute(
            f"SELECT {column} FROM evidence" if column != "popped_at" else "SELECT 1 FROM evidence"
        ).fetchall()
    db.close()
    assert kept == [(1 if column == "popped_at" else text,)]
    outbox = await open_outbox(tmp_path)
    assert [row.item_id for row in await outbox.pending()] == [*left, "c"]
    await outbox.close()


@pytest.mark.parametrize("depth", [499, 501, 800, 5000])
async def test_what_is_written_can_be_read_back_however_deep(tmp_path: Path, depth: int) -> None:
    deep: object = 1
    for _ in range(depth - 1):
        deep = [deep]
    told = Told()
    outbox = await open_outbox(tmp_path, told)
    await outbox.popped(item("a"), NOW)
    await outbox.finished("a", 0, Outcome("successful", {"deep": deep}))
    await outbox.close()
    outbox = await open_outbox(tmp_path)
    (row,) = await outbox.pending()
    assert (row.outcome is not None) == (depth < 510)
    assert outbox.unreadable == 0
    assert bool(told) == (depth > 510)
    await outbox.close()


async def test_a_file_deleted_under_the_worker_is_made_anew_with_all_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.outbox.ledger_file.CHECK_EVERY", 0.0)
    told = Told()
    outbox = await open_outbox(tmp_path, told)
    await outbox.popped(item("a"), NOW)
    for path in tmp_path.glob("w.outbox.db*"):
        path.unlink()
    await outbox.popped(item("b"), NOW)
    assert any("vanished" in text for text in told)
    await outbox.close()
    outbox = await open_outbox(tmp_path)
    assert [row.item_id for row in await outbox.pending()] == ["a", "b"]
    await outbox.close()


async def test_damage_while_it_runs_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    outbox = await open_outbox(tmp_path, told)
    await outbox.popped(item("a"), NOW)
    write, broken = Ledger.write, itertools.count()

    def fails_at_first(self: Ledger, change: Change) -> None:
        if next(broken) < 2:  # on the loop, and in the thread that tries it again
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        write(self, change)

    monkeypatch.setattr(Ledger, "write", fails_at_first)
    await asyncio.wait_for(outbox.popped(item("b"), NOW), 60)
    async with asyncio.timeout(60):
        while not outbox.healthy:
            await asyncio.sleep(0.01)
    await outbox.close()
    assert len(list(tmp_path.glob("w.outbox.db.damaged-*"))) == 1
    outbox = await open_outbox(tmp_path)
    assert [row.item_id for row in await outbox.pending()] == ["a", "b"]
    await outbox.close()


async def test_an_unusable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"The folder .*file/state cannot be made: .*\.$"):
        await open_outbox(tmp_path / "file" / "state")


async def test_a_payload_that_contains_itself_is_told_and_harms_nobody(tmp_path: Path) -> None:
    told = Told()
    outbox = await open_outbox(tmp_path, told)
    await outbox.popped(item("a"), NOW)
    payload: dict[str, object] = {}
    payload["me"] = payload
    await outbox.finished("a", 0, Outcome("successful", payload))
    assert len(told) == 1
    assert outbox.healthy
    await outbox.close()


async def test_after_close_nothing_waits(tmp_path: Path) -> None:
    outbox = await open_outbox(tmp_path)
    await outbox.close()
    await outbox.close()
    async with asyncio.timeout(60):
        await outbox.popped(item("a"), NOW)
        with pytest.raises(StateError, match="closed"):
            await outbox.evidence()


def test_no_thread_or_file_is_left_behind(tmp_path: Path) -> None:
    async def lives() -> None:
        for _ in range(5):
            outbox = await open_outbox(tmp_path)
            await outbox.popped(item("a"), NOW)
            outbox.delivered("a", 0)
            await outbox.close()

    before = set(threading.enumerate())
    asyncio.run(lives())
    # Those of earlier tests may end meanwhile.
    assert set(threading.enumerate()) <= before
    if sys.platform == "linux":
        opened = [str(p.resolve()) for p in Path("/proc/self/fd").iterdir()]
        assert not [path for path in opened if str(tmp_path) in path]


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["popped", "finished", "delivered", "refused", "reopen"]),
        st.integers(0, 3),
        st.integers(0, 1),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_any_sequence_leaves_what_a_dictionary_would(steps: list[Step]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_replay(Path(folder), steps))


async def _replay(folder: Path, steps: list[Step]) -> None:
    model: dict[tuple[str, int], Outcome | None] = {}
    refused = 0
    outbox = await open_outbox(folder)
    for number, (step, name, retries) in enumerate(steps):
        key = (f"item{name}", retries)
        if step == "popped":
            await outbox.popped(item(*key), NOW)
            model[key] = None
        elif step == "finished":
            outcome = Outcome("business", {"n": number})
            await outbox.finished(*key, outcome)
            model[key] = outcome
        elif step == "delivered":
            outbox.delivered(*key)
            model.pop(key, None)
        elif step == "refused":
            outbox.refused(*key, "gone")
            refused += key in model
            model.pop(key, None)
        else:
            await outbox.close()
            outbox = await open_outbox(folder)
        assert outbox.size() == len(model)
    assert len(await outbox.evidence()) == refused
    await outbox.close()
    outbox = await open_outbox(folder)
    found = {(row.item_id, row.retries): row.outcome for row in await outbox.pending()}
    await outbox.close()
    assert found == model
