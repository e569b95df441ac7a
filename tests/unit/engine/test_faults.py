"""Whose fault an error is: the item's, or the worker's and its machine's."""

import errno
import os
import shutil
import sqlite3
import tempfile
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any, NoReturn

import pytest

from worker.engine import faults
from worker.engine.faults import fault_behind
from worker.engine.outbox.spool import Spool, takes
from worker.errors import StateError, WorkerFault

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill every disk."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1, 1, 0))


def failed(number: int, filename: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), filename)


def raised(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except Exception as found:
        return found


FULL = [
    failed(errno.ENOSPC),
    failed(errno.EDQUOT),
    failed(errno.EROFS),
    failed(errno.EIO),
    OSError("[Errno 28] No space left on device"),  # as it comes out of another process
    raised(RuntimeError("report"), failed(errno.ENOSPC)),
    ExceptionGroup("several", [ValueError("x"), failed(errno.ENOSPC)]),
    FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
]


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("error", FULL, ids=repr)
async def test_a_full_disk_of_the_worker_is_its_own_fault(error: Exception, spool: Spool) -> None:
    fault = await fault_behind(error, None, spool)
    assert fault is not None
    assert not fault.over()


@pytest.mark.parametrize("error", FULL, ids=repr)
async def test_where_the_worker_s_disks_are_well_it_is_the_handler_s(
    error: Exception, spool: Spool
) -> None:
    assert await fault_behind(error, None, spool) is None


async def test_a_full_scratch_folder_is_the_worker_s_fault_too(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(scratch))
    monkeypatch.setattr(faults, "takes", lambda folder, size: folder != scratch)
    fault = await fault_behind(failed(errno.ENOSPC), None, spool)
    assert fault is not None
    assert str(scratch) in str(fault)


@pytest.mark.usefixtures("full")
async def test_a_full_disk_elsewhere_is_the_handler_s_affair(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = {"/mnt": 7}
    known = os.stat

    def stat(path: Any, **more: Any) -> Any:
        found = known("/" if str(path).startswith("/mnt") else path, **more)
        return type("Stat", (), {"st_dev": devices.get(str(path)[:4], found.st_dev)})

    monkeypatch.setattr(faults.os, "stat", stat)
    assert await fault_behind(failed(errno.ENOSPC, "/mnt/share/x"), None, spool) is None
    assert await fault_behind(failed(errno.ENOSPC, str(spool.folder / "x")), None, spool)


async def test_sqlite_says_it_in_its_own_way(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert await fault_behind(error, None, spool) is None
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1, 1, 0))
    assert await fault_behind(error, None, spool) is not None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_a_process_without_a_file_to_spare_is_at_fault_whoever_opened_them(
    number: int, spool: Spool
) -> None:
    fault = await fault_behind(failed(number), None, spool)
    assert fault is not None
    assert fault.over()


@pytest.mark.parametrize(
    "error", [failed(errno.EAGAIN), failed(errno.ENOMEM), RuntimeError("can't start new thread")]
)
async def test_without_a_thread_or_process_to_spare_the_machine_is_at_fault(
    error: Exception, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await fault_behind(error, None, spool) is None, "there are threads"

    def start(thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert await fault_behind(error, None, spool) is not None


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    "error", [ValueError("x"), FileNotFoundError(2, "x"), PermissionError(13, "x")], ids=repr
)
async def test_other_errors_are_the_item_s_whatever_the_disk_is_like(
    error: Exception, spool: Spool
) -> None:
    assert await fault_behind(error, None, spool) is None


async def test_what_the_worker_could_not_do_is_its_fault_whatever_is_raised(spool: Spool) -> None:
    met = WorkerFault("no", over=lambda: True)
    assert await fault_behind(ValueError("no scan"), met, spool) is met
    assert await fault_behind(raised(ValueError("x"), met), None, spool) is met


def test_a_disk_is_asked_for_what_it_did_not_take(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    free = 3_000_000

    def fsync(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 100_000 and free < 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 0, free))
    monkeypatch.setattr(os, "fsync", fsync)
    free = 500_000
    with pytest.raises(WorkerFault, match="cannot be kept") as caught:
        spool.keep(b"x" * 600_000, "a.bin", "i", 0)
    assert not caught.value.over()
    assert takes(spool.folder, 1_000), "a small file has room"
    free = 3_000_000
    assert caught.value.over()
    assert not any(path.is_file() for path in spool.folder.rglob("*")), "nothing is left behind"


def test_a_name_that_the_disk_does_not_take_is_no_fault_of_the_worker(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(source: Any, target: Any) -> NoReturn:
        raise failed(errno.ENAMETOOLONG)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(StateError) as caught:
        spool.keep(b"x", "a.bin", "i", 0)
    assert not isinstance(caught.value, WorkerFault)
