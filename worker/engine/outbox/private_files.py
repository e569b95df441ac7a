"""Folders and files that only this user may read."""

import os
from contextlib import suppress
from pathlib import Path

from worker.errors import StateError


def private_folder(folder: Path) -> None:
    """Make a folder (and its parents) for this user alone.

    One that exists keeps its rights: it may be shared on purpose, like a mounted volume.

    Raises:
        StateError: it cannot be made, or it is not a folder; one sentence with the reason.
    """
    try:
        missing = [folder, *(p for p in folder.parents if not p.exists())]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StateError(f"The folder {folder} cannot be made: {error.strerror}.") from error


def private_file(path: Path) -> None:
    """Take all rights of others from a file, where the file system knows rights."""
    with suppress(OSError):
        os.chmod(path, 0o600)
