"""A project's folder, read: what it says of itself, and the files that go into its package."""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from worker.app.by_path import PACKAGE_INIT
from worker.app.modules import SUFFIX, is_path, parts_of
from worker.cli.package.bootstrap import MAIN
from worker.cli.package.errors import PackageError
from worker.cli.package.ignore import NAMES, IgnoreRules, parse
from worker.cli.package.manifest import (
    PACKAGE_JSON,
    Manifest,
    author_of,
    checked,
    parse_object,
)
from worker.cli.package.selection import KEPT, checked_path, left_out
from worker.cli.shared.paths import shown
from worker.settings import SECRETS

PYPROJECT: Final = "pyproject.toml"
REQUIREMENTS: Final = "requirements.txt"
SETTINGS_FILE: Final = "config/worker.toml"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the command line says about the package; "" and () leave it to the project."""

    name: str = ""
    version: str = ""
    handlers: tuple[str, ...] = ()
    wheel: Path | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A project as found.

    Attributes:
        manifest: what the package will say of itself.
        handlers: the modules with handlers.
        requirements: the lines of its ``requirements.txt``, or of ``dependencies``.
        files: content by path, without package.json and requirements.txt.
        notes: what was left out and why, as sentences.
    """

    manifest: Manifest
    handlers: tuple[str, ...]
    requirements: tuple[str, ...]
    files: dict[str, bytes]
    notes: tuple[str, ...]


def read_project(folder: Path, options: BuildOptions, *, max_bytes: int) -> Project:
    """Read a project.

    Its name, version, description and author come from the command line, else ``package.json``,
    else ``pyproject.toml``; the handlers from the command line, else ``config/worker.toml``.

    Args:
        max_bytes: more than this is refused while reading.

    Raises:
        PackageError: something is missing, unsafe or unreadable.
    """
    if not os.path.isdir(folder):
        raise PackageError(f"{shown(folder)} is not a folder.")
    root = Path(os.path.realpath(folder))
    own = _object(root / PACKAGE_JSON)
    pyproject = _toml(root / PYPROJECT).get("project", {})
    files, notes = _files(root, max_bytes, _state_folder(root))
    files.pop(PACKAGE_JSON, None)
    main = _main(own, files)
    manifest = checked(
        Manifest(
            name=options.name or _said("name", own, pyproject) or root.name.lower(),
            version=options.version or _said("version", own, pyproject),
            description=_said("description", own, pyproject),
            author=author_of(own.get("author")) or _first_author(pyproject),
            main=main,
            chrome=_flag(own, "chrome"),
            chromium=_flag(own, "chromium"),
        )
    )
    shipped = files.pop(REQUIREMENTS, None)
    if shipped is not None:
        lines = tuple(_decoded(shipped, REQUIREMENTS).splitlines())
    else:
        lines = tuple(str(line) for line in pyproject.get("dependencies", ()))
    handlers = options.handlers or _handlers(root / SETTINGS_FILE)
    if MAIN in files and main == MAIN:
        notes.append(f"{MAIN} is the project's own and is started as it is.")
    elif not handlers:
        raise PackageError(
            "No handlers: name their modules with --handlers MODULE, or"
            f' handlers = ["MODULE"] in {SETTINGS_FILE}.'
        )
    _check_handlers(handlers, files)
    if SETTINGS_FILE in files:
        _check_settings(_toml(root / SETTINGS_FILE))
    return Project(manifest, handlers, lines, files, tuple(notes))


def _files(root: Path, max_bytes: int, state: Path | None) -> tuple[dict[str, bytes], list[str]]:
    rules = _ignore_file(root)
    found: dict[str, bytes] = {}
    notes: list[str] = []
    total = 0
    for path, relative, reason in _walk(root, rules, state):
        if reason is not None:
            if reason:
                much = f" ({_size(path):,} bytes)" if reason == KEPT else ""
                notes.append(f"{relative}{much} stays out: {reason}.")
            continue
        try:
            size = path.stat().st_size
            total += size
            if total > max_bytes:
                raise PackageError(
                    f"The project is larger than {max_bytes / 1024 / 1024:,.0f} MiB at {relative};"
                    " leave files out with an ignore file (.npmignore), or raise --max-size."
                )
            found[checked_path(relative)] = path.read_bytes()
        except OSError as error:
            raise PackageError(f"{relative} cannot be read: {error.strerror or error}.") from error
    return found, notes


def _walk(
    root: Path, rules: IgnoreRules, state: Path | None
) -> Iterator[tuple[Path, str, str | None]]:
    """Yield each file with its path inside the project, and why it stays out."""

    def refuse(error: OSError) -> None:
        raise PackageError(f"{error.filename} cannot be read: {error.strerror}.") from error

    for here, folders, names in os.walk(root, onerror=refuse):
        above = Path(here)
        for folder in sorted(folders):
            path = above / folder
            relative = path.relative_to(root).as_posix()
            reason = left_out(relative, rules, folder=True)
            if reason is None and (path / "pyvenv.cfg").is_file():
                reason = ""  # a virtual environment, whatever it is called
            if reason is None and path == state:
                reason = KEPT
            if reason is not None:
                folders.remove(folder)
                if reason:
                    yield path, relative, reason
            elif path.is_symlink():
                raise PackageError(
                    f"{relative} is a link to a folder; put the folder itself there, or leave the"
                    " link out with an ignore file (.npmignore)."
                )
        for name in sorted(names):
            path = above / name
            relative = path.relative_to(root).as_posix()
            reason = left_out(relative, rules)
            if reason is None:
                _check_inside(path, relative, root)
            yield path, relative, reason


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    found = path.rglob("*") if path.is_dir() else (path,)
    return sum(one.lstat().st_size for one in found if not one.is_dir())


def _check_inside(path: Path, relative: str, root: Path) -> None:
    """Refuse what is no plain file of the project's."""
    if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
        raise PackageError(f"{relative} is a link out of the project; what it shows stays here.")
    if not os.path.isfile(path):
        raise PackageError(f"{relative} is no plain file, or a link to nothing.")


def _state_folder(root: Path) -> Path | None:
    """Return where the project's settings keep outcomes that OpenIAP does not have yet."""
    said = _toml(root / SETTINGS_FILE).get("state_dir")
    return Path(os.path.normpath(root / said)) if isinstance(said, str) and said else None


def _ignore_file(root: Path) -> IgnoreRules:
    for name in NAMES:
        path = root / name
        if path.is_file():
            return parse(_decoded(_content(path), name))
    return parse("")


def _main(own: dict[str, Any], files: dict[str, bytes]) -> str:
    said = own.get("main")
    if not isinstance(said, str) or not said:
        return MAIN
    main = said.removeprefix("./")
    if main not in files and main != MAIN:
        raise PackageError(
            f"{PACKAGE_JSON} says that {said} is started, and the project has no such file (or it"
            " is left out): an agent would start nothing and call it a success."
        )
    return main


def _check_handlers(handlers: tuple[str, ...], files: dict[str, bytes]) -> None:
    for module in handlers:
        parts = parts_of(module) if is_path(module) else tuple(module.split("."))
        path = "/".join(parts)
        ways = [path] if is_path(module) else [f"{path}{SUFFIX}"]
        if not files.keys() & {*ways, f"{path}/{PACKAGE_INIT}"}:
            raise PackageError(
                f"The handlers' module {module} is not among the package's files; give --handlers"
                " as it is seen from the project's folder."
            )


def _check_settings(settings: dict[str, Any]) -> None:
    for name in sorted(SECRETS):
        if settings.get(name):
            raise PackageError(
                f"{SETTINGS_FILE} holds {name}, and a package can be read by many; take it out:"
                " an agent signs in with the jwt of its own environment."
            )
    if "@" in str(settings.get("url", "")):
        raise PackageError(f"{SETTINGS_FILE} holds credentials in url; take them out.")


def _handlers(settings: Path) -> tuple[str, ...]:
    value = _toml(settings).get("handlers", ())
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    return tuple(str(name) for name in value if name)


def _said(key: str, *sources: dict[str, Any]) -> str:
    for source in sources:
        value = source.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def _first_author(pyproject: dict[str, Any]) -> str:
    authors = pyproject.get("authors")
    return author_of(authors[0]) if isinstance(authors, list) and authors else ""


def _flag(own: dict[str, Any], key: str) -> bool:
    facts = own.get("openiap")
    return bool(facts.get(key)) if isinstance(facts, dict) else False


def _object(path: Path) -> dict[str, Any]:
    return parse_object(_content(path), PACKAGE_JSON) if os.path.isfile(path) else {}


def _toml(path: Path) -> dict[str, Any]:
    if not os.path.isfile(path):
        return {}
    try:
        return tomllib.loads(_decoded(_content(path), path.name))
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{path.name} is not TOML: {error}.") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PackageError(f"{path.name} cannot be read: {error.strerror or error}.") from error


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PackageError(f"{name} is not UTF-8 text.") from error


def with_wheel(project: Project, wheel: Path) -> Project:
    """Return the project with a wheel of openiap-worker among its files."""
    return replace(project, files={**project.files, wheel.name: _content(wheel)})
