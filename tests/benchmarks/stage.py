"""What every benchmark stands on: the local server as a process of its own, items, processes.

Everything is on loopback, every wait is bounded, and every process that was started is ended by its
pid.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.openiap.workitem import Workitem, WorkItemQueue
from worker.settings import Settings, load

ROOT: Final = Path(__file__).resolve().parents[2]
USER: Final = "bench"
PASSWORD: Final = "a-password-for-benchmarks"
START_DEADLINE: Final = 60.0
STOP_DEADLINE: Final = 15.0
PUSHED_AT_ONCE: Final = 1000


class BenchmarkFailed(Exception):
    """A part of a benchmark did not do what it was started for."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running local server.

    Attributes:
        url: what websocket clients are given.
        folder: a temporary folder; the data file lies in it, workers may keep their state there.
    """

    url: str
    http: str
    pid: int
    folder: Path

    def cpu(self) -> float:
        """Return the seconds of CPU that the server's process has used so far."""
        return cpu_of(self.pid)

    async def stats(self) -> dict[str, int]:
        """Return how often each command came so far."""
        async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
            found: dict[str, int] = (await http.get(f"{self.http}/stats")).json()
            return found


def written(stats: Mapping[str, int]) -> int:
    """Return how many outcomes came; the native client writes them as documents, on condition that
    the item is still its own."""
    return stats.get("updateworkitem", 0) + stats.get("updatedocument", 0)


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def rss_of(pid: int) -> float:
    """Return the megabytes that a process holds in memory."""
    return float(psutil.Process(pid).memory_info().rss) / 1024 / 1024


@asynccontextmanager
async def local_server(*arguments: str) -> AsyncIterator[Server]:
    """Run a local server with a data file until the block ends.

    Raises:
        BenchmarkFailed: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="openiap-bench-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "worker.localserver", "--port", "0", "--no-grpc"]
        command += ["--data", str(folder / "data.sqlite"), "--user", f"{USER}:{PASSWORD}"]
        async with started([*command, "--faults", *arguments], folder / "server.log") as process:
            told = json.loads(await first_line(process))
            yield Server(told["ws"], told["http"], process.pid, folder)


@asynccontextmanager
async def started(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process until the block ends; its standard error goes to a file."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=folder or ROOT,
            env={**clean_environment(), **(environment or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await _end(process)


async def told(
    command: Sequence[str],
    deadline: float,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a process to its end and return what it wrote.

    Raises:
        BenchmarkFailed: it failed, or took longer than ``deadline`` seconds.
    """
    async with started(command, log, environment=environment, folder=folder) as process:
        try:
            async with asyncio.timeout(deadline):
                out, _ = await process.communicate()
        except TimeoutError:
            raise BenchmarkFailed(f"{command[1:4]}: not within {deadline:g} s") from None
        if process.returncode:
            tail = log.read_text(errors="replace")[-400:]
            raise BenchmarkFailed(f"{command[1:4]}: exit code {process.returncode}; {tail}")
        return out.decode()


async def first_line(process: asyncio.subprocess.Process) -> str:
    """Return the first line that a process writes.

    Raises:
        BenchmarkFailed: it ended without one, or took too long.
    """
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_DEADLINE):
            line = await process.stdout.readline()
    except TimeoutError:
        raise BenchmarkFailed(f"nothing from process {process.pid}") from None
    if not line:
        raise BenchmarkFailed(f"process {process.pid} ended without a word")
    return line.decode()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process and what it started: they are a group of their own."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_DEADLINE):
                await process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def clean_environment() -> dict[str, str]:
    """Return the environment without anything that sets up a worker."""
    ours = ("OPENIAP", "SF_", "OTEL_")
    names = ("apiurl", "grpcapiurl", "wsapiurl", "wiq", "queue", "jwt")
    return {
        k: v for k, v in os.environ.items() if not k.upper().startswith(ours) and k not in names
    }


def settings_for(url: str, client: str, state_dir: Path, **more: Any) -> Settings:
    """Return a worker's settings: the defaults, but without the limit of messages per second."""
    values = {
        "url": url,
        "username": USER,
        "password": PASSWORD,
        "client": client,
        "state_dir": str(state_dir),
        "rate_limit": 0,
        "log_level": "warn",
        **more,
    }
    return load(values, environment={}).settings


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    """Give a client that pushes items and looks at what became of them."""
    client = make_client(settings_for(server.url, "native", server.folder))
    await client.connect()
    try:
        yield client
    finally:
        await client.disconnect()


async def fill(
    server: Server, queue: str, count: int, *, payload: Mapping[str, Any] | None = None
) -> None:
    """Make a queue with so many items; each has its number in the payload as ``n``."""
    async with connected(server) as client:
        await client.add_workitem_queue(WorkItemQueue(name=queue))
        await push(client, queue, count, payload=payload)


async def push(
    client: Client, queue: str, count: int, *, payload: Mapping[str, Any] | None = None
) -> None:
    """Push so many items in bulk."""
    size = len(json.dumps(dict(payload or {})))
    at_once = max(1, min(PUSHED_AT_ONCE, 4_000_000 // (size + 100)))
    for first in range(0, count, at_once):
        last = min(first + at_once, count)
        items = [Workitem(payload={**(payload or {}), "n": n}) for n in range(first, last)]
        await client.push_workitems(queue, items)


async def lane(
    server: Server,
    kind: str,
    deadline: float,
    **more: Any,
) -> Any:
    """Run one lane in a process of its own and return what it measured.

    Args:
        kind: which (``lanes.py``).
        deadline: seconds until it is ended.
        more: what it is told.

    Raises:
        BenchmarkFailed: it did not end well in time.
    """
    out = await told(_lane(server, kind, more), deadline, server.folder / "lane.log")
    return json.loads(out.splitlines()[-1])


def lane_started(
    server: Server, kind: str, **more: Any
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """Run one lane until the block ends, for those that talk with it; see ``lane``."""
    return started(_lane(server, kind, more), server.folder / "lane.log")


def _lane(server: Server, kind: str, more: Mapping[str, Any]) -> list[str]:
    spec = {"kind": kind, "url": server.url, "folder": str(server.folder), **more}
    return [sys.executable, "-m", "tests.benchmarks.lanes", json.dumps(spec)]
