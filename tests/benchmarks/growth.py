"""7: how the cost grows with the queue, the payload and the files."""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.figures import Section, Spread, Table
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import (
    connected,
    cpu_of,
    fill,
    lane,
    local_server,
    push,
    rss_of,
    settings_for,
)
from worker import Item
from worker.app.decorator import handler
from worker.engine.daemon import Daemon
from worker.openiap.workitem import WorkItemQueue

DEADLINE: Final = 600.0
SLOTS: Final = 32
TAKEN: Final = 2000
FILE_SLOTS: Final = 2
LENGTHS: Final = (100, 10_000, 1_000_000)
PAYLOADS: Final = ((1_000, 2000), (100_000, 400), (5_000_000, 20))
FILES: Final = ((1, 40), (100, 2))
MEGABYTE: Final = 1024 * 1024


async def run(plan: Plan) -> list[Section]:
    """Measure all three."""
    note = (
        "The whole worker with the native client. Queue length: the first 2,000 items of a queue"
        f" of so many (100 of 100), {SLOTS} slots, no-op. Payload: no-op as well. Files: the"
        f" handler fetches its item's file and attaches it again, {FILE_SLOTS} at once."
    )
    tables = [await _lengths(plan), await _payloads(plan), await _files(plan)]
    return [Section(7, "How the cost grows", [note], tables)]


async def _lengths(plan: Plan) -> Table:
    table = Table(("queue length", "items/s", "CPU µs/item", "server's CPU µs/item"))
    for full in LENGTHS:
        length = plan.amount(full, min(full, 20_000))
        taken = min(length, TAKEN)
        found = []
        async with local_server() as server, connected(server) as client:
            await client.add_workitem_queue(WorkItemQueue(name="noop"))
            await push(client, "noop", length)
            for _ in range(plan.runs):
                before = server.cpu()
                told: dict[str, Any] = {"client": "native", "slots": SLOTS, "items": taken}
                one = await lane(server, "worker", DEADLINE, handler="noop", **told)
                one["server"] = (server.cpu() - before) / one["items"] * 1e6
                found.append(one)
                await push(client, "noop", one["items"])
        table.rows.append(_row(f"{length:,}", found, ("rate", "cpu", "server")))
    return table


async def _payloads(plan: Plan) -> Table:
    table = Table(("payload", "items/s", "CPU µs/item", "server's CPU µs/item", "peak MB"))
    for size, amount in PAYLOADS:
        items = plan.amount(amount, max(5, amount // 10))
        found = []
        for _ in range(plan.runs):
            async with local_server() as server:
                await fill(server, "noop", items, payload={"text": "x" * size})
                before = server.cpu()
                told: dict[str, Any] = {"client": "native", "slots": SLOTS, "items": items}
                one = await lane(server, "worker", DEADLINE, handler="noop", **told)
                one["server"] = (server.cpu() - before) / one["items"] * 1e6
                found.append(one)
        title = f"{size // 1000:,} kB" if size < 1_000_000 else f"{size // 1_000_000} MB"
        table.rows.append(_row(title, found, ("rate", "cpu", "server", "rss")))
    return table


async def _files(plan: Plan) -> Table:
    table = Table(("file", "items", "MB/s in and out", "CPU ms/MB", "growth, MB"))
    for size, amount in FILES:
        items = plan.amount(amount, 2)
        found = [await _with_files(size, items) for _ in range(plan.runs)]
        table.rows.append(_row(f"{size} MB", found, ("rate", "cpu", "grown"), str(items)))
    return table


async def _with_files(size: int, items: int) -> dict[str, Any]:
    async with local_server() as server, connected(server) as client:
        await client.add_workitem_queue(WorkItemQueue(name="files"))
        with tempfile.TemporaryDirectory(prefix="openiap-files-") as folder:
            path = Path(folder) / "input.bin"
            with path.open("wb") as file:
                for _ in range(size):
                    file.write(os.urandom(MEGABYTE))
            for n in range(items):
                await client.push_workitem("files", {"n": n}, files=[path], timeout=DEADLINE)
        found: dict[str, Any] = await lane(server, "files", DEADLINE, items=items, size=size)
        return found


async def files(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Fetch and attach files; the child's part."""
    highest = rss_of(os.getpid())

    @handler("files", concurrency=FILE_SLOTS, timeout="10m")
    async def through(payload: dict[str, Any], item: Item) -> None:
        nonlocal highest
        path = await item.files["input.bin"].path()
        assert path.stat().st_size == spec["size"] * MEGABYTE
        highest = max(highest, rss_of(os.getpid()))
        await item.attach(path, "output.bin")
        highest = max(highest, rss_of(os.getpid()))

    settings = settings_for(spec["url"], "native", Path(spec["folder"]) / "state", once=True)
    daemon = Daemon(settings, [through])
    before, cpu, began = rss_of(os.getpid()), cpu_of(os.getpid()), time.perf_counter()
    await daemon.run(signals=False)
    megabytes = 2 * spec["size"] * daemon.counts()["files"].successful
    assert megabytes == 2 * spec["size"] * spec["items"]
    return {
        "rate": megabytes / (time.perf_counter() - began),
        "cpu": (cpu_of(os.getpid()) - cpu) / megabytes * 1000,
        "grown": max(highest, rss_of(os.getpid())) - before,
    }


def _row(
    title: str, found: list[dict[str, Any]], figures: tuple[str, ...], *more: str
) -> tuple[str, ...]:
    spreads = (str(Spread.of(one[figure] for one in found)) for figure in figures)
    return (title, *more, *spreads)
