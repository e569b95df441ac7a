"""mypy and pyright infer payload and result through handler, push and result."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "typing"
RIGHT, WRONG = FOLDER / "right.py", FOLDER / "wrong.py"
SECONDS = 240


def marked(path: Path) -> set[int]:
    lines = path.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def mypy_errors(tmp_path: Path) -> dict[str, dict[int, str]]:
    """Return the errors by file and line."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file="]
    command += ["--cache-dir", str(tmp_path / "cache"), "--follow-imports=silent"]
    done = subprocess.run(
        [*command, str(RIGHT), str(WRONG)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    found: dict[str, dict[int, str]] = {}
    for line in done.stdout.splitlines():
        error = re.match(r"(.+?):(\d+): error: (.*)", line)
        if error:
            found.setdefault(Path(error[1]).name, {})[int(error[2])] = error[3]
    assert found, done.stdout + done.stderr
    return found


def pyright_errors() -> dict[str, dict[int, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", str(RIGHT), str(WRONG)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    found: dict[str, dict[int, str]] = {}
    for problem in json.loads(done.stdout)["generalDiagnostics"]:
        if problem["severity"] == "error":
            line = problem["range"]["start"]["line"] + 1
            found.setdefault(Path(problem["file"]).name, {})[line] = problem["message"]
    return found


@pytest.mark.dear
def test_mypy_infers_the_right_calls_and_refuses_the_wrong_ones(tmp_path: Path) -> None:
    found = mypy_errors(tmp_path)
    assert found.get("right.py", {}) == {}
    assert set(found["wrong.py"]) == marked(WRONG)


@pytest.mark.dear
def test_pyright_infers_the_right_calls_and_refuses_the_wrong_ones() -> None:
    found = pyright_errors()
    assert found.get("right.py", {}) == {}
    assert set(found["wrong.py"]) == marked(WRONG)
