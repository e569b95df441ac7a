"""A new project on disk: its name is checked, its files are made from templates, all or none."""

import keyword
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Final
from uuid import uuid4

from worker.errors import WorkerError
from worker.openiap.errors import FileTransferError
from worker.openiap.filenames import safe_name

SUFFIX: Final = ".template"
PACKAGE: Final = "package"
WHEELS: Final = "wheels"
HIDDEN: Final = frozenset({"gitignore", "dockerignore"})
MOST: Final = 60
_NAME: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9]|[-_](?=[A-Za-z0-9]))*")
TAKEN: Final = frozenset({"worker", "openiap", "handlers", "config", "tests", "pytest", "pydantic"})
"""Packages that a project of this name would hide, or be hidden by."""


class NameRefused(WorkerError):
    """The project cannot be called this, or its folder is taken; the text says why."""


@dataclass(frozen=True, slots=True)
class Project:
    """A project that was made.

    Attributes:
        package: the import name.
        files: what was written, relative to ``folder``.
    """

    name: str
    package: str
    folder: Path
    files: tuple[str, ...]


def make_project(
    name: str, parent: Path, *, version: str, wheel: tuple[str, bytes] | None = None
) -> Project:
    """Make a project in a new folder below ``parent``.

    Args:
        name: the folder's and the distribution's; the package has ``_`` for ``-``.
        version: the least one of this package that it needs.
        wheel: name and content of this package's own wheel, where no registry has it.

    Raises:
        NameRefused: the name cannot be used, or the folder is there already.
        OSError: it cannot be written; nothing is left.
    """
    package = package_of(name)
    folder = parent / name
    if folder.exists() or folder.is_symlink():
        raise NameRefused(f"{folder} exists already; nothing was written. Choose another name.")
    values = {"NAME": name, "PACKAGE": package, "VERSION": version}
    made = {path: text.encode() for path, text in rendered(values, clone=bool(wheel)).items()}
    if wheel is not None:
        made[f"{WHEELS}/{wheel[0]}"] = wheel[1]
    # Beside its place, and moved there whole: half a project is never left behind.
    half = parent / f".{name}-{uuid4().hex}"
    half.mkdir()
    try:
        for path, content in made.items():
            target = half / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        os.rename(half, folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    return Project(name, package, folder, tuple(made))


def package_of(name: str) -> str:
    """Return the import name of a project.

    Raises:
        NameRefused: no project can be called this; the text says why.
    """
    if not _NAME.fullmatch(name) or len(name) > MOST:
        raise NameRefused(
            f"A project cannot be called {name!r}: allowed are up to {MOST} letters (a to z),"
            " digits, - and _, beginning with a letter; for example invoice-robot."
        )
    package = name.replace("-", "_").lower()
    if keyword.iskeyword(package) or package in sys.stdlib_module_names:
        raise NameRefused(
            f"A project cannot be called {name!r}: {package} is a word of Python's own."
        )
    if package in TAKEN:
        raise NameRefused(
            f"A project cannot be called {name!r}: its package would stand in the way of another"
            f" one, {package}."
        )
    try:
        safe_name(name)
    except FileTransferError as error:
        raise NameRefused(f"A project cannot be called {name!r}: {error.text}.") from error
    return package


def rendered(values: Mapping[str, str], *, clone: bool = False) -> dict[str, str]:
    """Return the files of a project: path to text, in order of their paths.

    Args:
        values: NAME, PACKAGE and VERSION.
        clone: keep the lines that are for a project with this package's own wheel, and not those
            for one that finds it in a registry.
    """
    kept, dropped = ("@CLONE@", "@REGISTRY@") if clone else ("@REGISTRY@", "@CLONE@")
    root = files("worker.cli.new").joinpath("template")
    made: dict[str, str] = {}
    for path, template in sorted(_templates(root, PurePosixPath())):
        lines = template.read_text(encoding="utf-8").splitlines(keepends=True)
        text = "".join(line.removeprefix(kept) for line in lines if not line.startswith(dropped))
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
        made[_place(path, values["PACKAGE"])] = text
    return made


def _templates(
    folder: Traversable, below: PurePosixPath
) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _templates(entry, below / entry.name)
        elif entry.name.endswith(SUFFIX):
            yield below / entry.name.removesuffix(SUFFIX), entry


def _place(path: PurePosixPath, package: str) -> str:
    parts = [package if part == PACKAGE else part for part in path.parts]
    if parts[-1] in HIDDEN:
        parts[-1] = f".{parts[-1]}"
    return "/".join(parts)
