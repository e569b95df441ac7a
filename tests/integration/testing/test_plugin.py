"""The plugin works in a project of its own, in either mode of pytest-asyncio, and costs little."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
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


def test_another(openiap_client):
    assert openiap_client == "native"
"""


# What the plugin shall do has nothing to do with the others: to load them is half of the time.
ALONE = ["-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:xdist"]


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ALONE, *arguments],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{ROOT}", "PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.parametrize("mode", ["strict", pytest.param("auto", marks=pytest.mark.dear)])
def test_fixtures_work_in_either_mode(tmp_path: Path, mode: str) -> None:
    (tmp_path / "test_double.py").write_text(PROJECT)
    done = pytest_in(tmp_path, f"--asyncio-mode={mode}")
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def site_without(folder: Path, *left: str) -> Path:
    """Return a folder with all that is installed here, and of pytest-asyncio only what is named."""
    site = folder / "site"
    site.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        name, dash, _ = entry.name.partition("-")
        if entry.suffix != ".pth" and (name != "pytest_asyncio" or f"{name}{dash}" in left):
            (site / entry.name).symlink_to(entry)
    return site


@pytest.mark.parametrize(
    ("left", "options"),
    [
        ("nothing", ()),
        pytest.param("metadata", ("-p", "no:asyncio"), marks=pytest.mark.dear),
        pytest.param("module", (), marks=pytest.mark.dear),
        pytest.param("empty folder", (), marks=pytest.mark.dear),
        ("module that raises", ()),
    ],
)
def test_without_a_whole_pytest_asyncio_it_says_so_and_the_others_run(
    tmp_path: Path, left: str, options: tuple[str, ...]
) -> None:
    """pytest itself ends where metadata name a module that is not there, unless told otherwise."""
    whole = {"metadata": "pytest_asyncio-", "module": "pytest_asyncio"}
    site = site_without(tmp_path, *filter(None, [whole.get(left)]))
    if left in ("empty folder", "module that raises"):
        (site / "pytest_asyncio").mkdir()
    if left == "module that raises":
        (site / "pytest_asyncio" / "__init__.py").write_text("raise LookupError('half of it')")
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_without.py").write_text(WITHOUT)
    (project / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pytest", "-q", "-p", "no:cacheprovider", *ALONE, *options],
        cwd=project,
        env={"PYTHONPATH": f"{site}:{ROOT}", "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "local_openiap is an asynchronous fixture and needs pytest-asyncio" in done.stdout
    assert "1 passed, 1 error" in done.stdout


def test_the_plugin_brings_neither_engine_nor_server_along() -> None:
    code = (
        "import sys, worker.testing.plugin\n"
        "heavy = ('worker.engine.daemon', 'worker.localserver', 'worker.testing.dry_run')\n"
        "heavy += ('grpc', 'fastapi')\n"
        "assert not [name for name in heavy if name in sys.modules], sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=110)
