"""4: what a worker without work costs: CPU and messages."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Final

from tests.benchmarks.figures import Section, Spread, Table, Target
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import (
    PASSWORD,
    START_DEADLINE,
    USER,
    BenchmarkFailed,
    Server,
    connected,
    cpu_of,
    local_server,
    rss_of,
    started,
)
from worker.openiap.workitem import WorkItemQueue

QUEUES: Final = 5
PING_EVERY: Final = 10.0
SETTLE: Final = 10.0
NOT_MESSAGES: Final = frozenset({"connections", "wakeups", "unknown", "ratelimited"})


async def run(plan: Plan) -> list[Section]:
    """Watch ``openiap-worker run`` with nothing to do, with each client."""
    table = Table(("client", "% of a core", "messages/min", "per queue", "which, per minute", "MB"))
    section = Section(
        4,
        "Idle",
        notes=[
            f"`openiap-worker run` with {QUEUES} queues, no items and default settings. Messages"
            " are what the worker sends; the answers to the server's pings are among them. All runs"
            " of both clients side by side, each with a server of its own."
        ],
        tables=[table],
    )
    seconds = float(plan.amount(120, 20))
    clients = ("native", "official")
    watched = await asyncio.gather(
        *(_idle(client, seconds) for client in clients for _ in range(plan.runs))
    )
    for number, client in enumerate(clients):
        found = watched[number * plan.runs : (number + 1) * plan.runs]
        shares, rss = Spread.of(f[0] for f in found), Spread.of(f[2] for f in found)
        counts = Spread.of(sum(f[1].values()) for f in found)
        queue = Spread.of(sum(f[1].values()) / QUEUES for f in found)
        which = ", ".join(f"{name} {n:.1f}" for name, n in sorted(found[0][1].items()))
        table.rows.append((client, str(shares), str(counts), str(queue), which, str(rss)))
        section.targets += [
            Target(f"{client}, % of a core", shares.median, 0.3, at_least=False),
            Target(f"{client}, messages per minute and queue", queue.median, 5, at_least=False),
        ]
    return [section]


async def _idle(client: str, seconds: float) -> tuple[float, dict[str, float], float]:
    """Return % of a core, messages per minute by command, and MB."""
    async with local_server() as server:
        async with connected(server) as door:
            for n in range(1, QUEUES + 1):
                await door.add_workitem_queue(WorkItemQueue(name=f"idle{n}"))
        environment = {
            "OPENIAP_WORKER_URL": server.url,
            "OPENIAP_WORKER_CLIENT": client,
            "OPENIAP_WORKER_STATE_DIR": str(server.folder / "state"),
            "OPENIAP_USERNAME": USER,
            "OPENIAP_PASSWORD": PASSWORD,
        }
        command = [sys.executable, "-m", "worker", "run"]
        command += ["--handlers", "tests.benchmarks.idlers"]
        log = server.folder / "lane.log"
        async with started(command, log, environment=environment) as worker:
            await _up(server, worker, log)
            await asyncio.sleep(SETTLE)
            before, cpu = await server.stats(), cpu_of(worker.pid)
            await asyncio.sleep(seconds)
            after, used = await server.stats(), cpu_of(worker.pid) - cpu
            rss = rss_of(worker.pid)
        assert worker.returncode == 0, log.read_text()[-400:]
    minutes = seconds / 60
    counts = {
        name: (count - before.get(name, 0)) / minutes
        for name, count in after.items()
        if name not in NOT_MESSAGES and count > before.get(name, 0)
    }
    counts["pong"] = 60 / PING_EVERY
    return used / seconds * 100, counts, rss


async def _up(server: Server, worker: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until the worker has looked at each of its queues."""
    until = time.monotonic() + START_DEADLINE
    while (await server.stats()).get("popworkitem", 0) < QUEUES:
        if worker.returncode is not None or time.monotonic() > until:
            raise BenchmarkFailed(f"the worker does not pop: {log.read_text()[-400:]}")
        await asyncio.sleep(0.5)
