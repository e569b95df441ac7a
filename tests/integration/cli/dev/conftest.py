"""``openiap-worker dev`` as a person has it: a project folder, a process, its output."""

import asyncio
import codecs
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.settings import load
from worker.testing.item_view import ItemView, view_of

ROOT = Path(__file__).resolve().parents[4]
PATIENCE = 150.0


class DevRun:
    """One running ``dev``: its output, and a client of its server."""

    def __init__(self, project: Path, process: asyncio.subprocess.Process) -> None:
        self.project = project
        self.process = process
        self.output = ""
        self.client: Client
        self._grown = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def until(self, pattern: str, *, times: int = 1) -> None:
        """Return when the output holds a pattern so often."""
        try:
            async with asyncio.timeout(PATIENCE):
                while len(re.findall(pattern, self.output)) < times:
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            raise AssertionError(f"{pattern!r} did not come; there is:\n{self.output}") from None

    async def ended(self) -> int:
        """Return the exit code when it has ended."""
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            await self._reading
        return code

    def interrupt(self) -> None:
        """Press Ctrl-C: the whole group of the terminal gets it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def children(self) -> list[psutil.Process]:
        """Return the processes below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    async def push(self, queue: str, payload: dict[str, Any] | None = None) -> str:
        """Push an item."""
        return (await self.client.push_workitem(queue, payload or {})).id

    async def item(self, id: str, *states: str) -> ItemView:
        """Return an item once it has one of these states; by default once it has ended."""
        async with asyncio.timeout(PATIENCE):
            while True:
                (found,) = await self.client.query("workitems", {"_id": id})
                view = view_of(found)
                if view.state in (states or ("successful", "failed")):
                    return view
                await asyncio.sleep(0.05)

    async def sign_in(self, data: Path) -> None:
        """Sign in with what it wrote down for other commands."""
        lines = (data / "env").read_text().splitlines()
        env = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        self.client = make_client(
            load(
                {"client": "native"}, environment={k: v.strip("'") for k, v in env.items()}
            ).settings
        )
        await self.client.connect()

    async def end(self) -> None:
        """End it, whatever it does."""
        if hasattr(self, "client"):
            await self.client.disconnect()
        if self.process.returncode is None:
            below: list[psutil.Process] = []
            with contextlib.suppress(psutil.NoSuchProcess):  # it ends, and nobody has told yet
                below = self.children()
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            for child in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            await self.process.wait()
        self._reading.cancel()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        decoder = codecs.getincrementaldecoder("utf-8")()
        while chunk := await self.process.stdout.read(65536):
            self.output += decoder.decode(chunk)  # which may end within a letter
            self._grown.set()


Dev = Callable[..., Awaitable[DevRun]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
async def dev(project: Path) -> AsyncIterator[Dev]:
    """Start ``dev`` in the project; returns once its code works, unless told not to wait."""
    async with AsyncExitStack() as stack:

        async def start(*arguments: str, wait: str = r"(?m)^working") -> DevRun:
            environment = {
                name: value
                for name, value in os.environ.items()
                if not name.upper().startswith("OPENIAP") and name not in ("jwt", "wiq", "apiurl")
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "worker",
                "dev",
                "--port",
                "0",
                *(() if "--console" in arguments else ("--no-console",)),
                *arguments,
                cwd=project,
                env={**environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            run = DevRun(project, process)
            stack.push_async_callback(run.end)
            if wait:
                await run.until(wait)
            data = project / ".openiap"
            if (data / "env").exists():
                await run.sign_in(data)
            return run

        yield start
