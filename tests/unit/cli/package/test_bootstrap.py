"""main.py says in one line what is missing, whatever Python an agent has."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from worker.cli.package.bootstrap import main_py


def start(folder: Path, *, before: str = "") -> subprocess.CompletedProcess[str]:
    text = main_py("booking", ["handlers.invoices"]).decode()
    (folder / "main.py").write_text(before + text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", "main.py"], cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_missing_distribution_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(
        "# pins\n./openiap_nowhere-1.0-py3-none-any.whl\npydantic==2.0\nno-such-thing==1.0\n",
        encoding="utf-8",
    )
    ended = start(tmp_path)
    assert ended.returncode == 1
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(
        "booking cannot start: openiap_nowhere, no-such-thing is not installed in"
    )


def test_old_python_is_told_in_one_line_before_anything_is_imported(tmp_path: Path) -> None:
    old = "import sys\nsys.version_info = (3, 7, 3)\nsys.modules['importlib.metadata'] = None\n"
    ended = start(tmp_path, before=old)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"booking cannot start: it needs Python 3.11 or newer, and {sys.executable} is 3.7\n"
    )


def test_broken_installation_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("", encoding="utf-8")
    ended = start(tmp_path, before="import sys\nsys.modules['worker'] = None\n")
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("feature_version", [(3, 6), (3, 8)])
def test_main_is_syntax_that_old_pythons_read(feature_version: tuple[int, int]) -> None:
    ast.parse(main_py("booking", ["a", 'b"c']), feature_version=feature_version)
