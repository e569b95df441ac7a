"""The folder in which the official library makes its temporary files: this process's own.

1. The library writes whole item files to ``openiap_<seconds since 1970>.tmp`` in the temporary
   folder, readable by all, through whatever link lies there. So it is given a folder that only
   this user may enter.
2. It is gone when the process ends; what a killed one left behind goes at the next start, which
   tells by a lock that the kernel lets go of with the process.
"""

import atexit
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from worker.openiap.errors import Unsupported

if sys.platform != "win32":
    import fcntl

PREFIX: Final = "openiap-library-files-"
"""Nobody else's: whatever is called so and has no lock is removed."""
VARIABLES: Final = ("TMP", "TEMP") if sys.platform == "win32" else ("TMPDIR",)
"""Where Rust looks for the temporary folder, each time that it needs it."""
SETTLED: Final = 60.0
"""Seconds after which a folder without a lock is nobody's: making one and locking it are two."""


class ScratchFolder:
    """A private folder for as long as this process lives.

    Raises:
        Unsupported: none can be made; the text says why.
    """

    def __init__(self) -> None:
        try:
            above = Path(tempfile.gettempdir())
            sweep(above)
            self.path: Final = Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))
        except OSError as error:
            raise Unsupported(
                "the official library has no folder for its temporary files:"
                f" {error.strerror or error}",
                operation="connect",
            ) from error
        self._process = os.getpid()
        self._lock: int | None = None
        self._take()
        atexit.register(self.remove)

    def use(self) -> None:
        """Have the library use it, and make it again where somebody has tidied it up.

        For the library alone: ``os.environ`` keeps what it says, and so does ``tempfile``.
        """
        if not _is_private(self.path):
            with suppress(OSError):
                self.path.mkdir(mode=0o700)
                self._take()
        for variable in VARIABLES:
            os.putenv(variable, str(self.path))

    def remove(self) -> None:
        """Remove it with what is in it; not what another process has inherited."""
        if os.getpid() != self._process:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _take(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
        self._lock = _locked(self.path)


def sweep(above: Path) -> None:
    """Remove the folders of processes that are gone."""
    for path in _candidates(above):
        lock = _locked(path)
        if lock is None:
            continue
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _candidates(above: Path) -> Iterator[Path]:
    if sys.platform == "win32":
        return  # without locks on folders; Windows gives each user a temporary folder of his own
    with suppress(OSError), os.scandir(above) as entries:
        for entry in entries:
            with suppress(OSError):
                if not entry.name.startswith(PREFIX) or not _is_private(Path(entry.path)):
                    continue
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > SETTLED:
                    yield Path(entry.path)


def _is_private(path: Path) -> bool:
    """Say whether this is a folder, no link, of this user alone."""
    try:
        found = path.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return False
    return sys.platform == "win32" or (
        found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
    )


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the folder's lock, or None: somebody else does."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
