"""The process of one generation of the code, as its parent holds it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from worker.engine.scheduler.switches import ScheduleKey
from worker.import_path import path_for_children
from worker.management.schedules.errors import PayloadError
from worker.openiap.workitem import JsonObject
from worker.package_path import IMPORT_ROOT

BOOT: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; del sys.argv[1:];"
    " from worker.cli.dev.child import main; main()"
)
# Not "-m worker.cli.dev.child": the package need not be on the path of a fresh interpreter.
CHUNK: Final = 64 * 1024
LONGEST_LINE: Final = 1024 * 1024
ANSWERS_WITHIN: Final = 20.0
"""Seconds that the code of a schedule has for a payload that somebody asks for."""
GONE: Final = "the process with its code has ended"


@dataclass(frozen=True, slots=True)
class HandlerFacts:
    """A handler as the view shows it; ``sample`` is a payload that it would take."""

    name: str
    queue: str
    execution: str
    concurrency: int
    sample: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The code imports and its handlers can be used; ``schedules`` are their queues and names."""

    handlers: tuple[HandlerFacts, ...]
    schedules: tuple[ScheduleKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Broken:
    """The code cannot be used.

    Attributes:
        text: why, in a sentence.
        file, line: where, as far as it is known; "" and 0 else.
        excerpt: the lines around it with their numbers.
    """

    text: str
    file: str = ""
    line: int = 0
    excerpt: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What every generation is started with.

    Attributes:
        settings: by name, over everything that file and environment say.
        settings_file: instead of ``config/worker.toml``; "" for that.
        folder: the project's; importable, and the working directory.
    """

    settings: Mapping[str, Any]
    settings_file: str
    folder: Path


@dataclass(frozen=True, slots=True)
class ChildSchedule:
    """A schedule whose code is in a generation's process; see ``Fireable``."""

    child: "ChildProcess"
    key: ScheduleKey

    @property
    def name(self) -> str:
        """Its queue and name for people."""
        return "/".join(self.key)

    async def content(self, tick: datetime) -> tuple[JsonObject, str]:
        """Have its code make it. Raises: as ``ChildProcess.content``."""
        return await self.child.content(self.key, tick)


class ChildProcess:
    """A worker with one generation of the code.

    Attributes:
        number: of the generation, 1 for the first.
        quiet: set when it takes no further item.
        ended: set when the process is gone.
        told_to_end: whether its end is what it was asked for.
        schedules: those of its code, once that is imported.
    """

    def __init__(self, number: int, plan: Plan, line: Callable[[int, str], None]) -> None:
        """Make one that is not started yet; ``line`` is told what it prints."""
        self.number: Final = number
        self.quiet: Final = asyncio.Event()
        self.ended: Final = asyncio.Event()
        self.told_to_end = False
        self.schedules: tuple[ScheduleKey, ...] = ()
        self._plan = plan
        self._line = line
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._answer: asyncio.Future[Prepared | Broken] = asyncio.get_running_loop().create_future()
        self._began = 0.0
        self._contents: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._asked = 0

    @property
    def code(self) -> int | None:
        """How the process ended: an exit code, negative for a signal; None while it lives."""
        return None if self._process is None else self._process.returncode

    @property
    def worked(self) -> float:
        """Seconds since it was told to work; 0 if it never was."""
        return 0.0 if not self._began else time.monotonic() - self._began

    async def prepare(self) -> Prepared | Broken:
        """Start the process and return whether its code can be used."""
        # A group of its own: Ctrl-C in the terminal is the parent's to handle.
        apart: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if sys.platform == "win32"
            else {"start_new_session": True}
        )
        # No bytecode is written: two edits within a second may leave one that looks up to date.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            BOOT,
            *path_for_children(str(IMPORT_ROOT)),
            cwd=self._plan.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **apart,
        )
        self._tasks = [
            asyncio.create_task(self._read_answers()),
            asyncio.create_task(self._read_lines()),
        ]
        self._tasks.append(asyncio.create_task(self._end()))
        self._order(
            {
                "settings": dict(self._plan.settings),
                "settings_file": self._plan.settings_file,
                "folder": str(self._plan.folder),
            }
        )
        return await asyncio.shield(self._answer)

    def go(self) -> None:
        """Work the queues from now on."""
        self._began = time.monotonic()
        self._order({"do": "go"})

    def finish(self) -> None:
        """Take no further item, finish those in flight however long that takes, and end."""
        self.told_to_end = True
        self._order({"do": "finish"})

    def stop(self, drain: float) -> None:
        """Take no further item, and end within ``drain`` seconds and a little."""
        self.told_to_end = True
        self._order({"do": "stop", "drain": drain})

    def hurry(self) -> None:
        """Hand back what is in flight, and end."""
        self.told_to_end = True
        self._order({"do": "hurry"})

    async def content(self, key: ScheduleKey, tick: datetime) -> tuple[JsonObject, str]:
        """Have its code make payload and name of a schedule's item.

        Raises:
            PayloadError: it cannot, or the process is gone, or does not answer.
        """
        self._asked += 1
        number = self._asked
        made = self._contents[number] = asyncio.get_running_loop().create_future()
        self._order({"do": "content", "number": number, "key": key, "tick": tick.isoformat()})
        if self.ended.is_set():
            made.set_result({"error": GONE})
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                found = await made
        except TimeoutError:
            found = {"error": f"its code did not answer within {ANSWERS_WITHIN:.0f} s"}
        finally:
            del self._contents[number]
        if "error" in found:
            name = "/".join(key)
            raise PayloadError(f"The payload of schedule {name} cannot be made: {found['error']}.")
        return found["payload"], found["name"]

    async def kill(self) -> None:
        """End it at once; for one that has not begun to work, or does not obey."""
        self.told_to_end = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self.ended.wait()

    def _order(self, message: Mapping[str, Any]) -> None:
        stdin = None if self._process is None else self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(json.dumps(message).encode() + b"\n")

    async def _read_answers(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in _lines(self._process.stdout):
            message = json.loads(line)
            if message["answer"] == "prepared":
                self.schedules = tuple((queue, name) for queue, name in message["schedules"])
                handlers = tuple(HandlerFacts(**h) for h in message["handlers"])
                self._settle(Prepared(handlers, self.schedules))
                continue
            if message["answer"] == "content":
                self._told_content(message["number"], message)
                continue
            if message["answer"] == "quiet":
                self.quiet.set()
                continue
            broken = Broken(
                str(message["text"]),
                str(message["file"]),
                int(message["line"]),
                tuple((int(number), str(text)) for number, text in message["excerpt"]),
            )
            if self._answer.done():
                self._line(self.number, broken.text)
            self._settle(broken)

    async def _read_lines(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in _lines(self._process.stderr):
            self._line(self.number, line.decode("utf-8", "replace").rstrip("\r\n"))

    async def _end(self) -> None:
        """Wait for the process's end, and settle what still waits for it."""
        assert self._process is not None
        code = await self._process.wait()
        # What it said last is heard first; a program that it started may hold the pipes open.
        await asyncio.wait(self._tasks[:2], timeout=1)
        for task in self._tasks[:2]:
            task.cancel()
        self._settle(Broken(f"its process ended with {code} while it was imported."))
        if self._process.stdin is not None:
            self._process.stdin.close()
        self.quiet.set()
        self.ended.set()
        for number in list(self._contents):
            self._told_content(number, {"error": GONE})

    def _told_content(self, number: int, told: Mapping[str, Any]) -> None:
        made = self._contents.get(number)  # None: nobody waits for it any more
        if made is not None and not made.done():
            made.set_result(told)

    def _settle(self, answer: Prepared | Broken) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)


async def _lines(reader: asyncio.StreamReader) -> Any:
    """Yield lines; one without an end is cut, so that its length costs no memory."""
    left = b""
    while chunk := await reader.read(CHUNK):
        *whole, left = (left + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(left) > LONGEST_LINE:
            yield left
            left = b""
    if left:
        yield left
