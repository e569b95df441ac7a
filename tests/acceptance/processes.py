"""Worker and server processes that tests start, kill, freeze and wait for; always by pid."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
USER: Final = "tester"
PASSWORD: Final = "a-password-for-tests"
WAIT: Final = 60.0
"""Seconds for what takes a moment: only a broken product takes so long, whatever the machine."""
START_DEADLINE: Final = 120.0


class Overdue(AssertionError):
    """Something that was promised did not happen in time."""


async def until(
    what: str,
    happened: Callable[[], bool | Awaitable[bool]],
    deadline: float,
    *,
    every: float = 0.05,
    tell: Callable[[], str] = lambda: "",
) -> None:
    """Wait until something happened.

    Raises:
        Overdue: it did not within ``deadline`` seconds.
    """
    end = time.monotonic() + deadline
    while True:
        answer = happened()
        if answer if isinstance(answer, bool) else await answer:
            return
        if time.monotonic() > end:
            raise Overdue(f"{what}: not within {deadline:g} s. {tell()}")
        await asyncio.sleep(every)


class Port:
    """A port that is ours until ``close``, also while nobody listens there.

    The system gives a port that is free to whoever asks next, and other tests ask all the time:
    before a server has started, and while it is restarted. It gives nobody one that is bound, and
    yet lets a server of ours listen there, since both set SO_REUSEADDR and we do not listen. That
    is so on Linux alone; elsewhere this is a port that was free a moment ago.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: Final = int(self._socket.getsockname()[1])
        if sys.platform != "linux":
            self.close()

    def close(self) -> None:
        """Let go of it; idempotent."""
        self._socket.close()


class Child:
    """One process in a group of its own; its output goes to a file."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def _spawn(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=ROOT,
            env={**clean_environment(), **environment},
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._copy(self._process))

    async def _copy(self, process: asyncio.subprocess.Process) -> None:
        """Write its output to the file: it writes to a pipe, so that its disk may be full."""
        assert process.stdout is not None
        with self.log.open("ab", buffering=0) as output:
            while data := await process.stdout.read(65536):
                output.write(data)

    @property
    def pid(self) -> int:
        """The present process."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs (or is frozen)."""
        return self._process is not None and self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        """Its exit code, once it has one."""
        return self._process.returncode if self._process else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def freeze(self) -> None:
        """Stop it where it is."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.signal(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL it and wait for its end."""
        if self.alive:
            self.signal(signal.SIGKILL)
            await self.ended(WAIT)

    async def gone(self) -> int:
        """Wait for its end however long that takes, and end what it left behind, as systemd does;
        returns the exit code.

        By looks: asyncio's own wait would last for as long as anybody holds its output.
        """
        pid = self.pid
        while self.alive:
            await asyncio.sleep(0.1)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        return self.returncode or 0

    async def ended(self, deadline: float) -> int:
        """Wait for its end; returns the exit code."""
        assert self._process is not None
        try:
            async with asyncio.timeout(deadline):
                return await self._process.wait()
        except TimeoutError:
            raise Overdue(f"{self.name} did not end within {deadline:g} s\n{self.tail()}") from None

    async def clean_up(self) -> None:
        """End it and everything that it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(Overdue):
            await self.ended(WAIT)
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def text(self) -> str:
        """Return all that it printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 30) -> str:
        """Return its last lines, for a failure's text."""
        return f"--- {self.name}\n" + "\n".join(self.text().splitlines()[-lines:])


class Server(Child):
    """The local server as a process, on ports and data that survive its restarts."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__("server", folder / "server.log")
        self.reserved = Port()
        self.port = self.reserved.number
        self.data = folder / "server.db"
        self.environment: dict[str, str] = {}
        self._options = options

    async def start(self) -> None:
        """Start it, again if need be, and return once it listens."""
        before = len(self.text())
        await self._spawn(
            [
                sys.executable,
                "-m",
                "worker.localserver",
                *("--port", str(self.port)),
                "--no-grpc",
                *("--data", str(self.data)),
                *("--user", f"{USER}:{PASSWORD}"),
                *("--wakeup-interval", "1", "--wakeup-spacing", "0.05"),
                "--faults",
                *self._options,
            ],
            self.environment,
        )
        await until(
            "the server listens",
            lambda: f'"pid": {self.pid}' in self.text()[before:] or not self.alive,
            START_DEADLINE,
            tell=self.tail,
        )
        assert self.alive, self.tail()

    async def clean_up(self) -> None:
        """End it, and let go of its port."""
        await super().clean_up()
        self.reserved.close()

    async def restart(self) -> None:
        """Kill it without a word and start it again."""
        await self.kill()
        await self.start()


class Worker(Child):
    """A worker as a process; its state survives its restarts."""

    def __init__(self, name: str, folder: Path, plan: dict[str, Any]) -> None:
        super().__init__(name, folder / f"{name}.log")
        self.plan = plan
        self.environment: dict[str, str] = {}
        self.state = folder / f"state-{name}"
        self.plan["settings"].setdefault("state_dir", str(self.state))
        self.plan["settings"].setdefault("worker_id", name)

    async def start(self) -> None:
        """Start it, again if need be; returns at once."""
        await self._spawn(
            [sys.executable, "-m", "tests.acceptance.work"],
            {"ACCEPTANCE_PLAN": json.dumps(self.plan), **self.environment},
        )

    def ready(self) -> bool:
        """Whether the present process has said that it works."""
        return f"[{self.pid}] ready" in self.text()

    async def started(self) -> None:
        """Start it and wait until it pops."""
        await self.start()
        await until(
            f"{self.name} works",
            lambda: self.ready() or not self.alive,
            START_DEADLINE,
            tell=self.tail,
        )
        assert self.alive, self.tail()

    def fill_disk(self, limit: int = 16 * 1024) -> None:
        """Let no file of it grow beyond some bytes from now on, as on a full disk."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def clean_environment() -> dict[str, str]:
    """Return the environment without what would set a worker or the library."""
    ours = ("OPENIAP", "ACCEPTANCE", "OTEL", "SF_")
    names = {"apiurl", "grpcapiurl", "wsapiurl", "jwt", "wiq", "queue"}
    return {
        k: v for k, v in os.environ.items() if k not in names and not k.upper().startswith(ours)
    }
