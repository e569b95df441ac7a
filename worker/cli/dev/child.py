"""One generation's own process: imports the handlers, says so, and works when it is told to.

1. It is spoken to in lines of JSON over stdin; the end of stdin means that its parent is gone.
2. It answers in lines of JSON over what was stdout when it began. From then on stdout is stderr:
   what handlers and libraries print can never be taken for an answer.
3. It makes what schedules would push, for a console that fires one: their code is here alone.
4. Import errors, wrong settings and handlers that cannot be used are answers, not crashes.
"""

import asyncio
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from worker._version import __version__
from worker.app.registry import Registry, load_modules
from worker.cli.dev.example_payload import example_payload
from worker.engine.daemon import Daemon
from worker.engine.scheduler.switches import ScheduleKey
from worker.engine.scheduler.timetable import ScheduleEntry, timetable
from worker.errors import WorkerError
from worker.item.error_text import in_short
from worker.openiap.errors import OpenIAPError
from worker.package_path import OWN_CODE
from worker.settings import load

LOOK_AGAIN: Final = 0.05
LINES_AROUND: Final = 2
LONGEST_CONTENT: Final = 1_000_000
"""Bytes of an answer with a payload: its parent cuts longer lines."""
TOO_LARGE: Final = "it is larger than 1 MB, which only openiap-worker schedules fire can push"

Answer = Callable[[Mapping[str, Any]], None]
Schedules = Mapping[ScheduleKey, ScheduleEntry]


def main() -> None:
    """Live as one generation; the process's whole program."""
    answer = _answer_channel()
    told = json.loads(sys.stdin.buffer.readline() or b"{}")
    try:
        daemon, schedules = _prepared(told, answer)
    except (WorkerError, OSError) as error:
        answer({"answer": "broken", **described(error)})
        return
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(_work(daemon, schedules, answer))
    # Not sys.exit: a thread that a handler left behind would keep the process.
    sys.stderr.flush()
    os._exit(code)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    # By name: the package does not exist for Windows, so it cannot be imported above.
    return import_module("uvloop").new_event_loop if find_spec("uvloop") else None


def _answer_channel() -> Answer:
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    lock = threading.Lock()

    def answer(message: Mapping[str, Any]) -> None:
        with lock, suppress(OSError):  # a parent that is gone needs no answer
            channel.write(json.dumps(message).encode() + b"\n")

    return answer


def _prepared(told: Mapping[str, Any], answer: Answer) -> tuple[Daemon, Schedules]:
    file = told.get("settings_file")
    loaded = load(told["settings"], file=Path(file) if file else None)
    modules = loaded.settings.handlers
    handlers = load_modules(modules, folder=Path(told["folder"]))
    daemon = Daemon(
        loaded.settings,
        handlers,
        version=__version__,
        modules=modules,
        environment=loaded.environment,
    )
    provided = frozenset(lifespan.provides for lifespan in handlers.lifespans)
    registered = Registry(handlers, resources=provided)
    schedules = {entry.key: entry for entry in timetable(registered, datetime.now(UTC))}
    facts = [_facts(r) for r in registered]
    answer({"answer": "prepared", "handlers": facts, "schedules": list(schedules)})
    return daemon, schedules


def _facts(registered: Any) -> dict[str, Any]:
    options = registered.handler.options
    return {
        "name": registered.name,
        "queue": registered.queue,
        "execution": options.execution,
        "concurrency": options.concurrency,
        "sample": example_payload(registered.signature),
    }


async def _work(daemon: Daemon, schedules: Schedules, answer: Answer) -> int:
    orders: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_read_orders, args=(loop, orders), daemon=True).start()
    while (order := await orders.get())["do"] != "go":
        if order["do"] in ("stop", "gone"):
            return 0
    working = asyncio.create_task(daemon.run(signals=False))
    following = asyncio.create_task(_follow_orders(daemon, schedules, orders, working, answer))
    try:
        return await working
    except (WorkerError, OpenIAPError) as error:
        answer({"answer": "broken", **described(error)})
        return 1
    finally:
        following.cancel()


async def _follow_orders(
    daemon: Daemon,
    schedules: Schedules,
    orders: "asyncio.Queue[Mapping[str, Any]]",
    working: "asyncio.Task[int]",
    answer: Answer,
) -> None:
    loop = asyncio.get_running_loop()
    making: set[asyncio.Task[None]] = set()
    while True:
        order = await orders.get()
        if order["do"] == "content":
            made = asyncio.create_task(_make(schedules, order, answer))
            making.add(made)
            made.add_done_callback(making.discard)
            continue
        daemon.quiet()
        answer({"answer": "quiet"})
        if order["do"] == "stop":
            loop.call_later(float(order["drain"]), _hurry, loop, daemon, working)
        elif order["do"] in ("hurry", "gone"):
            _hurry(loop, daemon, working)


async def _make(schedules: Schedules, order: Mapping[str, Any], answer: Answer) -> None:
    """Make payload and name of a schedule's item, or say why not."""
    told = {"answer": "content", "number": order["number"]}
    try:
        tick = datetime.fromisoformat(order["tick"])
        payload, name = await schedules[tuple(order["key"])].content(tick)
        made = {**told, "payload": payload, "name": name}
        if len(json.dumps(made)) > LONGEST_CONTENT:
            made = {**told, "error": TOO_LARGE}
    except Exception as error:  # a function of the user's makes it: it may raise anything
        made = {**told, "error": in_short(error).removesuffix(".")}
    answer(made)


def _hurry(loop: asyncio.AbstractEventLoop, daemon: Daemon, working: "asyncio.Task[int]") -> None:
    """Do not wait for items in flight; said again until it ends: it may not be stopping yet."""
    if not working.done():
        daemon.hurry()
        loop.call_later(LOOK_AGAIN, _hurry, loop, daemon, working)


def _read_orders(
    loop: asyncio.AbstractEventLoop, orders: "asyncio.Queue[Mapping[str, Any]]"
) -> None:
    """In a thread of its own: Windows has no asynchronous stdin."""
    with suppress(RuntimeError):  # the loop is closed: nobody follows any more
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(orders.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(orders.put_nowait, {"do": "gone"})


def described(error: BaseException) -> dict[str, Any]:
    """Return an error for people: what it says, where it is, and the lines around that place."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else None
    file, line = _place(cause) if cause is not None else ("", 0)
    return {"text": str(error), "file": file, "line": line, "excerpt": _excerpt(file, line)}


def _place(error: BaseException) -> tuple[str, int]:
    if isinstance(error, SyntaxError):
        return error.filename or "", error.lineno or 0
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((OWN_CODE, "<frozen ")):
            return frame.filename, frame.lineno or 0
    return "", 0


def _excerpt(file: str, line: int) -> list[list[Any]]:
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):
        return []
    first = max(1, line - LINES_AROUND)
    return [[n, lines[n - 1]] for n in range(first, min(len(lines), line + LINES_AROUND) + 1)]
