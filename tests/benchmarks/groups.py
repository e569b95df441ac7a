"""What a group costs beside as many plain items: ``python -m tests.benchmarks.groups``.

Members with a no-op handler, pushed by a program and worked by one worker in this process; the
local server, with a data file, has one of its own. A group counts as worked when what comes after
it has ended. Pairs of runs, one after the other; medians.
"""

import argparse
import asyncio
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from statistics import median
from typing import Any, Final

from tests.benchmarks.stage import connected, local_server, settings_for
from worker import Producer, handler
from worker.app.application import Application
from worker.engine.daemon import Daemon
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.openiap.workitem import NEW, PROCESSING, SUCCESSFUL, WorkItemQueue
from worker.producer.sender import ClientSender

MEMBERS: Final = 10_000
DEADLINE: Final = 300.0
NOT_MESSAGES: Final = frozenset(
    {"connections", "wakeups", "unknown", "ratelimited", "poprounds", "lostrounds"}
)
FIGURES: Final = ("push", "work", "messages", "documents", "megabytes")

Push = Callable[[Producer, int], Awaitable[object]]


@handler("noop", concurrency=32)
async def noop(payload: dict[str, int]) -> int:
    """Do nothing."""
    return payload["n"]


@handler("after")
async def after(payload: dict[str, Any]) -> dict[str, int]:
    """Look at what came."""
    return {"sum": sum(payload["results"]), "failed": len(payload["errors"])}


async def plain(producer: Producer, count: int) -> object:
    """Push items that have nothing to do with each other."""
    return await producer.push_many(noop, [{"n": n} for n in range(count)])


async def group(producer: Producer, count: int) -> object:
    """Push as many as a group."""
    return await producer.push_group([(noop, {"n": n}) for n in range(count)], then=after)


async def run(client: str, push: Push, count: int) -> dict[str, float]:
    """Push and work so many; returns items per second of both, messages and documents."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(local_server())
        signed: Client = make_client(settings_for(server.url, client, server.folder / "producer"))
        await signed.connect()
        stack.push_async_callback(signed.disconnect)
        async with connected(server) as admin:
            for queue in ("noop", "after"):
                await admin.add_workitem_queue(WorkItemQueue(name=queue))
        before = Counter(await server.stats())
        began = time.monotonic()
        await push(Producer(ClientSender(signed), client=signed), count)
        pushed = time.monotonic()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        daemon = Daemon(
            settings_for(server.url, client, server.folder / "worker"),
            Application.of(noop, after),
        )
        await daemon.start()
        stack.push_async_callback(daemon.stop)
        await _worked(signed, with_after=push is group)
        worked = time.monotonic()
        after_it = Counter(await server.stats())
        after_it.subtract(before)
        messages = sum(number for name, number in after_it.items() if name not in NOT_MESSAGES)
        documents = await signed.count(
            "openiap_worker_state", {"_id": {"$gte": "/group", "$lt": "/groupz"}}
        )
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
        return {
            "push": count / (pushed - began),
            "work": count / (worked - pushed),
            "messages": messages / count,
            "documents": documents,
            "megabytes": grown / 1024,
        }


async def _worked(client: Client, *, with_after: bool) -> None:
    unfinished = {"wiq": "noop", "state": {"$in": [NEW, PROCESSING]}}
    async with asyncio.timeout(DEADLINE):
        while await client.count("workitems", unfinished):
            await asyncio.sleep(0.1)
        while with_after and not await client.count(
            "workitems", {"wiq": "after", "state": SUCCESSFUL}
        ):
            await asyncio.sleep(0.02)


async def main(clients: list[str], count: int, pairs: int) -> None:
    """Print a row for each client and way."""
    print(
        f"| {count:,} members | items/s pushed | items/s worked | messages per item | documents |"
    )
    print("| --- | --- | --- | --- | --- |")
    for client in clients:
        seen: dict[str, list[dict[str, float]]] = {"plain": [], "group": []}
        for _ in range(pairs):
            seen["plain"].append(await run(client, plain, count))
            seen["group"].append(await run(client, group, count))
        for way, runs in seen.items():
            found = {name: median(one[name] for one in runs) for name in FIGURES}
            print(
                f"| {client}, {way} | {found['push']:,.0f} | {found['work']:,.0f} |"
                f" {found['messages']:.3f} | {found['documents']:.0f} |",
                flush=True,
            )
        ratios = [
            group["work"] / plain["work"]
            for group, plain in zip(seen["group"], seen["plain"], strict=True)
        ]
        print(f"| {client}, ratio of pairs | | {median(ratios):.3f} | | |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.groups", description=__doc__)
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--client", action="append", choices=("native", "official"))
    given = parser.parse_args()
    asyncio.run(main(given.client or ["native", "official"], given.members, given.pairs))
