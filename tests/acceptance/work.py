"""``python -m tests.acceptance.work``: a worker as tests want it, by the plan in its environment.

The plan: ``settings`` (overrides by name), ``module`` (with the handlers), ``points`` (a folder),
``limit`` (bytes that a file may grow to: a full disk), ``version`` (what it says that it is),
``measure`` (a file for figures of memory and counts every second), ``hand_back`` (seconds for the
last messages of a stop: a machine that halts just then would leave them to the next life), ``take``
(it is a program that takes items, ``take.py``).
"""

import asyncio
import contextlib
import gc
import json
import os
import resource
import select
import sys
import threading
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from tests.acceptance import nextversion, take
from tests.acceptance.points import Points, install
from worker.app.registry import load_modules
from worker.engine import shutdown
from worker.engine.daemon import Daemon
from worker.runloop import Restart
from worker.settings import load


async def measure(path: Path, daemon: Daemon) -> None:
    """Write figures every second: what would grow if something leaked."""
    while True:
        done = sum(counts.finished for counts in daemon.counts().values())
        gc.collect()
        figures = {
            "at": time.time(),
            "done": done,
            "rss": resident(),
            "threads": threading.active_count(),
            "tasks": len(asyncio.all_tasks()),
            "files": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
            "objects": len(gc.get_objects()),
        }
        with path.open("a") as file:
            file.write(json.dumps(figures) + "\n")
        await asyncio.sleep(1)  # the distance of two figures


def end_with(parent: int) -> None:
    """End when the test run is gone, so that one that was killed leaves no worker behind."""
    with contextlib.suppress(ProcessLookupError):  # gone already
        descriptor = os.pidfd_open(parent)
        if os.getppid() == parent:  # and no other that has its number by now
            select.select([descriptor], [], [])
    os._exit(1)


def resident() -> int:
    """Return this process's resident bytes."""
    return int(psutil.Process().memory_info().rss)


async def work(plan: dict[str, Any]) -> int:
    """Run the daemon by the plan; returns its exit code."""
    loaded = load(plan["settings"], environment={})
    handlers = load_modules([plan["module"]])
    wanted = plan.get("queues")
    if wanted:
        handlers = [one for one in handlers if one.options.queue in wanted]
    version = plan.get("version", "test")
    if version == nextversion.VERSION:
        nextversion.pretend()
    daemon = Daemon(loaded.settings, handlers, version=version, modules=[plan["module"]])
    starting = daemon.start

    async def start() -> None:
        await starting()
        os.write(1, f"[{os.getpid()}] ready\n".encode())

    daemon.start = start  # type: ignore[method-assign]
    watching = None
    if plan.get("hand_back"):
        shutdown.HAND_BACK_TIMEOUT = plan["hand_back"]  # type: ignore[misc]
    if plan.get("measure"):
        watching = asyncio.create_task(measure(Path(plan["measure"]), daemon))
    try:
        return await daemon.run()
    finally:
        if watching is not None:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


def main() -> int:
    """Run and return the exit code."""
    restart = Restart()
    plan = json.loads(os.environ["ACCEPTANCE_PLAN"])
    if plan.get("points"):
        install(Points(Path(plan["points"])))
    if plan.get("limit"):  # as on a full disk; Python ignores the signal that comes with it
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan["limit"], resource.RLIM_INFINITY))
    if plan.get("take"):
        threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
        return take.main(plan)
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    factory = None
    if find_spec("uvloop") is not None:  # as ``openiap-worker run`` does
        factory = import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        code = runner.run(work(plan))
    restart.after(code, plan["settings"].get("lost_slots", "restart"))
    return code


if __name__ == "__main__":
    sys.exit(main())
