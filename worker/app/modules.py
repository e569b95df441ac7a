"""One module with handlers: what a name or a path means, and its import.

1. A path is that file, whatever else bears its name. It is imported under the name that it has in
   the working directory, or else in its own folder, if that name leads to this very file;
   otherwise under one made of its path (``by_path.py``).
2. A name is first looked for in the working directory, and then wherever Python looks.
3. The working directory is importable, but behind Python's own modules, and behind installed ones
   where a handlers' file bears the name of one: ``queue.py`` must not be taken for Python's. The
   folder of a file is importable behind everything.
"""

import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path, PurePath, PureWindowsPath
from types import ModuleType
from typing import Final

from worker.app import by_path
from worker.app.by_path import PACKAGE_INIT
from worker.app.neighbours import check_neighbours
from worker.errors import HandlerError
from worker.import_path import PYTHONS_OWN, behind_pythons_own
from worker.item.error_text import text_of
from worker.package_path import FILES_BY_PATH

SUFFIX: Final = ".py"
MOST_NAMED: Final = 5
_RELATIVE: Final = re.compile(rb"^[ \t]*from[ \t]+(\.+)", re.MULTILINE)
_NOT_THE_USERS: Final = (
    *(__file__, by_path.__file__, "<frozen importlib"),
    os.path.join(PYTHONS_OWN, "importlib") + os.sep,
)
"""How the files begin whose frames stand between this one and a user's module."""


def load_module(name: str, folder: Path) -> ModuleType:
    """Import one module with handlers.

    Args:
        name: a dotted name, or the path of a file or of a package's folder.
        folder: the working directory, absolute; made importable.

    Raises:
        HandlerError: no such file, no Python file, or one that does not import.
    """
    file = _file_of(name, folder) if is_path(name) else _file_in(folder, name)
    _make_importable(folder, file)
    try:
        found = import_module(name if file is None else _name_of(file, folder))
    except HandlerError as error:
        raise HandlerError(f"Module {shown(name)}: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may do anything, ending the interpreter included
        raise HandlerError(f"Module {shown(name)} does not import: {_where(error)}") from error
    if not hasattr(found, "__dict__"):
        raise HandlerError(f"Module {shown(name)} has put something else in its place: {found!r}.")
    if file is not None:
        check_neighbours(file, shown(name), folder)
    return found


def is_path(name: str) -> bool:
    """Whether a module is named by a path; otherwise it is a dotted name. Pure."""
    if name.startswith(FILES_BY_PATH):
        return False
    return name.endswith(SUFFIX) or any(sign in name for sign in "/\\") or name in (".", "..")


def parts_of(name: str) -> tuple[str, ...]:
    """Return the parts of a path, whether it was written here or on Windows. Pure."""
    windows = "\\" in name and "/" not in name
    path: PurePath = PureWindowsPath(name) if windows else PurePath(name)
    return path.parts


def shown(name: str) -> str:
    """Return a name as it is, or with odd characters spelled out. Pure."""
    return name if name.isprintable() else ascii(name)


def _file_of(name: str, folder: Path) -> Path:
    """Return the file that a path means, absolute.

    Raises:
        HandlerError: there is none.
    """
    given = os.path.abspath(os.path.join(folder, name))
    if not os.path.lexists(given) and "\\" in name:
        given = os.path.abspath(folder.joinpath(*parts_of(name)))
    if os.path.isdir(given):
        inside = os.path.join(given, PACKAGE_INIT)
        if not os.path.isfile(inside):
            raise HandlerError(_no_package(name, given))
        given = inside
    if not os.path.isfile(given):
        near = f" Did you mean {shown(name)}{SUFFIX}?" if os.path.isfile(given + SUFFIX) else ""
        raise HandlerError(f"Module {shown(name)}: there is no file {shown(given)}.{near}")
    if os.path.splitext(given)[1] != SUFFIX:
        raise HandlerError(
            f"Module {shown(name)} is no Python file; allowed: a file whose name ends in {SUFFIX},"
            f" a folder with {PACKAGE_INIT}, or a module's name."
        )
    file = Path(given)
    if not file.is_relative_to(folder):
        # By another way to the same folder, through a link, it has the same name.
        real, base = Path(os.path.realpath(file.parent)) / file.name, Path(os.path.realpath(folder))
        if real.is_relative_to(base):
            return folder / real.relative_to(base)
    return file


def _no_package(name: str, folder: str) -> str:
    try:
        names = sorted(entry for entry in os.listdir(folder) if entry.endswith(SUFFIX))
    except OSError as error:
        return f"Module {shown(name)} cannot be read: {error.strerror or error}."
    text = f"Module {shown(name)} is a folder without {PACKAGE_INIT}"
    if not names:
        return f"{text}; name a file whose name ends in {SUFFIX}."
    more = ", …" if len(names) > MOST_NAMED else ""
    inside = ", ".join(shown(os.path.join(name, one)) for one in names[:MOST_NAMED])
    return f"{text}; name the files in it: {inside}{more}."


def _file_in(folder: Path, name: str) -> Path | None:
    """Return the file of a dotted name in the working directory, or None."""
    if name.startswith(FILES_BY_PATH):
        return None
    base = os.path.join(folder, *name.split("."))
    for file in (os.path.join(base, PACKAGE_INIT), base + SUFFIX):
        if all(name.split(".")) and os.path.isfile(file):
            return Path(file)
    return None


def _name_of(file: Path, folder: Path) -> str:
    """Return the name under which a file is imported."""
    package, root = file.name == PACKAGE_INIT, _root(file)
    if str(root) not in sys.path:
        sys.path.append(str(root))  # as for a script: what lies beside it, and nothing else has
    if file.is_relative_to(folder):
        parts = _parts(file, folder)
        if _leads_to(parts, file):
            return ".".join(parts)
    parts = _parts(file, root)
    if not file.is_relative_to(folder) and _leads_to(parts, file):
        return ".".join(parts)
    return by_path.module_name(str(root), parts, package=package)


def _parts(file: Path, base: Path) -> tuple[str, ...]:
    *above, last = file.relative_to(base).parts
    return tuple(above) if last == PACKAGE_INIT else (*above, last.removesuffix(SUFFIX))


def _root(file: Path) -> Path:
    """Return the folder in which a file lies, or in which the outermost package around it does."""
    root = file.parent
    while os.path.isfile(root / PACKAGE_INIT) and root != root.parent:
        root = root.parent
    return root


def _leads_to(parts: Sequence[str], file: Path) -> bool:
    """Whether Python takes a dotted name for this file, and its relative imports for what is meant.

    Nothing is imported for it.
    """
    if not parts or any("." in part or not part for part in parts):
        return False
    if _levels(file) > len(parts) - (file.name != PACKAGE_INIT):
        return False
    path: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    for depth in range(1, len(parts) + 1):
        spec = _spec(".".join(parts[:depth]), path)
        if spec is None:
            return False
        path = list(spec.submodule_search_locations or ())
    return spec is not None and spec.has_location and _same(spec.origin, file)


def _spec(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded.__spec__
    # Of a name inside the last part only: a folder's spec would ask for the modules above it.
    return find_spec(name) if path is None else PathFinder.find_spec(name.rpartition(".")[2], path)


def _levels(file: Path) -> int:
    """Return how many folders up a file's relative imports go at most; 0 without any."""
    try:
        return max((len(dots) for dots in _RELATIVE.findall(file.read_bytes())), default=0)
    except OSError:
        return 0  # its import will tell why


def _same(origin: str | None, file: Path) -> bool:
    try:
        return origin is not None and os.path.samefile(origin, file)
    except OSError:
        return False


def _make_importable(folder: Path, file: Path | None) -> None:
    """Put the working directory on Python's path."""
    where = str(folder)
    behind = False
    if file is not None and file.is_relative_to(folder):
        first = file.relative_to(folder).parts[0].removesuffix(SUFFIX)
        others = [entry for entry in sys.path if entry not in ("", where)]
        other = PathFinder.find_spec(first, others)
        behind = other is not None and other.loader is not None and not _same(other.origin, file)
    if where in sys.path and behind:
        sys.path.remove(where)
    if where not in sys.path:
        sys.path.insert(len(sys.path) if behind else behind_pythons_own(), where)


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_THE_USERS)]
    at = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {text_of(error)}{at}."
