"""What a handlers' file imports by a plain name, though a file of that name lies beside it.

Of two folders with a ``near.py`` each, ``import near`` means the first one in both: Python knows
one module of a name. That is refused instead of run. What lies in the working directory is meant by
its plain name everywhere.
"""

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from worker.app.by_path import PACKAGE_INIT
from worker.errors import HandlerError
from worker.import_path import PYTHONS_OWN
from worker.package_path import PACKAGE

INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


def check_neighbours(file: Path, shown: str, working: Path) -> None:
    """Look at what an imported file got for the names that it imports.

    Args:
        file: of the module.
        shown: how it was named.
        working: the working directory.

    Raises:
        HandlerError: it got another folder's file for one that lies beside it.
    """
    folder = file.parent
    for name in sorted(set(_plain_imports(file)) - {PACKAGE.name}):
        got = getattr(sys.modules.get(name), "__file__", None)
        if got is None or _is_pythons(got) or Path(got) in _files(working, name):
            continue
        there = [path for path in _files(folder, name) if os.path.isfile(path)]
        if there and not any(_same(got, path) for path in (file, *there)):
            raise HandlerError(
                f"Module {shown}: its import of {name} leads to {got}, and not to {there[0]} beside"
                f" it, since Python knows one module of a name; write from . import {name}."
            )


def _files(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.py", folder / name / PACKAGE_INIT]


def _plain_imports(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError):
        return  # it was imported all the same
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _is_pythons(path: str) -> bool:
    return path.startswith(PYTHONS_OWN) or bool(INSTALLED & set(Path(path).parts))


def _same(one: str, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
