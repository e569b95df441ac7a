"""OpenIAP's own agent runs what ``package build`` made, against the local server.

``python -m tests.integration.localserver.older_clients.agent [--folder DIR]`` installs the agent
that npm has (0.0.45) below DIR (a temporary folder otherwise; pip's and npm's registries must be
reachable, ``npm`` and ``node`` installed), builds a package that brings this package's wheel along,
publishes it, and has the agent start, stop and start it again, by orders and by its environment.
Exits with 1 at the first thing that is not as it should be. The agent finds a Python that has what
this package requires, as one has it that ran packages before; pip installs this package there.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.provisioned import provisioned
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions
from worker.openiap.workitem import WorkItemQueue

AGENT = "@openiap/nodeagent@0.0.45"
USER, PASSWORD = "agent", "operator"
DEADLINE = 120.0
INSTALL_DEADLINE = 600.0
HANDLERS = """
import asyncio
import os

from worker import handler


@handler("elsewhere", concurrency=2)
async def work(job: dict) -> dict:
    await asyncio.sleep(job.get("seconds", 0))
    return {"queue": os.environ["wiq"], "folder": os.getcwd()}
"""


def told(text: str) -> None:
    sys.stdout.write(f"agent 0.0.45: {text}\n")
    sys.stdout.flush()


async def run(*command: str | Path, cwd: Path, **environment: str) -> None:
    """Run a program to its end; show what it said when it fails."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    async with asyncio.timeout(INSTALL_DEADLINE):
        said, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}:\n{said.decode()}")


async def install(folder: Path) -> tuple[Path, Path]:
    """Return the agent's program, and the folder of the Python that it finds first."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not installed; it is needed for the agent")
    target = folder / "agent"
    target.mkdir(parents=True, exist_ok=True)
    (target / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    quiet = ("--no-audit", "--no-fund", "--silent", "--ignore-scripts")
    await run(npm, "install", *quiet, AGENT, cwd=target)
    python = folder / "agents-python"
    if not python.exists():
        provisioned(python)
    return target / "node_modules/@openiap/nodeagent/dist/agent.js", python / "bin"


async def publish(folder: Path, server: LocalServer) -> None:
    """Build a package with this package's wheel in it, and publish it."""
    project = folder / "project"
    project.mkdir(exist_ok=True)
    (project / "jobs.py").write_text(HANDLERS, encoding="utf-8")
    worker = (sys.executable, "-m", "worker", "package")
    build = ("build", "--name", "jobs", "--version", "1.0.0", "--handlers", "jobs.py")
    await run(*worker, *build, cwd=project)  # from a clone its own wheel goes into the package
    await run(
        *(*worker, "publish", project / "dist/jobs-1.0.0.tgz", "--yes"),
        cwd=project,
        OPENIAP_URL=server.ws_url,
        OPENIAP_USERNAME=USER,
        OPENIAP_PASSWORD=PASSWORD,
    )


async def until(true: Callable[[], Awaitable[Any]], what: str, seconds: float = DEADLINE) -> Any:
    """Wait until something is so, and return it."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := await true()):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise SystemExit(f"not within {seconds:.0f} s: {what}") from None
    told(what)
    return found


class Stage:
    """One server, one client that gives orders, and the agent's home."""

    def __init__(self, server: LocalServer, client: NativeClient, folder: Path) -> None:
        self.server = server
        self.client = client
        self.folder = folder
        self.home = folder / "home"
        self.log = folder / "agent.log"

    @asynccontextmanager
    async def agent(
        self, program: Path, pythons: Path, **more: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run an agent with a home of its own."""
        token, _ = await self.client.signin(USER, PASSWORD, longtoken=True)
        shutil.rmtree(self.home, ignore_errors=True)
        (self.home / ".openiap").mkdir(parents=True)
        environment = {
            "PATH": f"{pythons}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "apiurl": f"{self.server.ws_url}/ws/v2",
            "jwt": token,
            **{name: os.environ[name] for name in os.environ if name.lower().startswith("pip_")},
            **more,
        }
        with self.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(shutil.which("node") or "node", str(program)),
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            # Its children too: what an agent leaves behind goes on.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def count(self, state: str) -> int:
        return await self.client.count("workitems", {"wiq": "jobs", "state": state})

    async def until_state(self, state: str, count: int, what: str, seconds: float = 0) -> None:
        async def there() -> bool:
            return await self.count(state) >= count

        await until(there, what, seconds or DEADLINE)

    async def order(self, agent: dict[str, Any], run: str, **order: str) -> None:
        data = {**order, "streamid": run, "queuename": "console", "stream": "true"}
        await self.client.queue_message(data, agent["slug"], correlation_id=run)


def check(true: object, what: str) -> None:
    if not true:
        raise SystemExit(f"agent 0.0.45: NOT so: {what}")
    told(what)


async def by_orders(stage: Stage, program: Path, pythons: Path, package: str) -> None:
    """Start, stop and start again, as somebody at OpenIAP's console does."""
    client = stage.client
    said: list[str] = []
    await client.register_queue("console", lambda event: said.append(json.dumps(event.data)))
    async with stage.agent(program, pythons):

        async def registered() -> Any:
            found = await client.query("agents", {"_type": "agent"}, top=1)
            return found[0] if found else None

        agent = await until(registered, "it registers")

        asked = itertools.count()

        async def taken() -> bool:
            # Again and again: what changes within a second of its start it passes over; and each
            # time another, since OpenIAP tells nobody of a replacement that changes nothing.
            environment = {"wiq": "jobs", "asked": str(next(asked))}
            await client.update_one("agents", {**agent, "environment": environment})
            await asyncio.sleep(1.1)
            return b"agent changed, reload config" in stage.log.read_bytes()

        # What a schedule sets reaches the package by the agent's own environment.
        await until(taken, "it takes the environment that people gave it")
        for number in range(10):
            await client.push_workitem("jobs", {"number": number})
        await stage.order(agent, "run-1", command="runpackage", id=package)
        await stage.until_state("successful", 10, "it sets the package up and works 10 items", 600)
        done = (await client.query("workitems", {"wiq": "jobs", "state": "successful"}))[0]
        check(done["payload"]["queue"] == "jobs", "the schedule's wiq is obeyed")
        await client.push_workitem("jobs", {"seconds": 600})
        await stage.until_state("processing", 1, "an item is in flight")
        await stage.order(agent, "stop-1", command="kill", id="run-1")

        async def stopped() -> bool:
            return await stage.count("processing") == 0 and await stage.count("new") == 1

        await until(stopped, "it stops the package, which hands its item back", 15)
        (left,) = await client.query("workitems", {"wiq": "jobs", "state": "new"})
        check(left["retries"] == 0, "stopping costs no attempt")

        async def ended() -> bool:
            return any("run-1" in line or '"completed"' in line for line in said)

        await until(ended, "it says that the run is over")
        await client.update_one("workitems", {**left, "payload": {}})
        await stage.order(agent, "run-2", command="runpackage", id=package)
        await stage.until_state("successful", 11, "started again it works what was left")
        await stage.order(agent, "stop-2", command="kill", id="run-2")
    log = stage.log.read_text(encoding="utf-8", errors="replace")
    check(log.count("pip install -r") == 1, "pip ran for the first start alone")


async def by_itself(stage: Stage, program: Path, pythons: Path, package: str) -> None:
    """A transient agent that is started for one package, and ends with it."""
    await stage.client.push_workitem("jobs", {})
    more = {"packageid": package, "wiq": "jobs", "SF_VMID": "vm-1"}
    async with stage.agent(program, pythons, **more) as process:
        await stage.until_state("successful", 12, "started for one package it works its queue", 600)
        async with asyncio.timeout(DEADLINE):
            code = await process.wait()
        check(code == 0, "and ends with it")


async def play(folder: Path) -> None:
    program, pythons = await install(folder)
    told("installed")
    async with LocalServer(ServerOptions(users={USER: PASSWORD}, wakeup_interval=0.5)) as server:
        client = NativeClient(
            ConnectionOptions(url=server.ws_url, username=USER, password=PASSWORD)
        )
        await client.connect(timeout=DEADLINE)
        await client.add_workitem_queue(WorkItemQueue(name="jobs", retrydelay=0))
        await publish(folder, server)
        told("the package is published")
        (package,) = await client.query("agents", {"_type": "package", "id": "jobs"})
        stage = Stage(server, client, folder)
        try:
            await by_orders(stage, program, pythons, package["_id"])
            await by_itself(stage, program, pythons, package["_id"])
        except BaseException:
            if stage.log.exists():
                sys.stdout.write(stage.log.read_text(encoding="utf-8", errors="replace")[-20_000:])
            raise
        finally:
            await client.disconnect()
    told("passed")


def main() -> int:
    """Parse the command line and return the exit code."""
    parser = argparse.ArgumentParser(description="an OpenIAP agent against the local server")
    parser.add_argument("--folder", type=Path, help="where the agent is installed, and kept")
    given = parser.parse_args()
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(play(given.folder.resolve()))
        return 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        asyncio.run(play(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
