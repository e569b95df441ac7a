"""Who this worker is: a name that a restart finds again, held by one process at a time.

With ``worker_id`` set it is that name. Otherwise it is ``<host>-<dir>-<n>``: ``dir`` is four
characters drawn once for the state directory, since containers often share a host name, and ``n``
is the lowest number that no living process holds. So a restarted worker gets its old name, and with
it its outbox, and no two workers of a fleet get the same. Where two do all the same, as a copied
directory or a name that is set twice has it, the server tells (``fleet/own_name.py``).
"""

import os
import re
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.engine.outbox.lockfile import Locked, LockFile
from worker.engine.outbox.private_files import private_folder
from worker.errors import StateError

SUFFIX: Final = ".worker.lock"
MAX_SLOTS: Final = 10_000
DIRECTORY_ID: Final = "place"
"""The file that holds the state directory's id."""
READS: Final = 20
_DIRECTORY_ID: Final = re.compile(r"[0-9a-f]{4}")
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Identity:
    """A worker's name and the lock that makes it its own."""

    id: str
    lock: LockFile

    def release(self) -> None:
        """Let another process have the name; idempotent."""
        self.lock.release()


def lock_path(folder: Path, worker_id: str) -> Path:
    """Return the file that is locked by who has a name."""
    return folder / f"{worker_id}{SUFFIX}"


def claim_identity(
    folder: Path, worker_id: str = "", *, host: str = "", prefix: str = ""
) -> Identity:
    """Take a name and hold it until ``release`` or the end of the process.

    Args:
        folder: the state directory; made when it is missing.
        worker_id: the name to take; "" takes the first free ``<host>-<dir>-<n>``.
        host: instead of this machine's name.
        prefix: of a name that is taken freely.

    Raises:
        Locked: another process has ``worker_id``; the text names its pid.
        StateError: the folder cannot be used.
    """
    private_folder(folder)
    if worker_id:
        return Identity(worker_id, LockFile.take(lock_path(folder, worker_id)))
    stem = f"{prefix}{host_name(host or socket.gethostname())}-{directory_id(folder)}"
    for number in range(1, MAX_SLOTS + 1):
        name = f"{stem}-{number}"
        try:
            return Identity(name, LockFile.take(lock_path(folder, name)))
        except Locked:
            continue
    raise StateError(f"{folder}: {MAX_SLOTS} workers of {stem} run already.")


def directory_id(folder: Path) -> str:
    """Return the state directory's own four characters, drawn when it is first used.

    A disk that takes no file gives ``0000``: names still differ by host and number.
    """
    path = folder / DIRECTORY_ID
    with suppress(OSError):
        # One writer wins; a reader that comes in between sees nothing yet and looks again.
        with suppress(FileExistsError), path.open("x", encoding="ascii") as file:
            file.write(secrets.token_hex(2))
        for _ in range(READS):
            found = path.read_text(encoding="ascii", errors="replace").strip()
            if _DIRECTORY_ID.fullmatch(found):
                return found
            time.sleep(0.01)
    return "0000"


def draw_anew(folder: Path) -> None:
    """Give the state directory another id: it is a copy of one whose worker lives. Workers that run
    in it keep their names until they end.

    Raises:
        StateError: the disk refuses.
    """
    path, new = folder / DIRECTORY_ID, folder / f".{DIRECTORY_ID}-{os.getpid()}"
    try:
        new.write_text(secrets.token_hex(2), encoding="ascii")
        os.replace(new, path)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}.") from error


def host_name(text: str) -> str:
    """Return a host's name fit for a file name: ``"Büro PC"`` is ``"B-ro-PC"``."""
    return _FORBIDDEN.sub("-", text.partition(".")[0]).strip("-.")[:60] or "worker"
