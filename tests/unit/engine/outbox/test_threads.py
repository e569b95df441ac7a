"""The loop and the writer's thread at once: each row has a number of its own, and none is left."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.engine.outbox.batch import Batch
from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.row_numbers import LARGEST, RowNumbers
from worker.engine.outbox.sqlite import Change, Ledger, Sync
from worker.openiap.workitem import Workitem

NOW = datetime(2026, 5, 4, tzinfo=UTC)
DEADLINE = 60.0


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def item(id: str) -> Workitem:
    return Workitem(id=id, wiq="q", payload=None)


async def opened(folder: Path, name: str = "me", sync: Sync = "normal") -> Outbox:
    return await Outbox.open(folder, name, sync=sync, keep_evidence_days=1)


async def test_no_row_takes_the_number_of_another_while_siblings_are_adopted(
    tmp_path: Path, restless: None
) -> None:
    wanted = {f"sibling/{n}" for n in range(3000)}
    outbox = await opened(tmp_path, "sibling")
    await asyncio.gather(*(outbox.popped(item(id), NOW) for id in sorted(wanted)))
    await outbox.close()

    mine = await opened(tmp_path)
    adopting = asyncio.create_task(mine.adopt("sibling"))
    pops: list[asyncio.Task[None]] = []
    async with asyncio.timeout(DEADLINE):
        while not adopting.done():
            wanted.add(f"mine/{len(pops)}")
            pops.append(asyncio.create_task(mine.popped(item(f"mine/{len(pops)}"), NOW)))
            await asyncio.sleep(0)
        await asyncio.gather(adopting, *pops)
    await mine.close()
    again = await opened(tmp_path)
    assert {row.item_id for row in await again.pending()} == wanted
    await again.close()


async def test_a_row_that_is_settled_while_it_is_stored_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing, go = threading.Event(), threading.Event()
    real = Ledger.write

    def slow(self: Ledger, change: Change) -> None:
        real(self, change)
        if change.store:
            storing.set()
            assert go.wait(DEADLINE)

    outbox = await opened(tmp_path, sync="full")
    monkeypatch.setattr(Ledger, "write", slow)
    popped = asyncio.create_task(outbox.popped(item("1"), NOW))
    assert await asyncio.to_thread(storing.wait, DEADLINE)
    outbox.delivered("1", 0)
    go.set()
    await popped
    await outbox.close()
    again = await opened(tmp_path)
    assert await again.pending() == []
    await again.close()


def test_no_number_is_drawn_twice_by_whatever_thread(restless: None) -> None:
    numbers = RowNumbers()
    first = numbers.draw(3)
    assert numbers.draw() == first + 3
    numbers.beyond(first + 100)
    assert numbers.draw() == first + 101
    numbers.beyond(2**63 - 1)
    assert first < numbers.draw() < LARGEST
    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(lambda _: [numbers.draw() for _ in range(2000)], range(4)))
    assert len(set().union(*drawn)) == 4 * 2000


async def test_a_writer_that_stumbles_says_so_once_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = await opened(tmp_path, sync="full")
    writer, said = outbox._writer, list[str]()
    whole, rounds = writer._take, [0]

    def stumbling() -> Batch:
        rounds[0] += 1
        if rounds[0] <= 3:
            raise OSError(22, "odd")
        return whole()

    monkeypatch.setattr(writer, "_take", stumbling)
    monkeypatch.setattr(writer, "_on_trouble", said.append)
    monkeypatch.setattr(writer, "_retry", 0.01)
    async with asyncio.timeout(DEADLINE):
        await outbox.popped(item("1"), NOW)
    assert rounds[0] > 3
    await asyncio.sleep(0)
    assert said == ["The outbox's writer failed, and goes on: OSError: [Errno 22] odd."]
    await outbox.close()
    after = await opened(tmp_path)
    assert [row.item_id for row in await after.pending()] == ["1"]
    await after.close()
