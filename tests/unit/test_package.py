"""The names of the package: all of them there, each loaded when it is asked for, and no others."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import worker
import worker.testing

ALIASES = {
    "context": ("attempt", "in_namespace", "item_id", "namespace", "priority"),
    "contract": ("contract_of", "contracts_of"),
    "contracts": ("Contracts",),
    "sync": ("Closed", "OpenIAP", "Pushed", "connect"),
}
"""Modules under the names that pages give them."""


def loaded_by(code: str) -> set[str]:
    """Return the rooms of the package that a fresh interpreter loads."""
    say = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{say}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    names = [name.split(".") for name in json.loads(done.stdout) if name.startswith("worker.")]
    return {name[1] for name in names}


@pytest.mark.parametrize("package", [worker, worker.testing])
def test_checkers_and_programs_see_the_same_names(package) -> None:
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If) and node.body[0].lineno < 50]
    seen = {alias.name for node in typed.body for alias in node.names}  # type: ignore[attr-defined]
    assert seen | ({"__version__"} & set(package.__all__)) == set(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'hendler'"):
        package.hendler  # noqa: B018


def test_dir_shows_exactly_what_is_public() -> None:
    assert dir(worker) == worker.__all__ == sorted(worker.__all__)


def test_modules_keep_their_documented_names() -> None:
    for alias, names in ALIASES.items():
        module = importlib.import_module(f"worker.{alias}")
        assert [name for name in names if not hasattr(module, name)] == []
    assert worker.context.item_id() == ""


def test_what_is_imported_brings_only_its_own_rooms_along() -> None:
    assert loaded_by("import worker") == {"_version"}
    assert loaded_by("from worker import BusinessError") == {"_version", "errors", "durations"}
    ground = {"_version", "http_connection", "kept_memory", "kinds", "service", "web_server"}
    assert loaded_by("import worker.localserver") <= ground | {"localserver", "openiap"}
