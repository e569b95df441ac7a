"""9: what 200 schedules cost, and how late their items come."""

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, Final

from tests.benchmarks.figures import DASH, Section, Spread, Table, Target
from tests.benchmarks.ordered_timetables import COUNT, QUEUE
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import (
    PASSWORD,
    USER,
    Server,
    connected,
    cpu_of,
    local_server,
    rss_of,
    started,
)
from worker.openiap.workitem import WorkItemQueue

FLEET: Final = 10
SETTLE: Final = 60.0
"""Seconds until every worker knows the others (the rescuer's first look), and is done starting."""
NOT_MESSAGES: Final = frozenset({"connections", "wakeups", "unknown", "ratelimited"})
BOUND: Final = 30
MEASURED: Final = 60.0
MOST_RUNS: Final = 3


async def run(plan: Plan) -> list[Section]:
    """Measure an idle fleet, and one worker whose schedules tick."""
    idle, added = await _idle(plan)
    return [
        Section(
            9,
            "Schedules",
            notes=[
                f"Idle: {FLEET} processes of `openiap-worker run`, one queue and default settings,"
                f" with and without {COUNT} schedules of which none ticks while it is measured;"
                " native client. updateone are heartbeats, query are looks of the rescuers.",
                "Ticking: one worker, native client, without the limit of messages per second."
                " spread: each minute, over all its seconds; together: all of them every 20 s in"
                " the same moment. From the tick to when the server has the item; the worker works"
                f" the items, too. Idle one run, ticking at most {MOST_RUNS}.",
            ],
            tables=[idle, await _ticking(plan)],
            targets=[
                Target("messages per minute that schedules add", added, BOUND, at_least=False)
            ],
        )
    ]


async def _idle(plan: Plan) -> tuple[Table, float]:
    """Return the table, and the messages per minute that schedules add."""
    table = Table(("schedules", "messages/min", "which, per minute"))
    seconds = float(plan.amount(120, 60))
    sums = []
    for kind, count in (("none", 0), ("yearly", COUNT)):
        async with local_server() as server, _Fleet(server, kind, FLEET):
            await asyncio.sleep(SETTLE)
            before = await server.stats()
            await asyncio.sleep(seconds)
            after = await server.stats()
        found = _per_minute(before, after, seconds)
        sums.append(sum(found.values()))
        which = ", ".join(f"{name} {n:.1f}" for name, n in sorted(found.items()))
        table.rows.append((str(count), f"{sums[-1]:.1f}", which))
    return table, sums[1] - sums[0]


async def _ticking(plan: Plan) -> Table:
    columns = ("ticks", "p50", "p99", "messages", "cpu", "rss")
    table = Table(
        ("schedules", "ticks/min", "p50, ms", "p99, ms", "messages/min", "% of a core", "MB")
    )
    for kind in ("none", "spread", "together"):
        runs = [await _one(kind, MEASURED) for _ in range(min(plan.runs, MOST_RUNS))]
        cells = [
            str(Spread.of(one[name] for one in runs)) if name in runs[0] else DASH
            for name in columns
        ]
        table.rows.append(("0" if kind == "none" else f"{COUNT}, {kind}", *cells))
    return table


async def _one(kind: str, seconds: float) -> dict[str, float]:
    async with local_server() as server, _Fleet(server, kind, 1) as pids:
        await asyncio.sleep(10)
        before, cpu = await server.stats(), cpu_of(pids[0])
        await asyncio.sleep(seconds)
        after, used = await server.stats(), cpu_of(pids[0]) - cpu
        rss = rss_of(pids[0])
        async with connected(server) as client:
            found: list[dict[str, Any]] = []
            while page := await client.query(
                "workitems", {"wiq": QUEUE}, orderby={"_id": 1}, skip=len(found), top=500
            ):
                found += page
    late = sorted(
        datetime.fromisoformat(item["_created"]).timestamp() - item["payload"]["at"]
        for item in found
    )
    figures = {
        "messages": sum(_per_minute(before, after, seconds).values()),
        "cpu": used / seconds * 100,
        "rss": rss,
    }
    if late:
        figures["ticks"] = (after["insertone"] - before["insertone"]) * 60 / seconds
        figures["p50"] = late[len(late) // 2] * 1000
        figures["p99"] = late[min(len(late) - 1, round(0.99 * (len(late) - 1)))] * 1000
    return figures


class _Fleet:
    """So many workers as processes, until the block ends; gives their process ids."""

    def __init__(self, server: Server, kind: str, count: int) -> None:
        self._server = server
        self._kind = kind
        self._count = count
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> list[int]:
        async with connected(self._server) as door:
            await door.add_workitem_queue(WorkItemQueue(name=QUEUE))
        found = []
        for n in range(self._count):
            environment = {
                "OPENIAP_WORKER_URL": self._server.url,
                "OPENIAP_WORKER_CLIENT": "native",
                "OPENIAP_WORKER_WORKER_ID": f"worker-{n:02}",
                "OPENIAP_WORKER_STATE_DIR": str(self._server.folder / f"state-{n}"),
                "OPENIAP_USERNAME": USER,
                "OPENIAP_PASSWORD": PASSWORD,
                "BENCH_SCHEDULES": self._kind,
            }
            if self._count == 1:
                environment["OPENIAP_WORKER_RATE_LIMIT"] = "0"
            command = [sys.executable, "-m", "worker", "run"]
            command += ["--handlers", "tests.benchmarks.ordered_timetables"]
            log = self._server.folder / f"worker-{n}.log"
            process = await self._stack.enter_async_context(
                started(command, log, environment=environment)
            )
            found.append(process.pid)
        return found

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def _per_minute(before: dict[str, int], after: dict[str, int], seconds: float) -> dict[str, float]:
    return {
        name: (count - before.get(name, 0)) * 60 / seconds
        for name, count in after.items()
        if name not in NOT_MESSAGES and count > before.get(name, 0)
    }
