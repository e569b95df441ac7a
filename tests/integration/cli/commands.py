"""Commands, in this process and in processes of their own, and what they say."""

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from worker.cli.app import main
from worker.localserver import LocalServer, ServerOptions

ROOT = Path(__file__).parents[3]
USER, PASSWORD = "tester", "open-sesame"
DEADLINE = 60.0

Finished = subprocess.CompletedProcess[str]
Cli = Callable[..., Finished]


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without anything that sets up a worker."""
    foreign = ("openiap", "apiurl", "grpcapiurl", "wsapiurl", "jwt", "wiq", "queue", "sf_", "otel_")
    kept = {k: v for k, v in os.environ.items() if not k.lower().startswith(foreign)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "COLUMNS": "120", **more}


class Running:
    """A command that goes on; its lines can be waited for."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self._queue: Queue[str | None] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, wanted: str) -> str:
        """Return the next line that has this in it."""
        while True:
            line = self._queue.get(timeout=DEADLINE)
            assert line is not None, f"it ended without {wanted!r}: {self.lines}"
            self.lines.append(line)
            if wanted in line:
                return line

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINE)


@contextmanager
def served() -> Iterator[str]:
    """Run a server on a thread of its own, with one user, and give its URL."""
    told: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        leaving = asyncio.Event()
        async with LocalServer(ServerOptions(users={USER: PASSWORD})) as server:
            told.set_result((server.ws_url, asyncio.get_running_loop(), leaving))
            await leaving.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:
            if told.done():
                raise
            told.set_exception(error)

    thread = threading.Thread(target=run, name="server")
    thread.start()
    url, loop, leaving = told.result(DEADLINE)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(leaving.set)
        thread.join(DEADLINE)


@contextmanager
def running(*arguments: str, folder: Path, **environment: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", *arguments],
        cwd=folder,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    try:
        yield Running(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(DEADLINE)
        if process.stdout is not None:
            process.stdout.close()


def run_here(
    *arguments: str, folder: Path, stdin: str = "", environment: dict[str, str]
) -> Finished:
    """Run a command to its end in this process: all of it but the start of an interpreter."""
    out, err = io.StringIO(), io.StringIO()
    path, modules = sys.path[:], set(sys.modules)
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.chdir(folder)
        patch.setattr(os, "environ", clean_environment(**environment))
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = main(arguments)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]  # the next test's module of that name is another one
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def run_apart(*arguments: str, folder: Path, environment: dict[str, str]) -> Finished:
    """Run a command to its end in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd=folder,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )


def signed_environment(url: str, folder: Path) -> dict[str, str]:
    return {
        "OPENIAP_URL": url,
        "OPENIAP_USERNAME": USER,
        "OPENIAP_PASSWORD": PASSWORD,
        "OPENIAP_WORKER_STATE_DIR": str(folder / "state"),
        "OPENIAP_WORKER_CLIENT": "native",
    }


def answer(finished: Finished) -> Any:
    """Return the JSON that a command printed."""
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)
