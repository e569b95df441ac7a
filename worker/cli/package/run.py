"""Doing here what an agent does with a package (agent.md, The run), to try it before publishing.

1. A fresh folder, which is the working directory and is deleted at the end.
2. An interpreter of its own with the requirements installed by pip; a failure of pip is told and
   swallowed, as an agent swallows it. Like an agent's, it can be kept from one start to the next.
3. The schedule's environment: ``apiurl``, ``jwt``, and what it sets, such as ``wiq``.
4. The agent's way of stopping: the worker's children get SIGKILL at once, the worker SIGTERM, after
   5 s SIGINT, after 10 s SIGKILL.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final, TypeVar

import psutil

from worker.cli.package.archive import unpack
from worker.cli.package.build import Built
from worker.cli.package.errors import PackageError
from worker.cli.package.offline import save_wheels
from worker.cli.package.selection import checked_path
from worker.cli.shared.paths import shown

T = TypeVar("T")

INTERRUPT_AFTER: Final = 5.0
KILL_AFTER: Final = 10.0
LINE_LIMIT: Final = 1 << 20
DONE: Final = "requirements.installed"

# What only the shell here knows, and an agent's environment does not have.
_NOT_THERE: Final = (
    *("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "OPENIAP_USERNAME", "OPENIAP_PASSWORD"),
    *("OPENIAP_JWT", "OPENIAP_URL", "OPENIAP_APIURL", "grpcapiurl", "wsapiurl"),
    *("wiq", "queue", "SF_VMID", "SF_AMQPQUEUE"),
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How the package ended.

    Attributes:
        code: the exit code; negative for a signal.
        printed: bytes of output, all of which an agent would hold in memory.
        stop_seconds: from the first signal to the end; 0.0 when it ended by itself.
        killed: whether SIGKILL was needed.
        install_code: what pip returned.
    """

    code: int
    printed: int
    stop_seconds: float
    killed: bool
    install_code: int


def schedule_environment(
    inherited: Mapping[str, str], schedule: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment that the package gets: the agent's and the schedule's. Pure."""
    kept = {
        name: value
        for name, value in inherited.items()
        if name not in _NOT_THERE and not name.upper().startswith("OPENIAP_WORKER_")
    }
    return {**kept, **schedule, "PYTHONUNBUFFERED": "1"}


async def run(
    built: Built,
    schedule: Mapping[str, str],
    *,
    stop: asyncio.Event,
    say: Say,
    python: str = sys.executable,
    keep: Path | None = None,
    offline: bool = False,
    stop_after: float | None = None,
) -> Ended:
    """Run a package until it ends or ``stop`` is set.

    Args:
        schedule: the environment of the schedule, with ``apiurl`` and ``jwt``.
        say: is given each line of output, and what this does.
        python: the interpreter to make the fresh one from.
        keep: a folder where the fresh interpreter stays; the next start of the same package uses
            it as it is.
        offline: install from what is installed here, and not from a registry.
        stop_after: seconds from its start to when it is stopped.

    Raises:
        PackageError: the fresh interpreter or folder cannot be made, it was stopped before the
            package was started, or, offline, something that the package needs is not installed
            here.
    """
    async with _fresh_folder() as folder:
        package = folder / "package"
        _extract(built, package)
        environment = schedule_environment(os.environ, schedule)
        home = keep or folder / "python"

        async def prepare() -> tuple[Path, int]:
            interpreter = await _interpreter(home, python, environment, say)
            source = folder / "wheels" if offline else None
            return interpreter, await _install_once(
                home / DONE, interpreter, package, environment, say, source
            )

        interpreter, install_code = await _unless(stop, prepare())
        say(f"starting {built.manifest.main}")
        process = await asyncio.create_subprocess_exec(
            *(str(interpreter), "-u", built.manifest.main),
            cwd=package,
            env=environment,
            stdin=PIPE,  # an agent's, too, is open and says nothing: who reads it waits
            stdout=PIPE,
            stderr=STDOUT,
            limit=LINE_LIMIT,
            # Its own session: Ctrl-C here is for this program, which then stops it.
            start_new_session=True,
        )
        if stop_after is not None:
            asyncio.get_running_loop().call_later(stop_after, stop.set)
        return await _watch(process, stop, say, install_code)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Do something that takes its time, unless it is to stop meanwhile.

    Raises:
        PackageError: it was to stop.
    """
    working, asked = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise PackageError("Stopped before the package was started.")
        return working.result()
    finally:
        asked.cancel()
        working.cancel()
        await asyncio.gather(working, asked, return_exceptions=True)


async def _watch(process: Process, stop: asyncio.Event, say: Say, install_code: int) -> Ended:
    reading = asyncio.create_task(_read(process, say))
    asked = asyncio.create_task(stop.wait())
    ended = asyncio.create_task(process.wait())
    began, killed = 0.0, False
    try:
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            began = time.monotonic()
            killed = await stop_as_agent(process, say)
        code = await ended
        took = time.monotonic() - began if began else 0.0
    finally:
        asked.cancel()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await asyncio.gather(asked, ended, return_exceptions=True)
    # A grandchild may hold the pipe open; what it says later is not waited for.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(reading), 2.0)
    reading.cancel()
    printed = reading.result() if reading.done() and not reading.cancelled() else 0
    return Ended(code, printed, took, killed, install_code)


async def stop_as_agent(process: Process, say: Say) -> bool:
    """End a process as an agent does; returns whether SIGKILL was needed."""
    for child in _children(process.pid):
        with contextlib.suppress(psutil.Error):
            child.kill()
    if sys.platform == "win32":  # no signals there: an agent on Windows kills at once
        process.kill()
        await process.wait()
        return True
    for number, patience in (
        (signal.SIGTERM, INTERRUPT_AFTER),
        (signal.SIGINT, KILL_AFTER - INTERRUPT_AFTER),
    ):
        say(f"{signal.Signals(number).name} to the worker")
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience)
            return False
    say("SIGKILL to the worker: it did not end in time")
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    return True


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


async def _read(process: Process, say: Say) -> int:
    printed = 0
    if process.stdout is None:
        return printed
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:  # a line above the limit: its beginning was dropped
            say("(a line of more than 1 MiB)")
            continue
        if not line:
            return printed
        printed += len(line)
        say(line.decode("utf-8", "replace").rstrip("\r\n"))


@asynccontextmanager
async def _fresh_folder() -> AsyncIterator[Path]:
    folder = Path(mkdtemp(prefix="openiap-agent-"))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _extract(built: Built, folder: Path) -> None:
    for path, content in unpack(built.archive).items():
        target = folder / checked_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


@asynccontextmanager
async def _ended_with_us(process: Process) -> AsyncIterator[Process]:
    """Give a process that does not outlive what waits for it."""
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _interpreter(folder: Path, python: str, environment: Mapping[str, str], say: Say) -> Path:
    found = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if os.path.exists(found):
        return found
    say("making a fresh Python, which takes some seconds")
    try:
        process = await asyncio.create_subprocess_exec(
            *(python, "-m", "venv", str(folder)), env=environment, stdout=PIPE, stderr=STDOUT
        )
    except OSError as error:
        raise PackageError(f"--python {shown(python)}: {error.strerror or error}.") from error
    async with _ended_with_us(process):
        output, _ = await process.communicate()
    if process.returncode:
        said = output.decode("utf-8", "replace").strip().splitlines()
        raise PackageError(f"{python} cannot make a fresh interpreter: {said[-1] if said else ''}")
    return found


async def _install_once(
    done: Path,
    python: Path,
    package: Path,
    environment: Mapping[str, str],
    say: Say,
    source: Path | None,
) -> int:
    """Install unless this very ``requirements.txt`` was installed there before.

    Args:
        source: where to put wheels of what is installed here, and install from; None: a registry.
    """
    requirements = package / "requirements.txt"
    if not requirements.is_file():
        return 0
    wanted = requirements.read_bytes()
    if done.is_file() and done.read_bytes() == wanted:
        return 0
    options: tuple[str, ...] = ()
    if source is not None:
        say("making wheels of what is installed here")
        await asyncio.to_thread(save_wheels, wanted.decode("utf-8", "replace"), source)
        options = ("--no-index", "--find-links", str(source))
    say("pip installs requirements.txt, which may take a minute")
    code = await _install(python, package, environment, say, options)
    if code == 0:
        done.write_bytes(wanted)
    return code


async def _install(
    python: Path,
    package: Path,
    environment: Mapping[str, str],
    say: Say,
    options: tuple[str, ...] = (),
) -> int:
    """Install as an agent does: the requirements, then the newest protobuf (agent.md)."""
    listed = str(package / "requirements.txt")
    code = await _pip(python, package, environment, say, *options, "-r", listed)
    if code:
        say("pip failed; an agent goes on and starts the package all the same, and so does this")
        if not options:
            say("without a registry within reach: package run --offline")
        return code
    await _pip(python, package, environment, say, *options, "--upgrade", "protobuf")
    return 0


async def _pip(
    python: Path, package: Path, environment: Mapping[str, str], say: Say, *arguments: str
) -> int:
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"),
        *arguments,
        cwd=package,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        limit=LINE_LIMIT,
    )
    async with _ended_with_us(process):
        await _read(process, say)
        return await process.wait()
