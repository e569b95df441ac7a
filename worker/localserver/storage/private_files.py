"""The server's files belong to who runs it: 0600, whatever the umask says."""

import os
import stat
import sys
from pathlib import Path
from typing import Final

BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite makes beside its file, with its file's rights."""


def make_private(path: Path) -> bool:
    """Make a file for this user alone, or take all rights of others from it and its neighbours.

    Returns:
        Whether others could have read what was there before.

    Raises:
        OSError: it cannot be made, or others keep their rights.
    """
    try:
        # With its mode from the beginning: nobody else may open it even for a moment.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return any([close_to_others(path), *map(close_to_others, _beside(path))])
    return any(list(map(close_to_others, _beside(path))))


def close_to_others(path: Path) -> bool:
    """Take all rights of others from a file; returns whether they had any.

    Raises:
        OSError: it is not ours to change.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return False
    if sys.platform == "win32" or not mode & 0o077:
        return False
    path.chmod(mode & 0o700)
    return True


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in BESIDE]
