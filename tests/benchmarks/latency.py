"""3: how long it takes from a push to the handler's start, for an idle worker."""

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.figures import Section, Spread, Table, Target
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import (
    Server,
    connected,
    first_line,
    lane_started,
    local_server,
    settings_for,
    written,
)
from worker.app.decorator import handler
from worker.app.options import Handler
from worker.engine.daemon import Daemon
from worker.openiap.factory import connection_options
from worker.openiap.native import NativeClient
from worker.openiap.workitem import JsonObject, WorkItemQueue

QUEUES: Final = 10
ROUND_DEADLINE: Final = 60.0
MODES: Final = ("watch", "message", "poll")
NEVER: Final = 3600.0


class _Blind(NativeClient):
    """A client of a server without watches."""

    @property
    def server_config(self) -> JsonObject:
        """The server's answer, but for the watches."""
        return {**super().server_config, "supports_watch": False}


async def child(spec: Mapping[str, Any]) -> list[float]:
    """Work until standard input ends, and return the latencies in seconds."""
    found: list[float] = []

    def stamping(queue: str) -> Handler[..., Any]:
        @handler(queue)
        async def stamp(payload: dict[str, Any]) -> None:
            # The monotonic clock is the machine's, the same in all of its processes.
            found.append(time.monotonic() - payload["at"])

        return stamp

    more = dict(spec["settings"])
    if spec["mode"] == "message":
        more["poll_interval"] = NEVER
    settings = settings_for(spec["url"], "native", Path(spec["folder"]) / spec["mode"], **more)
    options = connection_options(settings, "")
    kind = NativeClient if spec["mode"] == "watch" else _Blind
    handlers = [stamping(f"{spec['mode']}-{n}") for n in range(QUEUES)]
    daemon = Daemon(settings, handlers, client_factory=lambda: kind(options))
    await daemon.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await daemon.stop()
    return found


async def run(plan: Plan) -> list[Section]:
    """Measure by watch, message and poll."""
    table = Table(("wake-up", "pushes", "p50, ms", "p99, ms"))
    p99 = Spread(())
    for mode in MODES:
        if mode == "watch":
            runs = [await pushed(plan, mode) for _ in range(plan.runs)]
        else:
            runs = await asyncio.gather(*(pushed(plan, mode) for _ in range(plan.runs)))
        halves = Spread.of(statistics.median(found) * 1000 for found in runs)
        tails = Spread.of(p99_of(found) * 1000 for found in runs)
        table.rows.append((mode, str(sum(map(len, runs))), str(halves), str(tails)))
        if mode == "watch":
            p99 = tails
    note = (
        f"An idle worker on {QUEUES} queues, native client, default settings: watch, where the"
        " server has it; queue message, sent by the server every 10 s while items are due (here"
        " without polls); poll (here without the two others). Items come one by one, in random"
        " moments. The runs of the last two are mostly waiting and go side by side."
    )
    target = Target("by watch, p99 in ms", p99.median, 25, at_least=False)
    return [Section(3, "From push to handler start", [note], [table], [target])]


def p99_of(found: list[float]) -> float:
    """Return the 99th percentile."""
    return sorted(found)[min(len(found) - 1, round(0.99 * (len(found) - 1)))]


async def pushed(plan: Plan, mode: str, settings: Mapping[str, Any] | None = None) -> list[float]:
    """Push one by one and return the seconds that each took to its handler.

    Args:
        settings: the worker's, besides those of every benchmark; None is its default.
    """
    chance = random.Random(mode)
    async with local_server() as server, connected(server) as client:
        for n in range(QUEUES):
            name = f"{mode}-{n}"
            amqpqueue = name if mode == "message" else ""
            await client.add_workitem_queue(WorkItemQueue(name=name, amqpqueue=amqpqueue))
        async with lane_started(
            server, "latency", mode=mode, settings=dict(settings or {})
        ) as process:
            await first_line(process)
            await asyncio.sleep(1)

            async def push(n: int, after: float) -> None:
                await asyncio.sleep(after)
                await client.push_workitem(f"{mode}-{n}", {"at": time.monotonic()})

            if mode == "watch":
                count = plan.amount(200, 20)
                for n in range(count):
                    await push(n % QUEUES, chance.uniform(0.02, 0.08))
            else:
                span, rounds = (10.0, 2) if mode == "message" else (15.0, 2)
                count = QUEUES * plan.amount(rounds, 1)
                for _ in range(count // QUEUES):
                    pushes = (push(n, chance.uniform(0, span)) for n in range(QUEUES))
                    await asyncio.gather(*pushes)
                    await _all_taken(server)
            await _all_taken(server)
            out, _ = await asyncio.wait_for(process.communicate(b"end"), ROUND_DEADLINE)
    found: list[float] = json.loads(out.splitlines()[-1])
    assert len(found) == count
    return found


async def _all_taken(server: Server) -> None:
    """Wait until every item has been written back."""
    async with asyncio.timeout(ROUND_DEADLINE):
        while True:
            stats = await server.stats()
            if written(stats) >= stats.get("pushworkitem", 0):
                return
            await asyncio.sleep(0.2)
