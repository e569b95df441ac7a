"""10: what keys and rates cost: items per second, messages per item, memory, the hand-over.

``python -m tests.benchmarks.ordered_keys JSON`` is the process that is measured.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.figures import DASH, Section, Spread, Table
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import (
    Server,
    connected,
    local_server,
    push,
    rss_of,
    settings_for,
    told,
)
from worker.app.decorator import handler
from worker.cli.shared.client import run_async
from worker.engine.daemon import Daemon
from worker.openiap.workitem import WorkItemQueue

QUEUE: Final = "ordered"
KEYS: Final = 10_000
SLOTS: Final = 16
AMOUNTS: Final = {"none": 3000, "keys": KEYS, "hot": 500, "rate": 3000}
MOST_RUNS: Final = 2
DEADLINE: Final = 600.0
NOT_MESSAGES: Final = frozenset({"connections", "wakeups", "unknown", "ratelimited"})
KINDS: Final[Mapping[str, str]] = {
    "none": "no key",
    "keys": f"a key, {KEYS:,} different ones",
    "hot": "one key for all",
    "rate": 'rate="100000/s"',
}


async def run(plan: Plan) -> list[Section]:
    """Measure one worker without a key, with many keys, with one, and with a rate."""
    table = Table(
        (
            "client",
            "declared",
            "items",
            "items/s",
            "messages/item",
            "MB",
            "hand-over p50, ms",
            "p99",
        )
    )
    for client in ("native", "official"):
        for kind, title in KINDS.items():
            items = plan.amount(AMOUNTS[kind], 200)
            runs = [await _one(client, kind, items) for _ in range(min(plan.runs, MOST_RUNS))]
            cells = [
                str(Spread.of(one[name] for one in runs)) if name in runs[0] else DASH
                for name in ("rate", "messages", "rss", "p50", "p99")
            ]
            table.rows.append((client, title, str(items), *cells))
    note = (
        f"One worker, {SLOTS} slots, an async handler that does nothing, without the limit of"
        " messages per second. messages: all that the server got, over the items, pops and"
        " write-backs among them. Hand-over: from the end of one item of the key to the begin of"
        " the next, all others of the queue waiting for that key, too."
        f" At most {MOST_RUNS} runs."
    )
    return [Section(10, "Keys and rates", [note], [table])]


async def _one(client: str, kind: str, items: int) -> dict[str, float]:
    async with local_server() as server:
        async with connected(server) as door:
            await door.add_workitem_queue(WorkItemQueue(name=QUEUE))
            await push(door, QUEUE, items)
        before = await server.stats()
        found = await _child(server, client=client, kind=kind, items=items)
        after = await server.stats()
    sent = sum(n - before.get(c, 0) for c, n in after.items() if c not in NOT_MESSAGES)
    return {**found, "messages": sent / items}


async def _child(server: Server, **more: Any) -> dict[str, float]:
    spec = {"url": server.url, "folder": str(server.folder), **more}
    command = [sys.executable, "-m", "tests.benchmarks.ordered_keys", json.dumps(spec)]
    out = await told(command, DEADLINE, server.folder / "keys.log")
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


async def child(spec: Mapping[str, Any]) -> dict[str, float]:
    """Work all items and return the figures."""
    kind, wanted = spec["kind"], spec["items"]
    gaps: list[float] = []
    ended = [0.0]
    options: dict[str, Any] = {}
    if kind == "keys":
        options["key"] = lambda payload: payload["n"] % KEYS
    elif kind == "hot":
        options["key"] = lambda payload: "hot"
    elif kind == "rate":
        options["rate"] = "100000/s"

    @handler(QUEUE, concurrency=SLOTS, **options)
    async def work(payload: dict[str, Any]) -> None:
        if kind == "hot":
            now = time.perf_counter()
            gaps.append(now - ended[0])
            ended[0] = now

    settings = settings_for(spec["url"], spec["client"], Path(spec["folder"]) / "state")
    daemon = Daemon(settings, [work])
    began = time.perf_counter()
    await daemon.start()
    try:
        while daemon.counts()[QUEUE].successful < wanted:
            await asyncio.sleep(0.01)
        seconds = time.perf_counter() - began
        figures = {"rate": wanted / seconds, "rss": rss_of(os.getpid())}
    finally:
        await daemon.stop()
    if kind == "hot":
        late = sorted(gaps[1:])
        figures["p50"] = late[len(late) // 2] * 1000
        figures["p99"] = late[min(len(late) - 1, round(0.99 * (len(late) - 1)))] * 1000
    return figures


if __name__ == "__main__":
    print(json.dumps(run_async(child(json.loads(sys.argv[1])))))
