"""The page "Testing" can be pasted: its tests pass as they stand there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import blocks_of


@pytest.mark.dear
def test_what_the_page_says_about_testing_runs(tmp_path: Path) -> None:
    block, _ = blocks_of("testing", "python")
    (tmp_path / "test_page.py").write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--asyncio-mode=auto"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr
