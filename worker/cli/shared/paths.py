"""Paths from the command line: whatever they are is told in a sentence."""

import os
import stat
from pathlib import Path
from typing import Final

from worker.cli.shared.errors import usage_error

MOST_SHOWN: Final = 200


def shown(path: Path | str) -> str:
    """Return a path as it can be shown: odd characters spelled out, a long one cut."""
    text = str(path)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def read(path: Path, option: str) -> bytes:
    """Return what is in a file; also of a pipe, which a shell may make for a command.

    Args:
        path: what was given.
        option: with which option.

    Raises:
        CommandError: it cannot be read, or would have no end.
    """
    try:
        if is_device(path):
            raise usage_error(f"{option} {shown(path)} is a device; allowed: a file.")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise usage_error(f"{option} {shown(path)}: {reason(error)}.") from error


def is_device(path: Path) -> bool:
    """Whether reading a path might never end: a device that is not this process's own input.

    Raises:
        OSError, ValueError: it cannot be looked at.
    """
    return stat.S_ISCHR(os.stat(path).st_mode) and not _is_standard_input(path)


def write(path: Path, option: str, text: str) -> None:
    """Write a text file.

    Raises:
        CommandError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise usage_error(f"{option} {shown(path)}: {reason(error)}.") from error


def reason(error: Exception) -> str:
    """Return why a path could not be used."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _is_standard_input(path: Path) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(0))
    except OSError:
        return False
