"""What open browsers cost: the console's memory, and the items of the workers that are looked at.

python -m tests.benchmarks.watched [SECONDS [BROWSERS [browsers|nice|sockets [TURNS]]]]

5 workers in processes of their own, always with items waiting; a console; 20 browsers of one user
that look at different pages for 600 seconds in all. They look and leave in turns (4): each time
they look is compared with the times before and after it, when nobody does, so that what grows with
the work that is done is not taken for what the browsers cost. Of each time the CPU is told, too, in
parts of one core: of the console, the server, the workers, and of those who look.

The browsers share the processors with the workers: on a small machine that is most of what they
cost. ``nice`` runs them at the lowest priority, and ``sockets`` opens the websockets of their pages
alone, which draw nothing: so what the console costs the workers is seen apart.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import psutil

from tests.benchmarks.asked import environment
from tests.benchmarks.stage import (
    Server,
    connected,
    first_line,
    local_server,
    push,
    rss_of,
    started,
)
from tests.benchmarks.watched_sights import Lookers, browsers, sockets
from worker.openiap.client import Client
from worker.openiap.workitem import WorkItemQueue

WORKERS: Final = 5
BROWSERS: Final = 20
SECONDS: Final = 600.0
TURNS: Final = 4
WAITING: Final = 2_000
"""Items that always wait."""
SETTLE: Final = 10.0
QUEUE: Final = "watched"
PATHS: Final = ("/", "/queues", f"/queue?name={QUEUE}", "/workers", "/worker?id=w1", "/schedules")
MORE_MB: Final = 50.0
SLOWER: Final = 0.03
OWN: Final = "lookers"
"""What this process started and is neither the console nor the server nor a worker."""


@dataclass(frozen=True)
class Window:
    """A time that was measured.

    Attributes:
        rate: items that were done a second.
        cpu: seconds of CPU a second, by whose they are.
        memory: the console's, in MB at its end.
        done: items that were done at its end.
    """

    looked_at: bool
    rate: float
    cpu: Mapping[str, float]
    memory: float
    done: int

    def __str__(self) -> str:
        cpu = ", ".join(f"{name} {share:.0%}" for name, share in self.cpu.items())
        who = "watched" if self.looked_at else "alone  "
        return (
            f"{who} {self.rate:6.1f} items/s; CPU: {cpu}; {self.memory:.0f} MB; {self.done:,} done"
        )


class Processes:
    """How much CPU the parts use."""

    def __init__(self) -> None:
        self._parts: dict[str, list[int]] = {}

    def add(self, part: str, pid: int) -> None:
        """Have a process belong to a part."""
        self._parts.setdefault(part, []).append(pid)

    def used(self) -> dict[tuple[str, int], float]:
        """Return the seconds of CPU so far, by part and process."""
        found: dict[tuple[str, int], float] = {}
        known = set()
        for part, pids in self._parts.items():
            for process in _with_children(pids):
                found[part, process.pid] = _cpu_of(process)
                known.add(process.pid)
        for process in psutil.Process().children(recursive=True):
            if process.pid not in known:
                found[OWN, process.pid] = _cpu_of(process)
        return found


def _with_children(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        process = psutil.Process(pid)
        found += [process, *process.children(recursive=True)]
    return found


def _cpu_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def more(
    after: Mapping[tuple[str, int], float], before: Mapping[tuple[str, int], float]
) -> dict[str, float]:
    """Return what was used between two looks, by part; of processes that ended, nothing."""
    found: dict[str, float] = {}
    for (part, pid), seconds in after.items():
        used = max(0.0, seconds - before.get((part, pid), 0.0))
        found[part] = found.get(part, 0.0) + used
    return found


async def keep_filled(client: Client) -> None:
    """Push as many items as are done."""
    while True:
        left = await client.count("workitems", {"wiq": QUEUE, "state": "new"})
        if left < WAITING:
            await push(client, QUEUE, WAITING)
        await asyncio.sleep(0.5)


async def done(client: Client) -> int:
    """Return how many items are done."""
    return await client.count("workitems", {"wiq": QUEUE, "state": "successful"})


async def measured(
    client: Client, processes: Processes, console: int, seconds: float, *, looked_at: bool
) -> Window:
    """Measure for so many seconds."""
    await asyncio.sleep(SETTLE)
    before, used, began = await done(client), processes.used(), time.monotonic()
    await asyncio.sleep(seconds)
    took, after = time.monotonic() - began, await done(client)
    cpu = {part: one / took for part, one in more(processes.used(), used).items()}
    window = Window(looked_at, (after - before) / took, cpu, rss_of(console), after)
    print(window, flush=True)
    return window


def slower(windows: list[Window]) -> float:
    """Return by which share items were done slower with somebody looking: each time against those
    before and after it."""
    shares = [
        now.rate / ((before.rate + after.rate) / 2) - 1
        for before, now, after in zip(windows, windows[1:], windows[2:], strict=False)
        if now.looked_at
    ]
    print("each time against its neighbours: " + ", ".join(f"{one:+.1%}" for one in shares))
    return sum(shares) / len(shares)


async def fleet(stack: AsyncExitStack, server: Server, processes: Processes) -> tuple[int, str]:
    """Start workers and a console; returns the console's process and address."""
    for number in range(WORKERS):
        command = [sys.executable, "-m", "worker", "run"]
        command += ["--handlers", "tests.benchmarks.watched_handlers", "--set", "item_log=none"]
        about = {**environment(server, str(number)), "OPENIAP_WORKER_RATE_LIMIT": "0"}
        about |= {"OPENIAP_WORKER_WORKER_ID": f"w{number + 1}"}
        log = server.folder / f"worker{number}.log"
        process = await stack.enter_async_context(started(command, log, environment=about))
        processes.add("workers", process.pid)
    command = [sys.executable, "-m", "worker", "console", "--port", "0", "--json"]
    log = server.folder / "console.log"
    console = await stack.enter_async_context(
        started(command, log, environment=environment(server, "console"))
    )
    processes.add("console", console.pid)
    return console.pid, json.loads(await first_line(console))["url"]


async def main() -> None:
    given = sys.argv[1:]
    seconds = float(given[0]) if given else SECONDS
    count = int(given[1]) if len(given) > 1 else BROWSERS
    kind = given[2] if len(given) > 2 else "browsers"
    turns = int(given[3]) if len(given) > 3 else TURNS
    if kind not in ("browsers", "nice", "sockets"):
        raise SystemExit(f"lookers {kind!r}; allowed: browsers, nice, sockets")
    processes = Processes()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(local_server())
        processes.add("server", server.pid)
        client = await stack.enter_async_context(connected(server))
        await client.add_workitem_queue(WorkItemQueue(name=QUEUE))
        console, url = await fleet(stack, server, processes)
        filling = asyncio.create_task(keep_filled(client))
        stack.callback(filling.cancel)
        if kind == "sockets":
            opening = sockets(url, PATHS, count, server.folder)
        else:
            opening = browsers(url, PATHS, count, server.folder, nice=kind == "nice")
        lookers: Lookers = await stack.enter_async_context(opening)
        start = rss_of(console)
        windows = []
        for turn in range(2 * turns + 1):
            looked_at = turn % 2 == 1
            if looked_at:
                await lookers.look()
            elif turn:
                await lookers.leave()
            # Nobody's are half as long: there is one of them on each side.
            length = seconds / turns / (1 if looked_at else 2)
            windows.append(await measured(client, processes, console, length, looked_at=looked_at))
            if filling.done():
                filling.result()
        filling.cancel()
    share, end = slower(windows), windows[-1].memory
    highest = max(window.memory for window in windows)
    print(f"{count} {kind} for {seconds:.0f} s: items/s {share:+.1%}")
    print(f"console: {start:.0f} MB before, {highest:.0f} MB at most, {end:.0f} MB at the end")
    good = highest - start <= MORE_MB and share >= -SLOWER
    print(f"within {MORE_MB:.0f} MB and {SLOWER:.0%}: {'yes' if good else 'no'}")


if __name__ == "__main__":
    asyncio.run(main())
