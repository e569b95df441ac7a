"""6: what the worker holds in memory, over many items and for each in flight."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.benchmarks import handlers
from tests.benchmarks.figures import Section, Spread, Table
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import (
    connected,
    fill,
    first_line,
    lane,
    lane_started,
    local_server,
    push,
    rss_of,
    settings_for,
)
from worker.app.decorator import handler
from worker.engine.daemon import Daemon
from worker.openiap.workitem import WorkItemQueue

DEADLINE: Final = 600.0
SLOTS: Final = 32
IN_FLIGHT: Final = 1000
PAYLOAD: Final = 10_000
LOOK_EVERY: Final = 0.05


async def many(spec: Mapping[str, Any]) -> list[float]:
    """Return the MB after each of so many items."""
    settings = settings_for(
        spec["url"], "native", Path(spec["folder"]) / "state", concurrency=SLOTS
    )
    daemon = Daemon(settings, [handlers.noop])
    await daemon.start()
    found = []
    for mark in spec["marks"]:
        while daemon.counts()["noop"].successful < mark:
            await asyncio.sleep(LOOK_EVERY)
        found.append(rss_of(os.getpid()))
    await daemon.stop()
    return found


async def in_flight(spec: Mapping[str, Any]) -> list[float]:
    """Return the MB before the first item, and with all of them in their handlers."""
    held, release = 0, asyncio.Event()

    @handler("held", concurrency=IN_FLIGHT)
    async def hold(payload: dict[str, Any]) -> None:
        nonlocal held
        held += 1
        await release.wait()

    settings = settings_for(spec["url"], "native", Path(spec["folder"]) / "state")
    daemon = Daemon(settings, [hold])
    await daemon.start()
    await asyncio.sleep(1)
    before = rss_of(os.getpid())
    print("ready", flush=True)
    while held < spec["items"]:
        await asyncio.sleep(LOOK_EVERY)
    full = rss_of(os.getpid())
    release.set()
    await daemon.stop()
    return [before, full]


async def run(plan: Plan) -> list[Section]:
    """Measure memory after many items, and per item in flight."""
    marks = [1_000, 10_000, plan.amount(100_000, 11_000)]
    after = [await _many(marks) for _ in range(plan.runs)]
    table = Table(("after items", "MB"))
    table.rows = [
        (f"{mark:,}", str(Spread.of(found[n] for found in after))) for n, mark in enumerate(marks)
    ]
    held = [await _held() for _ in range(plan.runs)]
    beside = Table(("", "MB", "kB per item in flight"))
    grown = Spread.of((full - before) * 1024 / IN_FLIGHT for before, full in held)
    beside.rows = [
        ("before the first", str(Spread.of(before for before, _ in held)), ""),
        (f"{IN_FLIGHT:,} in flight", str(Spread.of(full for _, full in held)), str(grown)),
    ]
    note = (
        f"One worker process, native client. In flight: {IN_FLIGHT:,} items with payloads of"
        f" {PAYLOAD // 1000} kB, all in their handlers at once."
    )
    return [Section(6, "Memory", [note], [table, beside])]


async def _many(marks: list[int]) -> list[float]:
    async with local_server() as server:
        await fill(server, "noop", marks[-1])
        found: list[float] = await lane(server, "many", DEADLINE, marks=marks)
        return found


async def _held() -> tuple[float, float]:
    async with local_server() as server, connected(server) as client:
        await client.add_workitem_queue(WorkItemQueue(name="held"))
        async with lane_started(server, "in_flight", items=IN_FLIGHT) as process:
            await first_line(process)
            await push(client, "held", IN_FLIGHT, payload={"text": "x" * PAYLOAD})
            async with asyncio.timeout(DEADLINE):
                out, _ = await process.communicate()
        before, full = json.loads(out.splitlines()[-1])
        return before, full
