"""The plugin works in a project of its own, in either mode of pytest-asyncio, and costs little."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = """
import pytest
from worker import Item, handler

@handler("q")
async def double(payload: dict, item: Item) -> dict:
    return {"n": payload["n"] * 2}

@pytest.mark.asyncio
async def test_alone(worker_test):
    assert (await worker_test(double, {"n": 2})).payload == {"n": 4}

@pytest.mark.asyncio
async def test_with_a_server(local_openiap):
    await local_openiap.start_worker(double)
    id = await local_openiap.push(double, {"n": 2})
    assert (await local_openiap.ended(id)).payload == {"n": 4}
"""
WITHOUT = """
def test_it_is_said_what_is_missing(local_openiap):
    pass
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    root = Path(__file__).resolve().parents[3]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{root}", "PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_fixtures_work_in_either_mode(tmp_path: Path, mode: str) -> None:
    (tmp_path / "test_double.py").write_text(PROJECT)
    done = pytest_in(tmp_path, f"--asyncio-mode={mode}")
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_without_pytest_asyncio_it_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "test_without.py").write_text(WITHOUT)
    # A package that cannot be found, whatever is installed.
    (tmp_path / "hide.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "def found(name, *more):\n"
        "    return None if name == 'pytest_asyncio' else find(name, *more)\n"
        "u.find_spec = found\n"
    )
    done = pytest_in(tmp_path, "-p", "hide", "-p", "no:asyncio")
    assert done.returncode == 1
    assert "local_openiap is an asynchronous fixture and needs pytest-asyncio" in done.stdout


def test_the_plugin_brings_neither_engine_nor_server_along() -> None:
    code = (
        "import sys, worker.testing.plugin\n"
        "heavy = ('worker.engine.daemon', 'worker.localserver', 'worker.testing.dry_run')\n"
        "heavy += ('grpc', 'fastapi')\n"
        "assert not [name for name in heavy if name in sys.modules], sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=110)
