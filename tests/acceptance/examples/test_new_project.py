"""``openiap-worker new``: the commands that it prints work, in a fresh virtual environment.

What mypy and pyright say of the project, test_typed.py asks.
"""

import asyncio
import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.examples.pasting import (
    PATIENCE,
    SCRIPTS,
    Terminal,
    clean_environment,
    commands,
    shown,
)
from tests.provisioned import provisioned
from worker.openiap.factory import make_client
from worker.settings import load

INSTALLING = {"PIP_COMPILE": "0"}
"""What is installed here starts a few times: Python compiles what that imports, and not all."""


def run(*command: str, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.dear
@pytest.mark.timeout(1800)  # it installs everything, from the package registry
async def test_a_new_project_installs_passes_its_tests_and_works(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    # What its tests take is there, so that pip installs the project alone; the image has it all
    # from the registry.
    provisioned(venv, "mypy", "pyright", "pytest", "pytest-asyncio", editable=True)
    env = {**clean_environment(venv / SCRIPTS), **INSTALLING}
    terminal = Terminal(tmp_path, env)
    *make, dev = commands(shown("first-hour: A project"))
    try:
        made = await terminal.paste("\n".join(make))
        assert 'pip install --find-links wheels -e ".[test]" && pytest' in made
        assert "5 passed" in made
        project = Terminal(tmp_path / "order-robot", env)
        image(project.folder, tmp_path / "image")
        looked = await project.paste("openiap-worker doctor || true")
        assert "order_robot.orders" in looked  # the settings file is found
        await develop(project, dev)
    finally:
        await terminal.close()


def image(project: Path, folder: Path) -> None:
    """Do what the project's Dockerfile does to build, where no clone of the worker is installed."""
    text = (project / "Dockerfile").read_text(encoding="utf-8")
    copies = [line.split()[:-1] for line in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE)]
    source = folder / "src"
    source.mkdir(parents=True)
    for name in itertools.chain.from_iterable(copies):
        copy = shutil.copytree if (project / name).is_dir() else shutil.copy
        copy(project / name, source / name)
    (step,) = re.findall(r"^RUN (python(?:.*\\\n)+.*)$", text, re.MULTILINE)
    env = {**clean_environment(), **INSTALLING}
    run("sh", "-ec", step.replace("/opt/worker", f"{folder}/opt"), cwd=source, env=env)
    run(f"{folder}/opt/bin/openiap-worker", "contract", cwd=project, env=env)


async def develop(project: Terminal, dev: str) -> None:
    """Run ``dev`` in the project, push an item to it from another terminal, and press Ctrl-C."""
    process = await project.begin(f"{dev} --port 0")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            output = b""
            while b"\nworking" not in output:
                chunk = await process.stdout.read(4096)
                assert chunk, output.decode(errors="replace")
                output += chunk
        said = output.decode(errors="replace")
        assert 'openiap-worker push orders --payload \'{"number": ' in said
        assert "orders" in await project.paste(shown("first-hour: A project 2"))
        assert await worked(project.folder) == "successful"
        assert await project.end(process) == 0
    finally:
        await project.close()


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
