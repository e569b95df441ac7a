"""Building a package: a project's folder to ``dist/NAME-VERSION.tgz``."""

import hashlib
import os
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final
from uuid import uuid4

from worker.cli.package.archive import MAX_BYTES, Limits, pack, unpack
from worker.cli.package.bootstrap import main_py
from worker.cli.package.errors import PackageError
from worker.cli.package.manifest import PACKAGE_JSON, Manifest, package_json, read_package_json
from worker.cli.package.project import REQUIREMENTS, BuildOptions, read_project, with_wheel
from worker.cli.package.requirements import DISTRIBUTION, Installed, pinned
from worker.cli.package.selection import doubt
from worker.cli.shared.paths import is_device, shown

_WHEEL: Final = re.compile(r"openiap_worker-([^-]+)-py3-none-any\.whl")


@dataclass(frozen=True, slots=True)
class Built:
    """A package that was built or read.

    Attributes:
        manifest: what it says of itself.
        archive: the bytes of the .tgz.
        sha256: their hash, in hex.
        files: the paths in it, sorted.
        notes: what was left out or could not be pinned, as sentences.
        sizes: of the files, in bytes, in their order.
    """

    manifest: Manifest
    archive: bytes
    sha256: str
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()


def build(folder: Path, options: BuildOptions, *, max_bytes: int = MAX_BYTES) -> Built:
    """Return the package of a project. The same project gives the same bytes.

    Raises:
        PackageError: the project cannot be packaged; the text says what to change.
    """
    project = read_project(folder, options, max_bytes=max_bytes)
    wheel = options.wheel
    if wheel is not None:
        check_wheel(wheel)
        project = with_wheel(project, wheel)
    pins = pinned(project.requirements, installed, wheel=wheel.name if wheel else "")
    manifest = project.manifest
    files = {
        manifest.main: main_py(manifest.name, project.handlers),
        **project.files,
        PACKAGE_JSON: package_json(manifest),
        REQUIREMENTS: pins.text.encode(),
    }
    archive = pack(files, Limits(bytes=max_bytes))
    return Built(
        manifest,
        archive,
        hashlib.sha256(archive).hexdigest(),
        tuple(sorted(files)),
        (*project.notes, *pins.notes),
        tuple(len(files[path]) for path in sorted(files)),
    )


def read_package(path: Path) -> Built:
    """Return a package from its file, checked as ``publish`` and ``run`` need it.

    Raises:
        PackageError: it cannot be read, or an agent could not run it.
    """
    try:
        if is_device(path):
            raise PackageError(f"{shown(path)} is a device; allowed: a file.")
        archive = path.read_bytes()
    except OSError as error:
        raise PackageError(f"{shown(path)} cannot be read: {error.strerror or error}.") from error
    files = unpack(archive)
    manifest = read_package_json(files[PACKAGE_JSON])
    if manifest.main.removeprefix("./") not in files:
        raise PackageError(f"{path.name} lacks its main file {manifest.main}.")
    return Built(manifest, archive, hashlib.sha256(archive).hexdigest(), tuple(sorted(files)))


def write(built: Built, folder: Path) -> Path:
    """Put the archive into a folder under its name, in one step; returns its path.

    Raises:
        PackageError: the folder cannot be written.
    """
    target = folder / built.manifest.archive_name
    part = folder / f".{uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(built.archive)
        os.replace(part, target)
    except OSError as error:
        raise PackageError(
            f"{shown(target)} cannot be written: {error.strerror or error}."
        ) from error
    return target


@dataclass(frozen=True, slots=True)
class Packed:
    """A file in a package: its path, its bytes, and why it may not be meant to be there, or ""."""

    path: str
    size: int
    doubt: str


def contents(built: Built) -> list[Packed]:
    """Return what is in a package, by path."""
    return [
        Packed(path, size, "" if _WHEEL.fullmatch(path) else doubt(path, size))
        for path, size in zip(built.files, built.sizes, strict=True)
    ]


def _public(version: str) -> str:
    """Return a version without the label that tells one build of it from another."""
    return version.partition("+")[0]


def installed(name: str) -> Installed | None:
    """Return a distribution as it is installed in this interpreter, or None."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return Installed(found.version, tuple(found.requires or ()))


def check_wheel(wheel: Path) -> None:
    """Refuse a wheel that is not openiap-worker's, or not of the version that builds.

    Raises:
        PackageError: as said.
    """
    match = _WHEEL.fullmatch(wheel.name)
    if match is None or not os.path.isfile(wheel):
        raise PackageError(
            f"{shown(wheel)} is no wheel of {DISTRIBUTION} (openiap_worker-…-any.whl)."
        )
    own = installed(DISTRIBUTION)
    if own is not None and _public(own.version) != _public(match[1]):
        raise PackageError(
            f"{wheel.name} is not the version that is installed here ({own.version}), whose"
            " requirements would be shipped; build and install it first."
        )
