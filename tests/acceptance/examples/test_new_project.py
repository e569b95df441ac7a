"""``openiap-worker new``: the commands that it prints work, in a fresh virtual environment."""

import asyncio
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from worker.openiap.factory import make_client
from worker.settings import load

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
PATIENCE = 180.0


def clean_environment(venv: Path | None = None) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("OPENIAP", "PYTHON", "VIRTUAL_ENV", "PYTEST"))
        and name not in ("jwt", "wiq", "apiurl", "queue")
    }
    if venv is not None:
        kept["PATH"] = f"{venv / SCRIPTS}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}


def run(*command: str, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.dear
@pytest.mark.timeout(1800)  # it installs everything twice, from the package registry
async def test_a_new_project_installs_passes_its_tests_and_works(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", str(venv), cwd=tmp_path, env=clean_environment())
    env = clean_environment(venv)
    python = str(venv / SCRIPTS / "python")
    run(
        python, "-m", "pip", "install", "-q", "--no-compile", "-e", str(ROOT), cwd=tmp_path, env=env
    )
    made = run(python, "-m", "worker", "new", "order-robot", cwd=tmp_path, env=env)
    assert 'pip install --find-links wheels -e ".[test]" && pytest' in made
    project = tmp_path / "order-robot"
    install = ("-m", "pip", "install", "-q", "--find-links", "wheels", "-e", ".[test]")
    run(python, *install, cwd=project, env=env)
    assert "5 passed" in run(str(venv / SCRIPTS / "pytest"), "-q", cwd=project, env=env)
    assert "Success" in run(str(venv / SCRIPTS / "mypy"), "--strict", ".", cwd=project, env=env)
    assert "0 errors" in run(str(venv / SCRIPTS / "pyright"), cwd=project, env=env)
    image(project, tmp_path / "image")
    doctor = subprocess.run(
        [str(venv / SCRIPTS / "openiap-worker"), "doctor"],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert "order_robot.orders" in doctor.stdout  # the settings file is found
    await develop(project, env, str(venv / SCRIPTS / "openiap-worker"))


def image(project: Path, folder: Path) -> None:
    """Do what the project's Dockerfile does to build, where no clone of the worker is installed."""
    lines = (project / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copies = [line.split()[1:-1] for line in lines if re.match("COPY (?!--)", line)]
    source = folder / "src"
    for name in itertools.chain.from_iterable(copies):
        if name != "config":
            place = source / name
            place.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (project / name).is_dir() else shutil.copy
            copy(project / name, place)
    (step,) = re.findall(r"^RUN (python(?:.*\\\n)+.*)$", "\n".join(lines), re.MULTILINE)
    env = clean_environment()
    run("sh", "-ec", step.replace("/opt/worker", f"{folder}/opt"), cwd=source, env=env)
    run(f"{folder}/opt/bin/openiap-worker", "contract", cwd=project, env=env)


async def develop(project: Path, env: dict[str, str], command: str) -> None:
    """Run ``dev`` in the project, push an item to it, and press Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        command,
        "dev",
        "--port",
        "0",
        cwd=project,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            output = b""
            while b"\nworking" not in output:
                chunk = await process.stdout.read(4096)
                assert chunk, output.decode(errors="replace")
                output += chunk
        assert 'openiap-worker push orders --payload \'{"number": ' in output.decode(
            errors="replace"
        )
        state = await worked(project)
        assert state == "successful"
        process.terminate()
        async with asyncio.timeout(PATIENCE):
            await process.stdout.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def worked(project: Path) -> str:
    """Push an order with what ``dev`` wrote down for other commands; return how it ends."""
    lines = (project / ".openiap" / "env").read_text().splitlines()
    named = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    client = make_client(load({"client": "native"}, environment=named).settings)
    await client.connect()
    try:
        order = {"number": "4711", "quantity": 2, "price": "9.50"}
        id = (await client.push_workitem("orders", order)).id
        async with asyncio.timeout(PATIENCE):
            while True:
                (found,) = await client.query("workitems", {"_id": id})
                if found["state"] in ("successful", "failed"):
                    return str(found["state"])
                await asyncio.sleep(0.05)
    finally:
        await client.disconnect()
