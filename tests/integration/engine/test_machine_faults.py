"""A fault of the worker or its machine is never charged to an item: it is handed back, the queue
rests, the others go on, and it comes back by itself."""

import asyncio
import errno
import os
import shutil
import tempfile
import threading
from collections import namedtuple
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from tests.integration.engine import process_deeds
from tests.integration.engine.conftest import (
    DEADLINE,
    Make,
    create_queue,
    official_is_dear,
    until_finished,
)
from worker import BusinessError, Item, handler
from worker.engine import consumer, shortages
from worker.engine.daemon import EXIT_FAILED, Daemon
from worker.engine.delivery import conditional, writeback
from worker.engine.execution import process
from worker.localserver import LocalServer
from worker.openiap.client import Client

Usage = namedtuple("Usage", "total used free")


class Disk:
    """The machine's disk, which may be full."""

    full = False

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fsync, replace, usage = os.fsync, os.replace, shutil.disk_usage

        def refuse() -> None:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def synced(descriptor: int) -> None:
            refuse()
            fsync(descriptor)

        def replaced(*names: Any) -> None:
            refuse()
            replace(*names)

        def used(path: Any) -> Any:
            return Usage(1, 1, 0) if self.full else usage(path)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", replaced)
        monkeypatch.setattr(shutil, "disk_usage", used)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortages, "LOOK_FIRST", 0.1)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not what():
            await asyncio.sleep(0.01)


def short(daemon: Daemon) -> float:
    return dict(daemon.telemetry.counts.worker())["short_queues"]


async def handed_back(daemon: Daemon, client: Client, queue: str) -> None:
    """See that the queue rests, and that its item waits with all its attempts."""
    await until(lambda: short(daemon) == 1 and not daemon.counts()[queue].in_flight)
    (waiting,) = await client.query("workitems", {"wiq": queue})
    assert (waiting["state"], waiting["retries"]) == ("new", 0)


async def served_again(daemon: Daemon, client: Client, queue: str) -> None:
    (done,) = await until_finished(client, queue)
    assert (done["state"], done["retries"]) == ("successful", 0)
    assert short(daemon) == 0


async def attached(item: Item) -> None:
    await item.attach(b"report", "report.txt")


async def caught(item: Item) -> None:
    try:
        await attached(item)
    except Exception as error:
        raise BusinessError("no report") from error


async def fetched(item: Item) -> None:
    await item.files["scan.txt"].path()


async def own_file(item: Item) -> None:
    with tempfile.TemporaryFile() as file:
        os.fsync(file.fileno())


@pytest.mark.parametrize("deed", [attached, caught, fetched, own_file])
async def test_a_full_disk_hands_items_back_and_rests_their_queue_alone(
    client: Client, start: Make, disk: Disk, tmp_path: Any, deed: Callable[[Item], Any]
) -> None:
    @handler("files", concurrency=2)
    async def files(payload: dict[str, Any], item: Item) -> None:
        await deed(item)

    @handler("plain")
    async def plain(payload: dict[str, Any]) -> None:
        """Need no disk."""

    scan = tmp_path / "scan.txt"
    scan.write_text("scan")
    for queue in ("files", "plain"):
        await create_queue(client, queue, maxretries=1)
    daemon = await start(files, plain)
    disk.full = True
    await client.push_workitem("files", {}, files=[scan])
    await handed_back(daemon, client, "files")
    for _ in range(3):
        await client.push_workitem("plain", {})
    assert {one["state"] for one in await until_finished(client, "plain", 3)} == {"successful"}
    assert daemon.counts()["files"].popped == 1, "its queue rests"
    disk.full = False
    await served_again(daemon, client, "files")


async def test_a_user_who_may_not_write_documents_loses_no_item_to_a_full_disk(
    server: LocalServer, client: Client, start: Make, disk: Disk
) -> None:
    @handler("q")
    async def work(payload: dict[str, Any], item: Item) -> None:
        await attached(item)

    await create_queue(client, "q", maxretries=1)
    daemon = await start(work, presence=False)
    server.faults.refuse_collections.add("workitems")
    disk.full = True
    await client.push_workitem("q", {})
    await until(lambda: short(daemon) == 1 and not daemon.counts()["q"].in_flight)
    disk.full = False
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"


async def test_a_handler_whose_own_disk_is_full_fails_its_item(client: Client, start: Make) -> None:
    @handler("q")
    async def work(payload: dict[str, Any]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/proc/full")

    await create_queue(client, "q", maxretries=1)
    daemon = await start(work)
    await client.push_workitem("q", {})
    (failed,) = await until_finished(client, "q")
    assert failed["state"] == "failed"
    assert "No space left" in failed["errormessage"]
    assert short(daemon) == 0


async def test_an_item_that_no_disk_is_large_enough_for_fails_in_the_end(
    client: Client, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortages, "LOOK_LAST", 0.1)

    @handler("q")
    async def work(payload: dict[str, Any], item: Item) -> None:
        def fsync(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            await item.attach(b"huge", "huge.bin")

    await create_queue(client, "q", maxretries=1)
    await start(work)
    await client.push_workitem("q", {})
    (failed,) = await until_finished(client, "q")
    assert failed["state"] == "failed"
    assert "huge.bin cannot be kept" in failed["errormessage"]


@pytest.mark.parametrize("patience", [600.0, 0.0])
async def test_what_cannot_be_read_while_it_is_sent_is_waited_out_then_worked_again(
    client: Client, start: Make, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    runs, unreadable, store = 0, 2, writeback.store_attachments

    async def stored(*arguments: Any) -> Any:
        nonlocal unreadable
        if unreadable:
            unreadable -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return await store(*arguments)

    for room in (writeback, conditional):
        monkeypatch.setattr(room, "store_attachments", stored)
    monkeypatch.setattr(writeback, "WAIT_FIRST", 0.01)

    @handler("q")
    async def work(payload: dict[str, Any], item: Item) -> None:
        nonlocal runs
        runs += 1
        await attached(item)

    await create_queue(client, "q", maxretries=1)
    daemon = await start(work, refusal_patience=patience)
    await client.push_workitem("q", {})
    await served_again(daemon, client, "q")
    (done,) = await client.query("workitems", {"wiq": "q"})
    assert [file["filename"] for file in done["files"]] == ["report.txt"]
    assert runs == (1 if patience else 3)


async def test_a_worker_that_ends_with_its_queue_does_not_wait_for_a_full_disk_for_ever(
    client: Client, start: Make, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "PATIENCE", 0.3)

    @handler("q")
    async def work(payload: dict[str, Any], item: Item) -> None:
        await attached(item)

    await create_queue(client, "q", maxretries=1)
    await client.push_workitem("q", {})
    daemon = Daemon(start.settings.model_copy(update={"once": True}), [work])  # type: ignore[attr-defined]
    disk.full = True
    async with asyncio.timeout(DEADLINE):
        assert await daemon.run(signals=False) == EXIT_FAILED
    (waiting,) = await client.query("workitems", {"wiq": "q"})
    assert (waiting["state"], waiting["retries"]) == ("new", 0)


async def test_without_a_thread_to_run_in_items_are_handed_back(
    client: Client, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    @handler("q")
    def work(payload: dict[str, Any]) -> None:
        """Take a thread."""

    await create_queue(client, "q", maxretries=1)
    daemon = await start(work)
    begin, none = threading.Thread.start, True

    def started(thread: threading.Thread) -> None:
        if none:
            raise RuntimeError("can't start new thread")
        begin(thread)

    await asyncio.to_thread(lambda: None)
    monkeypatch.setattr(threading.Thread, "start", started)
    await client.push_workitem("q", {})
    await handed_back(daemon, client, "q")
    none = False
    await served_again(daemon, client, "q")


@official_is_dear
async def test_a_worker_that_starts_without_a_process_rests_that_queue_until_there_is_one(
    client: Client, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    @handler("q")
    async def work(payload: dict[str, Any]) -> None:
        """Need no process."""

    async def none(*_: object) -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    for name in ("q", "typed"):
        await create_queue(client, name, maxretries=1)
    with monkeypatch.context() as patch:
        patch.setattr(process.ChildProcess, "start", none)
        daemon = await start(work, process_deeds.typed)
        await client.push_workitem("typed", {"number": 1})
        await handed_back(daemon, client, "typed")
        await client.push_workitem("q", {})
        await until_finished(client, "q")
    await served_again(daemon, client, "typed")
