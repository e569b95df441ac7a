"""What a fleet makes of a server whose pops disturb each other.

``python -m tests.benchmarks.contention``:

1. Fleets of growing size work one queue: items per second, the longest pop, rounds lost.
2. Ten idle workers get one push after another: pops, and the time to the handler.
3. Ten idle workers of three queues, with default settings: messages in a minute, by kind.

The server has a process of its own, so that the work of the workers does not lengthen what a pop
keeps its database for; the workers share another one. On a machine of two cores that is all there
is: compare within one run.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.stage import Server, local_server, settings_for
from worker import handler
from worker.app.application import Application
from worker.app.options import Handler
from worker.engine.daemon import Daemon
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.openiap.workitem import Workitem, WorkItemQueue

QUEUES: Final = ("contended", "second", "third")
DEADLINE: Final = 120.0
KNOW_EACH_OTHER: Final = 4.0
QUICK: Final = {"heartbeat_interval": 1, "dead_after": 10}
NOT_MESSAGES: Final = frozenset(
    {"connections", "wakeups", "unknown", "ratelimited", "poprounds", "lostrounds"}
)

begun: dict[int, float] = {}
one_more = asyncio.Event()
takes = {"seconds": 0.05}


@handler(QUEUES[0], concurrency=4)
async def work(payload: dict[str, int]) -> None:
    """Takes as long as it was told."""
    begun[payload["number"]] = time.monotonic()
    one_more.set()
    await asyncio.sleep(takes["seconds"])  # this is the work


@handler(QUEUES[1])
async def second(payload: dict[str, int]) -> None:
    """Gets nothing."""


@handler(QUEUES[2])
async def third(payload: dict[str, int]) -> None:
    """Gets nothing."""


class Stage:
    """A server, its fleet, and a client beside it."""

    def __init__(self, server: Server, client: Client, fleet: Sequence[Daemon]) -> None:
        self.client = client
        self.stats = server.stats
        self.pops: list[float] = []
        """Seconds of each pop from here on."""
        for daemon in fleet:
            self._listen(daemon)

    def _listen(self, daemon: Daemon) -> None:
        """Time each pop that this worker makes."""
        consumer = daemon._workers.consumers[QUEUES[0]]
        ask = consumer._ask

        async def timed(client: Client) -> Workitem | None:
            since = time.monotonic()
            try:
                return await ask(client)
            finally:
                self.pops.append(time.monotonic() - since)

        consumer._ask = timed  # type: ignore[method-assign]


@asynccontextmanager
async def stage(
    workers: int, *handlers: Handler[..., Any], **settings: Any
) -> AsyncIterator[Stage]:
    """Give a fleet whose workers know each other."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="openiap-bench-")))
        server = await stack.enter_async_context(local_server("--pops-compete", "--pop-contention"))
        client = make_client(settings_for(server.url, "native", folder))
        await client.connect()
        stack.push_async_callback(client.disconnect)
        for queue in QUEUES:
            await client.add_workitem_queue(WorkItemQueue(name=queue))
        fleet = []
        for number in range(workers):
            own = settings_for(
                server.url, "native", folder / str(number), worker_id=f"w{number}", **settings
            )
            fleet.append(Daemon(own, Application.of(*handlers)))
            await fleet[-1].start()
            stack.push_async_callback(fleet[-1].stop)
        await asyncio.sleep(KNOW_EACH_OTHER)
        begun.clear()
        yield Stage(server, client, fleet)


async def until_begun(enough: Callable[[], bool]) -> None:
    """Wait until enough items have begun.

    Raises:
        TimeoutError: they have not, within ``DEADLINE``.
    """
    async with asyncio.timeout(DEADLINE):
        while not enough():
            one_more.clear()
            await one_more.wait()


async def throughput(workers: int, items: int) -> tuple[float, float, float, float]:
    """Return items per second from the push and from the first start on, the longest pop in
    seconds, and lost rounds for each pop."""
    async with stage(workers, work, **QUICK) as found:
        before, pushed = await found.stats(), time.monotonic()
        new = [Workitem(payload={"number": number}) for number in range(items)]
        await found.client.push_workitems(QUEUES[0], new)
        await until_begun(lambda: len(begun) >= items)
        first, last = min(begun.values()), max(begun.values())
        after = Counter(await found.stats())
        after.subtract(before)
        lost = after["lostrounds"] / after["popworkitem"]
        return items / (last - pushed), (items - 1) / (last - first), max(found.pops), lost


async def pushes(workers: int, count: int) -> tuple[list[int], list[float]]:
    """Return the pops for each of some pushes, and the seconds from push to handler, ordered."""
    pops, waits = [], []
    async with stage(workers, work, **QUICK) as found:
        for number in range(count):
            before, since = (await found.stats())["popworkitem"], time.monotonic()
            await found.client.push_workitem(QUEUES[0], {"number": number})
            await until_begun(lambda number=number: number in begun)  # type: ignore[misc]
            waits.append(begun[number] - since)
            await asyncio.sleep(0.6)  # the time in which others may still pop for it
            pops.append((await found.stats())["popworkitem"] - before)
    return sorted(pops), sorted(waits)


async def idle(workers: int, settle: float, seconds: float) -> dict[str, float]:
    """Return the messages of an idle fleet in a minute, by command."""
    async with stage(workers, work, second, third) as found:
        await found.client.disconnect()  # it asks for signs of life, and is none of the fleet
        await asyncio.sleep(settle)
        before = Counter(await found.stats())
        await asyncio.sleep(seconds)
        return {
            name: (count - before[name]) * 60 / seconds
            for name, count in (await found.stats()).items()
            if name not in NOT_MESSAGES and count > before[name]
        }


async def run(fleets: Sequence[int], items: int, count: int, settle: float, seconds: float) -> None:
    """Measure and tell."""
    _say("workers  items/s: from the push, from the first start  longest pop  lost rounds per pop")
    rates = {}
    for workers in fleets:
        rate, after_first, longest, lost = await throughput(workers, items)
        rates[workers] = rate
        _say(f"{workers:7}  {rate:7.1f} {after_first:7.1f}  {longest:9.3f} s  {lost:7.3f}")
    best, last = max(rates, key=rates.__getitem__), fleets[-1]
    _say(f"{last} workers: {rates[last] / rates[best]:.2f} of the best, which {best} reached\n")
    if not count:
        return
    pops, waits = await pushes(10, count)
    _say(f"10 idle workers, {count} pushes: {sum(pops) / count:.2f} pops each, at most {pops[-1]};")
    p99 = waits[min(count - 1, count * 99 // 100)]
    _say(f"handler after {waits[count // 2] * 1000:.0f} ms (median), {p99 * 1000:.0f} ms (p99)\n")
    if seconds:
        kinds = await idle(10, settle, seconds)
        told = ", ".join(f"{name} {n:.1f}" for name, n in sorted(kinds.items()))
        _say(f"10 idle workers of 3 queues: {sum(kinds.values()):.1f} messages a minute: {told}")


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleets", default="1,2,4,8,16", help="numbers of workers")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--work", type=float, default=0.05, help="seconds that an item takes")
    parser.add_argument("--pushes", type=int, default=30, help="0: neither these nor idle")
    parser.add_argument(
        "--settle", type=float, default=60, help="seconds before idle messages count"
    )
    parser.add_argument("--seconds", type=float, default=120, help="seconds of idle; 0: not at all")
    asked = parser.parse_args()
    takes["seconds"] = asked.work
    fleets = [int(one) for one in asked.fleets.split(",")]
    asyncio.run(run(fleets, asked.items, asked.pushes, asked.settle, asked.seconds))


if __name__ == "__main__":
    main()
