"""A file on its way in: written under another name, and given its own once it is whole."""

import contextlib
import errno
import os
from pathlib import Path
from typing import Final
from uuid import uuid4

from worker.openiap.errors import FileTransferError, LocalFileError, OpenIAPError

DISK: Final = frozenset(
    getattr(errno, name, errno.ENOSPC) for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "EFBIG")
)
"""What a disk says that takes nothing more, whatever it is asked to take."""
TABLES: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""What a process, or a machine, says that has no file to spare."""
OF_THE_NAME: Final = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})
"""What a disk says that is well and does not take a name."""


def part_of(target: Path) -> Path:
    """Return a fresh name beside ``target`` for a file that is not whole yet."""
    return target.with_name(f".{uuid4().hex}.part")


def check_length(part: Path, length: int, *, id: str) -> None:
    """See that a file is whole.

    Args:
        length: the stored length in bytes.

    Raises:
        FileTransferError: the length is another, or the file cannot be looked at.
    """
    try:
        found = part.stat().st_size
    except OSError as error:
        raise disk_refused(error) from None
    if found != length:
        raise FileTransferError(
            f"file {id} came with {found} of {length} bytes", operation="download"
        )


def finish(part: Path, target: Path, length: int, *, id: str) -> None:
    """Give a whole file its name, in one step.

    Args:
        length: the stored length in bytes.

    Raises:
        FileTransferError: the length is another, or the disk refused.
    """
    check_length(part, length, id=id)
    try:
        os.replace(part, target)
    except OSError as error:
        raise disk_refused(error) from None


def discard(part: Path) -> None:
    """Remove what is left of a transfer."""
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)


def disk_refused(error: OSError) -> OpenIAPError:
    """Return the error of a local disk that does not take a file."""
    # A link that broke is an OSError, too.
    other = isinstance(error, ConnectionError | TimeoutError) or error.errno in OF_THE_NAME
    return (FileTransferError if other else LocalFileError)(
        f"the local file cannot be written: {error.strerror or error}", operation="download"
    )
