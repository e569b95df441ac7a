"""Traps of the official library: late replies of pops, and what a pop downloads by itself."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.openiap.conftest import ONLY_OFFICIAL, Door
from worker.openiap.errors import FileTransferError, RequestTimeout
from worker.openiap.official.client import OfficialClient
from worker.openiap.official.library import scratch_folder
from worker.openiap.workitem import Workitem, WorkitemFile

pytestmark = ONLY_OFFICIAL


@pytest.fixture
def scratch(door: Door) -> Path:
    """The folder that the library has for its temporary files."""
    folder = scratch_folder().path
    for left in folder.iterdir():
        if left.is_dir():  # of a program that another test of this process started
            shutil.rmtree(left)
        else:
            left.unlink()
    return folder


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_pop_that_comes_too_late_is_told(door: Door) -> None:
    late: list[Workitem] = []
    client = official(door)
    client.on_late_pop = late.append
    await door.queue("q")
    pushed = await client.push_workitem("q", {"n": 1})
    door.server.faults.delay = {"popworkitem": 1.0}
    with pytest.raises(RequestTimeout):
        await client.pop_workitem("q", timeout=0.2)
    await until(lambda: bool(late))
    assert [item.id for item in late] == [pushed.id]
    assert late[0].payload == {"n": 1}
    assert late[0].state == "processing"


async def test_a_cancelled_pop_is_told_too(door: Door) -> None:
    late: list[Workitem] = []
    client = official(door)
    client.on_late_pop = late.append
    await door.queue("q")
    pushed = await client.push_workitem("q", {"n": 1})
    door.server.faults.delay = {"popworkitem": 0.3}
    call = asyncio.ensure_future(client.pop_workitem("q"))
    await until(lambda: door.server.stats.get("popworkitem", 0) > 0)
    call.cancel()
    await until(lambda: bool(late))
    assert [item.id for item in late] == [pushed.id]


async def test_a_late_pop_of_nothing_is_nothing(door: Door) -> None:
    late: list[Workitem] = []
    client = official(door)
    client.on_late_pop = late.append
    await door.queue("q")
    door.server.faults.delay = {"popworkitem": 0.3}
    with pytest.raises(RequestTimeout):
        await client.pop_workitem("q", timeout=0.1)
    door.server.faults.delay = {}
    await asyncio.sleep(0.4)
    await client.count("things")
    assert late == []


async def test_a_pop_leaves_nothing_where_the_library_downloads(
    door: Door, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await door.queue("q")
    source = tmp_path / "scan.pdf"
    source.write_bytes(os.urandom(400_000))
    await door.client.push_workitem("q", {}, files=[source])
    source.unlink()
    assert await door.client.pop_workitem("q") is not None
    assert [*tmp_path.iterdir(), *scratch.iterdir()] == []


async def test_what_a_pop_downloads_by_itself_nobody_else_can_read(
    door: Door, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(
        "worker.openiap.official.operations.discard",
        lambda path: kept.append(path.stat().st_size) if path.exists() else None,
    )
    await door.queue("q")
    source = tmp_path / "scan.pdf"
    source.write_bytes(os.urandom(100_000))
    await door.client.push_workitem("q", {}, files=[source])
    assert await door.client.pop_workitem("q") is not None
    assert kept == [100_000]  # there and nowhere else
    assert scratch.stat().st_mode & 0o777 == 0o700
    assert scratch.stat().st_uid == os.geteuid()
    assert not scratch.is_symlink()


async def test_each_pop_has_a_folder_of_its_own(door: Door, tmp_path: Path) -> None:
    await door.queue("q")
    for text in ("one", "two"):
        (tmp_path / "same.txt").write_text(text)
        await door.client.push_workitem("q", {}, files=[tmp_path / "same.txt"])
    items = [
        await door.client.pop_workitem("q", downloadfolder=tmp_path / "work") for _ in range(2)
    ]
    paths = [item.files[0].path for item in items if item]
    assert [path.read_text() for path in paths if path] == ["one", "two"]
    assert len({path.parent for path in paths if path}) == 2


async def test_a_file_that_cannot_be_fetched_does_not_cost_the_item(
    door: Door, tmp_path: Path
) -> None:
    await door.queue("q")
    (tmp_path / "scan.pdf").write_bytes(b"x")
    pushed = await door.client.push_workitem("q", {}, files=[tmp_path / "scan.pdf"])
    door.server.services.files.delete(pushed.files[0].id)  # OpenIAP itself keeps what items name
    item = await door.client.pop_workitem("q", downloadfolder=tmp_path / "work")
    assert item is not None
    assert item.id == pushed.id
    assert [file.path for file in item.files] == [None]


async def test_a_removal_never_uploads_a_local_file_of_that_name(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.txt").write_text("a local file")
    with pytest.raises(FileTransferError, match=r"report\.txt"):
        await door.client.update_workitem(
            Workitem(id="x", state="processing"), [WorkitemFile("report.txt")]
        )
    assert door.server.stats.get("updateworkitem", 0) == 0


async def test_without_http_files_come_through_the_library_and_are_whole(
    door: Door, tmp_path: Path
) -> None:
    client = await door.another(http_url="http://127.0.0.1:9")
    (tmp_path / "small.txt").write_bytes(os.urandom(100_000))
    id = await client.upload(tmp_path / "small.txt")
    path = await client.download(id, tmp_path / "out")
    assert path.read_bytes() == (tmp_path / "small.txt").read_bytes()
    assert [one.name for one in path.parent.iterdir()] == ["small.txt"]


async def test_a_transfer_whose_temporary_file_another_took_is_made_again(
    door: Door, tmp_path: Path, scratch: Path
) -> None:
    client = await door.another(http_url="http://127.0.0.1:9")
    (tmp_path / "large.bin").write_bytes(os.urandom(200_000))
    id = await client.upload(tmp_path / "large.bin")
    door.server.faults.delay = {"download": 0.5}
    download = asyncio.create_task(client.download(id, tmp_path / "out"))
    await until(lambda: any(scratch.iterdir()))
    next(scratch.iterdir()).unlink()
    door.server.faults.delay = {}
    path = await download
    assert path.read_bytes() == (tmp_path / "large.bin").read_bytes()
    assert [one.name for one in path.parent.iterdir()] == ["large.bin"]
    assert door.server.stats["download"] == 3  # the one in vain, and two that agree


async def test_a_file_that_stays_short_is_an_error_and_leaves_nothing(
    door: Door, tmp_path: Path
) -> None:
    door.server.faults.truncate_downloads = True
    client = await door.another(http_url="http://127.0.0.1:9")
    (tmp_path / "large.bin").write_bytes(os.urandom(600_000))
    id = await client.upload(tmp_path / "large.bin")
    with pytest.raises(FileTransferError, match="whole"):
        await client.download(id, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


async def test_an_expired_token_is_renewed_for_a_download(door: Door, tmp_path: Path) -> None:
    client = official(door)
    (tmp_path / "a.txt").write_bytes(b"x" * 1000)
    id = await client.upload(tmp_path / "a.txt")
    client._link.token = "expired"
    path = await client.download(id, tmp_path / "out")
    assert path.stat().st_size == 1000
    assert client._link.token != "expired"


def official(door: Door) -> OfficialClient:
    assert isinstance(door.client, OfficialClient)
    return door.client
