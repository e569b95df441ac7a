"""The folder of the official library's temporary files: private, and gone with the process."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from worker.openiap.official.library import load_library, scratch_folder
from worker.openiap.official.scratch import PREFIX, SETTLED, ScratchFolder

KILLED = """
import os, signal
from worker.openiap.official.library import load_library, scratch_folder
load_library()
path = scratch_folder().path
(path / "openiap_1.tmp").write_text("a file of somebody's")
print(path, flush=True)
"""


def test_the_folder_of_temporary_files_goes_with_its_process_or_at_the_next_start(
    tmp_path: Path,
) -> None:
    def started(more: str) -> Path:
        process = subprocess.run(
            [sys.executable, "-c", KILLED + more],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert process.stderr == ""
        return Path(process.stdout.strip())

    assert not started("").exists()
    killed = started("os.kill(os.getpid(), signal.SIGKILL)")
    assert killed.parent == tmp_path
    assert killed.stat().st_mode & 0o777 == 0o700
    open_to_all = tmp_path / f"{PREFIX}of-somebody"
    open_to_all.mkdir(mode=0o755)
    (others := tmp_path / "openiap-worker-x").mkdir(mode=0o700)
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to("/etc")
    living = ScratchFolder.__new__(ScratchFolder)  # one that is held by this process
    held = tmp_path / f"{PREFIX}held"
    held.mkdir(mode=0o700)
    living.path = held
    living._lock = None
    living._take()
    long_ago = time.time() - 10 * SETTLED
    for folder in (killed, open_to_all, held, others):
        os.utime(folder, (long_ago, long_ago))
    started("")
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(
        path.name for path in (open_to_all, link, held, others)
    )


def test_a_folder_that_was_tidied_up_is_made_again() -> None:
    folder = scratch_folder()
    load_library()
    shutil.rmtree(folder.path)
    load_library()
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_programs_that_the_worker_starts_do_not_get_the_librarys_folder() -> None:
    load_library()
    assert str(scratch_folder().path) not in (os.environ.get("TMPDIR", ""), tempfile.gettempdir())
