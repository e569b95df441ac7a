"""Contract of the client: files, whole and under safe names."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.integration.openiap.conftest import Door
from worker.openiap.errors import FileTransferError, Unsupported
from worker.openiap.workitem import MOST_FILES, Workitem, WorkitemFile


def made(folder: Path, name: str, size: int) -> Path:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


@pytest.mark.parametrize("size", [0, 1, 261_120, 300_000, 3_000_001])
async def test_a_file_comes_back_whole(door: Door, tmp_path: Path, size: int) -> None:
    door.server.faults.truncate_downloads = True
    source = made(tmp_path, "scan.pdf", size)
    id = await door.client.upload(source)
    path = await door.client.download(id, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "scan.pdf"
    assert digest(path) == digest(source)
    assert [one.name for one in path.parent.iterdir()] == ["scan.pdf"]


async def test_many_downloads_at_once_keep_apart(door: Door, tmp_path: Path) -> None:
    import asyncio

    sources = [made(tmp_path, f"{n}.bin", 280_000) for n in range(6)]
    ids = await asyncio.gather(*[door.client.upload(source) for source in sources])
    paths = await asyncio.gather(*[door.client.download(id, tmp_path / "out") for id in ids])
    assert [digest(path) for path in paths] == [digest(source) for source in sources]


async def test_names_types_and_metadata_are_stored(door: Door, tmp_path: Path) -> None:
    source = made(tmp_path, "local.bin", 10)
    id = await door.client.upload(source, "other.txt", "text/x-test", {"mine": 1})
    (stored,) = await door.client.query("fs.files", {"_id": id})
    assert stored["filename"] == "other.txt"
    assert stored["length"] == 10
    assert stored["metadata"]["mine"] == 1
    path = await door.client.download(id, tmp_path / "out", "third.txt")
    assert path.name == "third.txt"
    assert path.read_bytes() == source.read_bytes()


async def test_a_missing_local_file_is_refused_before_anything_is_sent(
    door: Door, tmp_path: Path
) -> None:
    await door.queue("q")
    before = dict(door.server.stats)
    with pytest.raises(FileTransferError, match="missing"):
        await door.client.upload(tmp_path / "missing.txt")
    with pytest.raises(FileTransferError, match="missing"):
        await door.client.push_workitem("q", {}, files=[tmp_path / "missing.txt"])
    with pytest.raises(FileTransferError, match="missing"):
        await door.client.update_workitem(
            Workitem(id="x", state="successful"),
            [made(tmp_path, "there.txt", 1), tmp_path / "missing.txt"],
        )
    for command in ("upload", "pushworkitem", "updateworkitem"):
        assert door.server.stats.get(command, 0) == before.get(command, 0)


async def test_an_unknown_file_is_an_error(door: Door, tmp_path: Path) -> None:
    with pytest.raises(FileTransferError):
        await door.client.download("5f7f4f4f4f4f4f4f4f4f4f4f", tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_an_items_files_are_pushed_listed_and_fetched(door: Door, tmp_path: Path) -> None:
    await door.queue("q")
    source = made(tmp_path, "scan.pdf", 300_000)
    pushed = await door.client.push_workitem("q", {}, files=[source])
    assert [file.filename for file in pushed.files] == ["scan.pdf"]
    item = await door.client.pop_workitem("q", downloadfolder=tmp_path / "work")
    assert item is not None
    (file,) = item.files
    assert file.path is not None
    assert file.path.name == "scan.pdf"
    assert (tmp_path / "work") in file.path.parents
    assert digest(file.path) == digest(source)


async def test_files_stay_on_the_server_until_they_are_asked_for(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await door.queue("q")
    source = made(tmp_path / "..", "scan.pdf", 100)
    await door.client.push_workitem("q", {}, files=[source])
    source.unlink()
    item = await door.client.pop_workitem("q")
    assert item is not None
    (file,) = item.files
    assert file.path is None
    assert list(tmp_path.iterdir()) == []
    path = await door.client.download(file.id, tmp_path / "mine", file.filename)
    assert path.stat().st_size == 100


async def test_files_are_attached_replaced_and_removed(door: Door, tmp_path: Path) -> None:
    await door.queue("q")
    await door.client.push_workitem("q", {})
    item = await door.client.pop_workitem("q")
    assert item is not None
    source = made(tmp_path, "out.txt", 20)
    item.state = "processing"
    updated = await door.client.update_workitem(item, [source])
    (attached,) = updated.files
    assert attached.filename == "out.txt"
    (stored,) = await door.client.query("fs.files", {"_id": attached.id})
    assert stored["metadata"]["wi"] == item.id
    updated = await door.client.update_workitem(item)
    assert [file.filename for file in updated.files] == ["out.txt"]
    uploaded = await door.client.upload(made(tmp_path, "two", 30), "two.txt")
    updated = await door.client.update_workitem(item, [WorkitemFile("two.txt", uploaded)])
    assert {file.filename for file in updated.files} == {"out.txt", "two.txt"}
    updated = await door.client.update_workitem(item, [WorkitemFile("out.txt")])
    assert [file.filename for file in updated.files] == ["two.txt"]


async def test_a_hostile_name_stays_in_the_folder(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    await door.queue("q")
    pushed = await door.client.push_workitem("q", {}, files=[made(tmp_path, "ok.txt", 50)])
    (tmp_path / "ok.txt").unlink()
    await rename_file(door, pushed, "../../x")
    item = await door.client.pop_workitem("q", downloadfolder=deep / "work")
    assert item is not None
    outside = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all((deep / "work") in path.parents for path in outside)
    (file,) = item.files
    if file.path is not None:
        assert file.path.name == "x"


async def test_a_name_that_cannot_be_made_safe_is_refused(door: Door, tmp_path: Path) -> None:
    id = await door.client.upload(made(tmp_path, "ok", 5), "fine.txt")
    for name in ("..", "a/..", "con", "a\u0000b", " "):
        with pytest.raises(FileTransferError):
            await door.client.download(id, tmp_path / "out", name)


async def rename_file(door: Door, item: Workitem, name: str) -> None:
    """Give an item's file a name that no honest client would, in the server's own documents."""
    (document,) = await door.client.query("workitems", {"_id": item.id})
    for file in document["files"]:
        file["name"] = file["filename"] = name
    await door.client.update_one("workitems", document)
    (stored,) = await door.client.query("fs.files", {"_id": item.files[0].id})
    stored["filename"] = name
    await door.client.update_one("fs.files", stored)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_more_files_than_an_item_can_be_given_are_refused(door: Door, tmp_path: Path) -> None:
    await door.queue("q")
    (tmp_path / "a.txt").write_bytes(b"x")
    files = [tmp_path / "a.txt"] * (MOST_FILES + 1)
    with pytest.raises(FileTransferError, match=r"1,001 files are more than the 1,000 that"):
        await door.client.push_workitem("q", {}, files=files)
    assert door.server.stats.get("pushworkitem", 0) == 0


async def test_files_pushed_by_a_queues_name_go_when_the_queue_is_purged(
    door: Door, tmp_path: Path
) -> None:
    """The server finds them by the queue's id, which who pushes by name does not give."""
    source = made(tmp_path, "scan.pdf", 1_000)
    for _ in range(2):  # the second queue of the name has an id of its own
        await door.queue("q")
        await door.client.push_workitem("q", {}, files=[source])  # the first may not know that yet
        pushed = await door.client.push_workitem("q", {}, files=[source])
        stored = await door.client.query("fs.files", {"_id": pushed.files[0].id})
        assert stored[0]["metadata"]["wiqid"] == pushed.wiqid
        try:
            await door.client.delete_workitem_queue("q", purge=True)
        except Unsupported:  # the official library never administrates queues
            return
        assert await door.client.query("fs.files", {"_id": pushed.files[0].id}) == []
