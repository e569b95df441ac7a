import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

LIVES = Path(__file__).with_name("lives.py")
DEADLINE = 60.0

Life = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Life]:
    """Start a scene of ``lives.py`` in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(scene: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(LIVES), scene, str(tmp_path), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[4],
            env={"PYTHONPATH": str(Path(__file__).parents[4]), "PATH": "/usr/bin:/bin"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(DEADLINE)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def live(begin: Life) -> Callable[..., str]:
    """Run a scene to its end and return what it said."""

    def run(scene: str, *arguments: str) -> str:
        process = begin(scene, *arguments)
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode in (0, -9), said
        return said

    return run
