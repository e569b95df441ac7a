"""The process that is measured: ``python -m tests.benchmarks.lanes JSON``; prints one JSON line.

It starts the loop as ``openiap-worker run`` does, and measures itself from when it is connected
until the last outcome was taken.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.benchmarks import growth, handlers, item_lines, latency, memory, scale
from tests.benchmarks.stage import settings_for
from worker.app.options import Handler
from worker.cli.shared.client import run_async
from worker.engine.daemon import Daemon
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.openiap.workitem import SUCCESSFUL, Workitem

LOOK_EVERY: Final = 0.02
Spec = Mapping[str, Any]


class Meter:
    """Time and CPU of this process, from its making on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._cpu = self._used()

    def read(self, items: int) -> dict[str, Any]:
        """Return items per second, CPU per item in microseconds, and memory in MB."""
        seconds, cpu = time.perf_counter() - self._began, self._used() - self._cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "items": items,
            "seconds": seconds,
            "rate": items / seconds,
            "cpu": cpu / max(1, items) * 1e6,
            "rss": peak / (1024 * 1024 if sys.platform == "darwin" else 1024),
        }

    @staticmethod
    def _used() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime


async def worker(spec: Spec) -> dict[str, Any]:
    """The whole worker: outbox, presence, rescuer, validated payload."""
    found: Handler[..., Any] = getattr(handlers, spec["handler"])
    settings = settings_for(
        spec["url"],
        spec["client"],
        Path(spec["folder"]) / f"state-{spec['client']}",
        concurrency=spec["slots"],
        **spec.get("settings", {}),
    )
    daemon = Daemon(settings, [found], modules=["tests.benchmarks.handlers"])
    await daemon.start()
    try:
        queue, wanted = found.options.queue, spec["items"]
        meter, first = Meter(), daemon.counts()[queue].successful
        while (done := daemon.counts()[queue].successful) < wanted:
            await asyncio.sleep(LOOK_EVERY)
        return meter.read(done - first)
    finally:
        await daemon.stop()


async def bare(spec: Spec) -> dict[str, Any]:
    """The same client with one pop and as many updates in flight, and nothing else."""
    settings = settings_for(spec["url"], spec["client"], Path(spec["folder"]))
    client = make_client(settings)
    await client.connect()
    try:
        meter = Meter()
        return meter.read(await _bare_loop(client, spec["queue"], spec["slots"]))
    finally:
        await client.disconnect()


async def _bare_loop(client: Client, queue: str, slots: int) -> int:
    room = asyncio.Semaphore(slots)
    updates: set[asyncio.Task[None]] = set()
    done = 0

    async def update(item: Workitem) -> None:
        item.state = SUCCESSFUL
        await client.update_workitem(item)
        room.release()

    while True:
        await room.acquire()
        item = await client.pop_workitem(queue)
        if item is None:
            break
        done += 1
        task = asyncio.create_task(update(item))
        updates.add(task)
        task.add_done_callback(updates.discard)
    while updates:
        await asyncio.wait(updates)
    return done


KINDS: Final[Mapping[str, Callable[[Spec], Awaitable[Any]]]] = {
    "worker": worker,
    "bare": bare,
    "files": growth.files,
    "latency": latency.child,
    "scale": scale.child,
    "many": memory.many,
    "in_flight": memory.in_flight,
    "item_lines": partial(item_lines.within, worker),
}


def main() -> int:
    """Run one lane and return the exit code."""
    spec = json.loads(sys.argv[1])

    async def work() -> Any:
        return await KINDS[spec["kind"]](spec)

    print(json.dumps(run_async(work(), busy=True)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
