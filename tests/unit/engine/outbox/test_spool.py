"""Inputs go with the item; outputs stay until they are delivered."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from worker.engine.outbox.spool import Spool, SpooledFiles, folder_name
from worker.errors import StateError
from worker.openiap.errors import FileTransferError
from worker.openiap.workitem import Workitem, WorkitemFile


class Server:
    """Stands for the client: files by id, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = 0

    async def download(self, file: WorkitemFile, folder: Path) -> Path:
        self.asked.append(file.id)
        await self.gate.wait()
        if self.fails:
            self.fails -= 1
            raise FileTransferError("short")
        path = folder / file.filename
        path.write_text(f"content of {file.id}")
        return path

    async def size(self, file_id: str) -> int:
        return len(file_id)


def files_of(spool: Spool, server: Server, *files: WorkitemFile) -> SpooledFiles:
    workitem = Workitem(id="5f0c", retries=1, files=list(files))
    return SpooledFiles(spool, workitem, server.download, server.size)


A = WorkitemFile("a.txt", "id-a")


async def test_an_item_without_files_costs_no_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    files = files_of(spool, Server())
    files.discard_inputs()
    assert not spool.folder.exists()


async def test_a_file_is_fetched_once_however_many_ask(tmp_path: Path) -> None:
    server = Server()
    server.gate.clear()
    files = files_of(Spool(tmp_path), server, A)
    tasks = [asyncio.create_task(files.fetch(A)) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()  # the one who came first gives up; the others get the file
    server.gate.set()
    ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert isinstance(ended[0], asyncio.CancelledError)
    (path,) = set(ended[1:])
    assert path.read_text() == "content of id-a"
    assert await files.fetch(A) == path
    assert server.asked == ["id-a"]
    assert await files.size(A) == 4
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    files.discard_inputs()
    assert not path.parent.exists()


async def test_a_failed_fetch_can_be_repeated(tmp_path: Path) -> None:
    server = Server()
    server.fails = 1
    files = files_of(Spool(tmp_path), server, A)
    with pytest.raises(FileTransferError):
        await files.fetch(A)
    assert (await files.fetch(A)).read_text() == "content of id-a"
    assert server.asked == ["id-a", "id-a"]


async def test_a_download_that_nobody_waits_for_ends_with_the_item(tmp_path: Path) -> None:
    server = Server()
    server.gate.clear()
    spool = Spool(tmp_path)
    files = files_of(spool, server, A)
    asking = asyncio.create_task(files.fetch(A))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    files.discard_inputs()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, 60)
    assert list((tmp_path / "inputs").iterdir()) == []


async def test_an_unsafe_name_reaches_no_folder(tmp_path: Path) -> None:
    server = Server()
    bad = WorkitemFile("..", "id-b")
    files = files_of(Spool(tmp_path), server, bad)
    with pytest.raises(FileTransferError, match="not safe"):
        await files.fetch(bad)
    assert server.asked == []


async def test_names_that_differ_in_case_alone_do_not_overwrite_each_other(tmp_path: Path) -> None:
    server = Server()
    upper, lower = WorkitemFile("A.TXT", "id-1"), WorkitemFile("a.txt", "id-2")
    files = files_of(Spool(tmp_path), server, upper, lower)
    first, second = await files.fetch(upper), await files.fetch(lower)
    assert first.parent != second.parent


async def test_an_output_outlives_the_handlers_file_and_the_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    source = tmp_path / "receipt.pdf"
    source.write_text("one")
    files = files_of(spool, Server())
    kept = await files.keep(source, "receipt.pdf")
    source.write_text("changed afterwards")
    source.unlink()
    files.discard_inputs()
    assert kept.name == "receipt.pdf"
    assert kept.path.read_text() == "one"
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    again = await files.keep(b"two", "receipt.pdf")
    assert again.path.read_bytes() == b"two"
    assert [path.name for path in kept.path.parent.iterdir()] == ["receipt.pdf"]
    spool.discard_outputs("5f0c", 1)
    assert not kept.path.parent.exists()


async def test_only_a_regular_file_with_a_safe_name_is_kept(tmp_path: Path) -> None:
    files = files_of(Spool(tmp_path / "spool"), Server())
    with pytest.raises(FileTransferError, match=r"missing cannot be attached as x: No such file"):
        await files.keep(tmp_path / "missing", "x")
    with pytest.raises(FileTransferError, match="not a regular file"):
        await files.keep(tmp_path, "x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileTransferError, match="not a regular file"):
        await asyncio.wait_for(files.keep(tmp_path / "pipe", "x"), 60)
    with pytest.raises(FileTransferError, match="not safe"):
        await files.keep(b"x", "con")
    kept = await files.keep(b"x", "../../up.txt")
    assert kept.path == tmp_path / "spool" / "outputs" / "5f0c-1" / "up.txt"


async def test_a_disk_that_refuses_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    files = files_of(Spool(tmp_path), Server())
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match=r"x.bin cannot be kept in .*: No space left on device\."):
        await files.keep(b"x", "x.bin")
    assert list((tmp_path / "outputs" / "5f0c-1").iterdir()) == []


@pytest.mark.parametrize("linked", [True, False], ids=["a link", "a copy, where none can be made"])
def test_another_spools_output_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    theirs, ours = Spool(tmp_path / "theirs"), Spool(tmp_path / "ours")
    left = theirs.keep(b"report", "report.txt", "5f0c", 1)
    if not linked:
        monkeypatch.setattr(os, "link", _refuses)
    taken = ours.inherit(left, "report.txt", "5f0c", 1)
    assert taken.samefile(left) is linked
    # Once more, as after a death in between; then the other one tidies up.
    assert ours.inherit(left, "report.txt", "5f0c", 1) == taken
    theirs.sweep()
    assert not left.exists()
    assert taken.read_bytes() == b"report"
    assert [path.name for path in taken.parent.iterdir()] == ["report.txt"]
    with pytest.raises(FileTransferError, match="No such file"):
        ours.inherit(left, "report.txt", "5f0c", 2)


def _refuses(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_the_sweep_keeps_what_the_outbox_still_has_to_send(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    wanted = spool.keep(b"x", "x", "../a", 0)
    spool.keep(b"x", "x", "b", 0)
    spool.keep(b"x", "x", "../a", 1)
    spool.inputs("../a", 0)
    assert spool.sweep(keep=[("../a", 0)]) == 3
    assert wanted.read_bytes() == b"x"
    assert [p.name for p in (tmp_path / "outputs").iterdir()] == [folder_name("../a", 0)]
    assert list((tmp_path / "inputs").iterdir()) == []
    assert Spool(tmp_path / "never made").sweep() == 0


def test_an_items_id_cannot_lead_out_of_the_spool() -> None:
    for hostile in ("../x", "a/b", "", ".", "A", "x" * 500, "a\0b", "C:x"):
        name = folder_name(hostile, 3)
        assert name.removesuffix("-3").isalnum()
        assert len(name) < 80
    assert folder_name("5f0c", 3) == "5f0c-3"
