"""What is imported is declared: nothing comes along by chance, with another package."""

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
OURS = {"worker", "tests", "handlers"}
MADE = {"only_here"}
"""Modules that tests write themselves."""
ELSEWHERE = {
    "worker/openiap/wire/generate.py",
    "worker/testing/plugin.py",
    "tests/integration/config/check_custom_resources.py",
}
"""Run where more is installed: for those who change the worker, inside of pytest, or in an
environment that it is given."""


def declared(*extras: str) -> set[str]:
    """Return the names of the distributions that ``pyproject.toml`` asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = list(project["dependencies"])
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(one).name) for one in asked}


def imported(folder: str) -> Iterator[tuple[str, str]]:
    """Yield each file of a folder with each package of others that it names."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                if top not in OURS and top not in sys.stdlib_module_names:
                    yield str(path.relative_to(ROOT)), name


@cache
def owners() -> Mapping[str, list[str]]:
    """Return by each package whose it is; it takes a while to find out."""
    return packages_distributions()


def undeclared(folder: str, known: set[str]) -> set[str]:
    found = set()
    for path, name in imported(folder):
        if path in ELSEWHERE or name in MADE:
            continue
        whose = {canonicalize_name(one) for one in owners().get(name.partition(".")[0], [])}
        if not whose & known:
            found.add(f"{path}: {name} of {', '.join(sorted(whose)) or 'nobody'}")
    return found


def test_what_the_worker_imports_is_declared() -> None:
    found = undeclared("worker", declared())
    assert {one for one in found if not one.startswith("worker/console/")} == set()
    assert undeclared("worker/console", declared("console")) == set()
    assert undeclared("handlers", declared()) == set()


def test_what_the_tests_import_is_declared() -> None:
    assert undeclared("tests", declared("test")) == set()
