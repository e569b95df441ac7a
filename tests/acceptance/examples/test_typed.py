"""Code on the pages passes ``mypy --strict`` and pyright as it is shown, in a folder of its own.

All blocks go into one run of each tool: what takes time is reading the worker's own types.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import blocks

PATIENCE = 900
OTHER_LIBRARIES = ("robocorp-workitems", "Celery", "taskiq", "Temporal (Python SDK)")
"""Sections whose code uses libraries that are not installed here."""

BANK = '''"""What the comparison's code calls its own module."""

from decimal import Decimal


async def book_at_bank(number: str, amount: Decimal) -> tuple[str, bytes]:
    return f"V-{number}", b"receipt"
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Each block as a module; one that goes on from the block before it stands behind that."""
    (tmp_path / "bank.py").write_text(BANK, encoding="utf-8")
    texts: dict[str, str] = {}
    for name, block in blocks("python").items():
        if block.section in OTHER_LIBRARIES:
            continue
        goes_on = name == "comparison: openiap-worker 2"
        module = re.sub(r"\W+", "_", name.removesuffix(" 2") if goes_on else name).lower()
        texts[module] = texts.get(module, "") + block.text
    for module, text in texts.items():
        (tmp_path / f"page_{module}.py").write_text(text, encoding="utf-8")
    return tmp_path


def complaints(*command: str, cwd: Path) -> str:
    """Return what a type checker says, or "" where it has nothing to say."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MYPY", "PYTHON"))
    }
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.dear
@pytest.mark.timeout(2 * PATIENCE)
def test_mypy_has_nothing_to_say_about_the_pages(folder: Path) -> None:
    assert (
        complaints("mypy", "--strict", "--cache-dir", str(folder / ".cache"), ".", cwd=folder) == ""
    )


@pytest.mark.dear
@pytest.mark.timeout(2 * PATIENCE)
def test_pyright_has_nothing_to_say_about_the_pages(folder: Path) -> None:
    assert complaints("pyright", "--pythonpath", sys.executable, ".", cwd=folder) == ""


@pytest.mark.dear
@pytest.mark.timeout(2 * PATIENCE)
def test_both_see_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text("from worker import Backoff\n\nBackoff(5, attempts='x')\n")
    assert "attempts" in complaints("mypy", "--strict", ".", cwd=tmp_path)
    assert "attempts" in complaints("pyright", "--pythonpath", sys.executable, ".", cwd=tmp_path)
