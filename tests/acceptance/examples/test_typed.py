"""What mypy ``--strict`` and pyright say of users' code: on the pages, in ``tests/typing``, and in
what ``openiap-worker new`` makes.

Each tool reads all of it in one run: what takes time is reading the worker's own types. All of it
lies in a new project, whose settings are obeyed: mypy has pydantic's plugin, pyright has none.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT, blocks
from worker.cli.new import make_project

PATIENCE = 900
OTHER_LIBRARIES = ("robocorp-workitems", "Celery", "taskiq", "Temporal (Python SDK)")
"""Sections whose code uses libraries that are not installed here."""

BANK = '''"""What the comparison's code calls its own module."""

from decimal import Decimal


async def book_at_bank(number: str, amount: Decimal) -> tuple[str, bytes]:
    return f"V-{number}", b"receipt"
'''
MISTAKE = "from worker import Backoff\n\nBackoff(5, attempts='x')\n"
TOOLS = {
    "mypy": ("--strict", "--no-error-summary", "--cache-dir", ".cache", "."),
    "pyright": ("--outputjson", "--pythonpath", sys.executable, "."),
}

Complaints = dict[str, dict[int, str]]
"""What is wrong, by file and line."""


def pages() -> dict[str, str]:
    """Return each block by a file's name; one that goes on from another stands behind it."""
    texts: dict[str, str] = {}
    for name, block in blocks("python").items():
        if block.section in OTHER_LIBRARIES:
            continue
        goes_on = name == "comparison: openiap-worker 2"
        module = re.sub(r"\W+", "_", name.removesuffix(" 2") if goes_on else name).lower()
        file = f"page_{module}.py"
        texts[file] = texts.get(file, "") + block.text
    return texts


def marked() -> set[int]:
    """Return the lines that are to be refused."""
    lines = (ROOT / "tests/typing/wrong.py").read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def said_by_mypy(output: str) -> Complaints:
    found: Complaints = {}
    for line in output.splitlines():
        error = re.match(r"(.+?):(\d+): error: (.*)", line)
        if error:
            found.setdefault(Path(error[1]).name, {})[int(error[2])] = error[3]
    return found


def said_by_pyright(output: str) -> Complaints:
    found: Complaints = {}
    for problem in json.loads(output)["generalDiagnostics"]:
        if problem["severity"] == "error":
            line = problem["range"]["start"]["line"] + 1
            found.setdefault(Path(problem["file"]).name, {})[line] = problem["message"]
    return found


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Complaints]:
    """What each tool says, in a folder that is no clone; both run at the same time."""
    project = make_project("order-robot", tmp_path_factory.mktemp("typed"), version="1")
    folder = project.folder
    mistake = f"{project.package}/mistake.py"
    for name, text in (pages() | {"bank.py": BANK, mistake: MISTAKE}).items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("right.py", "wrong.py"):
        shutil.copy(ROOT / "tests/typing" / name, folder)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MYPY", "PYTHON"))
    }
    running = {
        tool: subprocess.Popen(
            [sys.executable, "-m", tool, *options],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for tool, options in TOOLS.items()
    }
    said = {tool: process.communicate(timeout=PATIENCE)[0] for tool, process in running.items()}
    return {"mypy": said_by_mypy(said["mypy"]), "pyright": said_by_pyright(said["pyright"])}


@pytest.mark.dear
@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.parametrize("tool", TOOLS)
def test_nothing_is_wrong_on_the_pages(complaints: dict[str, Complaints], tool: str) -> None:
    said = complaints[tool]
    assert "attempts" in said["mistake.py"][3], "it sees what is wrong"
    assert set(said) == {"mistake.py", "wrong.py"}, said


@pytest.mark.dear
@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.parametrize("tool", TOOLS)
def test_right_calls_are_inferred_and_wrong_ones_refused(
    complaints: dict[str, Complaints], tool: str
) -> None:
    said = complaints[tool]
    assert said.get("right.py", {}) == {}
    assert set(said["wrong.py"]) == marked()
