"""From a clone a package is built, set up and worked without any registry."""

import asyncio
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.integration.cli.commands import ROOT, clean_environment, running
from worker.cli.package.archive import unpack
from worker.cli.package.wheel import own_wheel
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions
from worker.openiap.workitem import WorkItemQueue

DEADLINE = 60.0
INSTALL_DEADLINE = 600.0
NO_REGISTRY = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
INSTALLING = {"PIP_COMPILE": "0"}
"""What is installed here starts once: Python compiles what that imports, and not all."""
HANDLERS = """
from worker import handler


@handler("jobs")
async def work(job: dict) -> dict:
    return {"done": job["number"]}
"""


def build(project: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    (project / "jobs.py").write_text(HANDLERS, encoding="utf-8")
    named = ("--name", "jobs", "--version", "1.0.0", "--handlers", "jobs")
    return subprocess.run(
        [sys.executable, "-m", "worker", "package", "build", *named, *more],
        cwd=project,
        env=clean_environment(**NO_REGISTRY),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )


@pytest.mark.dear
def test_build_ships_its_own_wheel_and_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("name\n")
    done = build(tmp_path)
    (said,) = [line for line in done.stderr.splitlines() if "not from a registry" in line]
    assert "customers.csv (5 bytes) looks like data and goes into the package." in done.stderr
    (line,) = done.stdout.splitlines()
    assert re.match(r"dist/jobs-1\.0\.0\.tgz: 6 files, [0-9,]+ bytes, sha256 [0-9a-f]{64}$", line)
    files = unpack((tmp_path / "dist/jobs-1.0.0.tgz").read_bytes())
    (wheel,) = [path for path in files if path.endswith(".whl")]
    assert wheel in said
    assert files["requirements.txt"].decode().splitlines()[2] == f"./{wheel}"
    told = json.loads(build(tmp_path, "--json").stdout)
    assert {one["path"]: one["bytes"] for one in told["files"]} == {
        path: len(content) for path, content in files.items()
    }
    assert [one["path"] for one in told["files"] if one["doubt"]] == ["customers.csv"]


@pytest.mark.dear
@pytest.mark.timeout(INSTALL_DEADLINE)
def test_own_wheel_is_the_one_that_a_build_makes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*command, str(ROOT)], check=True, timeout=INSTALL_DEADLINE)
    (path,) = tmp_path.glob("*.whl")
    own = own_wheel()
    assert own is not None

    def files(content: bytes) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            named = {re.sub(r"\+clone\w+", "", name): name for name in archive.namelist()}
            return {name: archive.read(named[name]) for name in named if "dist-info" not in name}

    assert files(own.content) == files(path.read_bytes())


@pytest.mark.dear
@pytest.mark.timeout(INSTALL_DEADLINE + 3 * DEADLINE)
async def test_package_works_an_item_without_any_registry(tmp_path: Path) -> None:
    build(tmp_path)
    users = ServerOptions(users={"tester": "secret"})
    async with LocalServer(users) as server:
        options = ConnectionOptions(url=server.ws_url, username="tester", password="secret")
        client = NativeClient(options)
        await client.connect(timeout=DEADLINE)
        await client.add_workitem_queue(WorkItemQueue(name="jobs", retrydelay=0))
        await client.push_workitem("jobs", {"number": 7})
        environment = {
            **NO_REGISTRY,
            **INSTALLING,
            "OPENIAP_URL": server.ws_url,
            "OPENIAP_USERNAME": "tester",
            "OPENIAP_PASSWORD": "secret",
            "HOME": str(tmp_path / "home"),
        }
        command = ("package", "run", "dist/jobs-1.0.0.tgz", "--offline", "--env", "wiq=jobs")
        with running(*command, folder=tmp_path, **environment) as package:
            async with asyncio.timeout(INSTALL_DEADLINE):
                while not await client.query("workitems", {"state": "successful"}):
                    assert package.process.poll() is None, package.process.communicate()
                    await asyncio.sleep(0.2)
            code = await asyncio.to_thread(package.stop)
        assert code == 0
        (item,) = await client.query("workitems", {"wiq": "jobs"})
        assert item["payload"]["done"] == 7
        await client.disconnect()
