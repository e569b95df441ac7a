"""The ``.tgz``: files to bytes and back, with nothing in it but the files. Pure.

The same files give the same bytes whatever their dates, owners and order were, so that two builds
can be compared by their hash. Reading trusts nothing: an archive may come from anywhere.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from worker.cli.package.errors import PackageError
from worker.cli.package.selection import checked_path

MAX_FILES: Final = 10_000
MAX_BYTES: Final = 100 * 1024 * 1024
"""Unpacked; an agent's container has 225 MiB of memory by default and copies the package."""
_ENTRY: Final = 4096
"""Bytes that a file costs in a tar beside its content: headers and padding."""
_LEVEL: Final = 9
_MODE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a package may hold, unpacked."""

    files: int = MAX_FILES
    bytes: int = MAX_BYTES


def pack(files: Mapping[str, bytes], limits: Limits | None = None) -> bytes:
    """Return the archive of the files.

    Args:
        files: content by path, relative to the package's root, with forward slashes.

    Raises:
        PackageError: too many or too large files, an unsafe path, or two paths that are one where
            upper and lower case are the same.
    """
    limits = limits or Limits()
    _check_size(len(files), sum(map(len, files.values())), limits)
    seen: dict[str, str] = {}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(files):
            twin = seen.setdefault(checked_path(path).casefold(), path)
            if twin != path:
                raise PackageError(
                    f"{twin} and {path} are one file where case does not count; rename one."
                )
            entry = tarfile.TarInfo(path)
            entry.size = len(files[path])
            entry.mode = _MODE
            tar.addfile(entry, io.BytesIO(files[path]))
    return gzip.compress(raw.getvalue(), _LEVEL, mtime=0)


def unpack(archive: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    """Return the files of an archive; a single folder around everything is taken off.

    Raises:
        PackageError: no .tgz, broken, too large, or with an entry that is no plain file under a
            safe path.
    """
    limits = limits or Limits()
    files: dict[str, bytes] = {}
    total = 0
    try:
        raw = _gunzip(archive, limits)
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
            for entry in tar:
                if entry.isdir():
                    continue
                if not entry.isreg():
                    raise PackageError(f"{entry.name!r} in the archive is no plain file.")
                path = checked_path(entry.name.removeprefix("./"))
                total += entry.size
                _check_size(len(files) + 1, total, limits)
                source = tar.extractfile(entry)
                files[path] = source.read() if source is not None else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error, UnicodeError) as error:
        raise PackageError(f"This is not a whole .tgz archive: {error}.") from error
    return _without_folder(files)


def _gunzip(archive: bytes, limits: Limits) -> bytes:
    """Return the archive unzipped, and never much more than is allowed to be in it."""
    most = limits.bytes + limits.files * _ENTRY
    with gzip.GzipFile(fileobj=io.BytesIO(archive)) as source:
        raw = source.read(most + 1)
        if len(raw) > most:
            _check_size(0, limits.bytes + 1, limits)
        source.read(1)  # the checksum is compared at the end
    return raw


def _without_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    if "package.json" in files:
        return files
    tops = {path.partition("/")[0] for path in files}
    top = next(iter(tops)) if len(tops) == 1 else ""
    if top and f"{top}/package.json" in files:
        return {path[len(top) + 1 :]: content for path, content in files.items()}
    raise PackageError("The archive has no package.json at its root, so no agent runs it.")


def _check_size(count: int, total: int, limits: Limits) -> None:
    if count > limits.files:
        raise PackageError(
            f"The package has more than {limits.files:,} files; leave some out with an ignore file"
            " (.npmignore)."
        )
    if total > limits.bytes:
        raise PackageError(
            f"The package is larger than {limits.bytes / 1024 / 1024:,.0f} MiB unpacked; leave"
            " files out with an ignore file (.npmignore), or raise --max-size."
        )
