"""5: more worker processes on one queue."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from tests.benchmarks import handlers
from tests.benchmarks.figures import Section, Spread, Table
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import fill, first_line, lane_started, local_server, settings_for
from worker.engine.daemon import Daemon
from worker.openiap.factory import connection_options
from worker.openiap.native import NativeClient
from worker.openiap.workitem import Workitem

DEADLINE: Final = 240.0
PROCESSES: Final = (1, 2, 4, 8)
KINDS: Final = (("wait5", "5 ms of waiting, async", 4000), ("burn5", "5 ms of CPU, process", 1000))


class _Timed(NativeClient):
    """Knows its longest pop, and when the first and the last item passed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pops = 0
        self.longest = 0.0
        self.first = 0.0
        self.last = 0.0

    async def pop_workitem(self, *args: Any, **kwargs: Any) -> Workitem | None:
        """Pop, and look at the clock."""
        began = time.monotonic()
        item = await super().pop_workitem(*args, **kwargs)
        self.pops += 1
        self.longest = max(self.longest, time.monotonic() - began)
        if item is not None:
            self.first = self.first or began
        return item

    async def update_workitem(self, *args: Any, **kwargs: Any) -> Workitem:
        """Update, and look at the clock."""
        stored = await super().update_workitem(*args, **kwargs)
        self.last = time.monotonic()
        return stored


async def child(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Wait for the word, then work the queue until it is empty."""
    found = getattr(handlers, spec["handler"])
    state = Path(spec["folder"]) / f"state-{spec['number']}"
    settings = settings_for(spec["url"], "native", state, once=True)
    options = connection_options(settings, "")
    clients: list[_Timed] = []

    def make() -> _Timed:
        clients.append(_Timed(options))
        return clients[-1]

    daemon = Daemon(settings, [found], modules=["tests.benchmarks.handlers"], client_factory=make)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await daemon.run(signals=False)
    counts = daemon.counts()[found.options.queue]
    return {
        "items": counts.successful,
        "lost": counts.lost_pops,
        "pops": sum(c.pops for c in clients),
        "longest": max(c.longest for c in clients),
        "first": min((c.first for c in clients if c.first), default=0.0),
        "last": max(c.last for c in clients),
    }


async def run(plan: Plan) -> list[Section]:
    """Measure 1, 2, 4 and 8 processes on two kinds of handlers."""
    table = Table(("handler", "processes", "items/s", "lost pops, %", "longest pop, ms"))
    for name, title, amount in KINDS:
        for processes in PROCESSES:
            items = plan.amount(amount * min(processes, 2), 200)
            runs = [await _scale(name, processes, items) for _ in range(plan.runs)]
            columns = (str(Spread.of(run[n] for run in runs)) for n in range(3))
            table.rows.append((title, str(processes), *columns))
    note = (
        "Worker processes of one queue on one machine, native client, one pop in flight each; ten"
        " slots of the asynchronous handler, one process of the other. More processes than"
        " processors can only share them."
    )
    return [Section(5, "More processes", [note], [table])]


async def _scale(name: str, processes: int, items: int) -> tuple[float, float, float]:
    """Return items per second, lost pops in percent, and the longest pop in milliseconds."""
    async with local_server() as server, AsyncExitStack() as stack:
        await fill(server, name, items)
        lanes = []
        for number in range(processes):
            process = lane_started(server, "scale", handler=name, number=number)
            lanes.append(await stack.enter_async_context(process))
        for process in lanes:
            await first_line(process)
        async with asyncio.timeout(DEADLINE):
            told = await asyncio.gather(*(process.communicate(b"go\n") for process in lanes))
        found = [json.loads(out.splitlines()[-1]) for out, _ in told]
    worked = [one for one in found if one["items"]]
    assert sum(one["items"] for one in worked) == items
    seconds = max(one["last"] for one in worked) - min(one["first"] for one in worked)
    lost = sum(one["lost"] for one in found) / sum(one["pops"] for one in found)
    return items / seconds, lost * 100, max(one["longest"] for one in found) * 1000
