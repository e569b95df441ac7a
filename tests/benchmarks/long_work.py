"""What long work costs: steps beside checkpoints, and items that sleep for a week.

``python -m tests.benchmarks.long_work``:

1. Items of ten no-op steps, one after the other and side by side, beside items of as many
   ``checkpoint(…, now=True)`` and beside empty ones, with each client: items per second, and
   messages for each. The server has a process of its own.
2. A thousand items that sleep for a virtual week, on a server whose time is moved: what is in
   flight and which messages go while they sleep, beside an empty queue; how many are awake before
   they are due; how long after it each is called again.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.stage import BenchmarkFailed, connected, local_server, push, settings_for
from worker import Item, handler
from worker.app.application import Application
from worker.app.events import Event, on_success
from worker.app.options import Handler
from worker.engine.daemon import Daemon
from worker.openiap.workitem import WorkItemQueue
from worker.settings import Settings
from worker.testing import LocalOpenIAP

STEPS: Final = 10
DEADLINE: Final = 240.0
LOOK: Final = 0.05
"""Seconds between two looks into this very process."""
WEEK: Final = timedelta(days=7)
SETTLE: Final = 15.0
"""Seconds in which a worker does what it does after its start, or after much work, alone."""
USUAL: Final[Mapping[str, float]] = {
    name: Settings.model_fields[name].default
    for name in ("heartbeat_interval", "dead_after", "rescue_interval", "poll_interval")
}
"""Times as they are out of the box; a test's own server has shorter ones."""
NOT_MESSAGES: Final = frozenset({"connections", "wakeups", "unknown", "ratelimited"})


class Done:
    """Counts items that have succeeded, and tells when they are enough."""

    def __init__(self) -> None:
        self.count = 0
        self.last = 0.0
        self._one_more = asyncio.Event()

    def note(self, event: Event) -> None:
        """One more has."""
        self.count += 1
        self.last = time.monotonic()
        self._one_more.set()

    async def wait(self, count: int) -> None:
        """Return when so many have.

        Raises:
            TimeoutError: they have not, within ``DEADLINE``.
        """
        async with asyncio.timeout(DEADLINE):
            while self.count < count:
                self._one_more.clear()
                await self._one_more.wait()


async def nothing() -> None:
    """Do what a step does that costs nothing by itself."""


async def empty(payload: dict[str, Any], item: Item) -> None:
    """Do nothing."""


async def checkpoints(payload: dict[str, Any], item: Item) -> None:
    """Store how far it is, again and again."""
    for number in range(STEPS):
        await item.checkpoint({"done": number}, now=True)


async def steps(payload: dict[str, Any], item: Item) -> None:
    """Run steps, one after the other."""
    for number in range(STEPS):
        await item.step(f"step {number}", nothing)


async def together(payload: dict[str, Any], item: Item) -> None:
    """Run steps side by side."""
    async with asyncio.TaskGroup() as group:
        for number in range(STEPS):
            group.create_task(item.step(f"step {number}", nothing))


WAYS: Final[Mapping[str, Callable[..., Any]]] = {
    "empty": empty,
    "checkpoints": checkpoints,
    "steps": steps,
    "steps side by side": together,
}


async def rate(client: str, way: str, items: int) -> tuple[float, float]:
    """Return items per second from the worker's first to its last, and messages for each item."""
    async with local_server() as server, connected(server) as door:
        await door.add_workitem_queue(WorkItemQueue(name="work"))
        await push(door, "work", items)
        done, began = Done(), []

        async def timed(payload: dict[str, Any], item: Item) -> None:
            began.append(time.monotonic())
            await WAYS[way](payload, item)

        worked: Handler[..., Any] = handler("work", concurrency=16)(timed)
        application = Application.of(worked, on_success(done.note))
        own = settings_for(server.url, client, server.folder / "state")
        daemon = Daemon(own, application)
        before = Counter(await server.stats())
        await daemon.start()
        try:
            await done.wait(items)
        finally:
            await daemon.stop()
        sent = Counter(await server.stats())
        sent.subtract(before)
        messages = sum(n for name, n in sent.items() if name not in NOT_MESSAGES)
        return items / (done.last - began[0]), messages / items


async def compare(items: Mapping[str, int], runs: int) -> None:
    """Tell medians, in runs that take turns."""
    for client, count in items.items():
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for _ in range(runs):
            for way, measured in found.items():
                measured.append(await rate(client, way, count))
        _say(f"{client}, {count} items, {runs} runs")
        for way, measured in found.items():
            rates = [one for one, _ in measured]
            messages = statistics.median(one for _, one in measured)
            spread = f"{min(rates):.0f} to {max(rates):.0f}"
            told = f"{statistics.median(rates):7.0f} items/s ({spread})"
            _say(f"  {way:20} {told}, {messages:.1f} messages an item")


class Sleepers:
    """A queue of items that sleep for a week: who is asleep, and who was called again when."""

    def __init__(self, openiap: LocalOpenIAP) -> None:
        self.openiap = openiap
        self.asleep: dict[str, datetime] = {}
        self.woken: dict[str, datetime] = {}

    def now(self) -> datetime:
        """Return the server's time."""
        return datetime.fromtimestamp(self.openiap.clock(), UTC)

    async def work(self, payload: dict[str, Any], item: Item) -> None:
        """Sleep, once."""
        await item.sleep(WEEK)
        self.woken[item.id] = self.now()

    async def settled(self, daemon: Daemon, count: int) -> None:
        """Return when so many sleep, and note until when.

        Raises:
            TimeoutError: they do not, within ``DEADLINE``.
        """
        async with asyncio.timeout(DEADLINE):
            while daemon.counts()["work"].parked < count or daemon.counts()["work"].in_flight:
                await asyncio.sleep(LOOK)
        for item in self.openiap.items("work"):
            if item.nextrun is None:
                raise BenchmarkFailed(f"item {item.id} does not sleep: {item.state}")
            self.asleep[item.id] = item.nextrun


@asynccontextmanager
async def stage() -> AsyncIterator[LocalOpenIAP]:
    """Give a server whose time is moved."""
    with tempfile.TemporaryDirectory(prefix="openiap-bench-") as folder:
        async with LocalOpenIAP(Path(folder)) as openiap:
            yield openiap


async def during(openiap: LocalOpenIAP, seconds: float) -> dict[str, int]:
    """Return the messages that come in so many real seconds, by command."""
    before = Counter(openiap.server.stats)
    await asyncio.sleep(seconds)  # this is what is measured
    return {
        name: count - before[name]
        for name, count in sorted(openiap.server.stats.items())
        if name not in NOT_MESSAGES and count > before[name]
    }


async def sleep_a_week(items: int, seconds: float) -> None:
    """Let items sleep, and tell what that costs and when they are awake."""
    async with stage() as openiap:
        sleepers = Sleepers(openiap)
        worked: Handler[..., Any] = handler("work", concurrency=16)(sleepers.work)
        daemon = await openiap.start_worker(worked, rate_limit=0, log_level="error", **USUAL)
        await asyncio.sleep(SETTLE)
        idle = await during(openiap, seconds)
        began = time.monotonic()
        await push(openiap.client, "work", items)
        await sleepers.settled(daemon, items)
        _say(f"{items} items fell asleep in {time.monotonic() - began:.1f} s")
        first, last = min(sleepers.asleep.values()), max(sleepers.asleep.values())
        _say(f"  until moments that lie {(last - first).total_seconds():.1f} s apart")
        await asyncio.sleep(SETTLE)
        sleeping = await during(openiap, seconds)
        _say(f"  in {seconds:g} s with an empty queue: {_told(idle)}")
        _say(f"  in {seconds:g} s while they sleep: {_told(sleeping)}")
        _say(f"  in flight meanwhile: {daemon.counts()['work'].in_flight}")
        await openiap.advance(WEEK / 2)
        half = await during(openiap, seconds)
        _say(f"  in {seconds:g} s after half a week: {_told(half)}")
        await openiap.advance(first - sleepers.now() - timedelta(seconds=2))
        _say(f"  awake 2 s before the first is due: {len(sleepers.woken)}")
        began = time.monotonic()
        async with asyncio.timeout(DEADLINE):
            while len(sleepers.woken) < items or daemon.counts()["work"].in_flight:
                await asyncio.sleep(LOOK)
        late = sorted(
            (woken - sleepers.asleep[id]).total_seconds() for id, woken in sleepers.woken.items()
        )
        _say(f"  all awake {time.monotonic() - began:.1f} s later; called again after the moment:")
        p99 = late[len(late) * 99 // 100]
        _say(
            f"  {late[0]:.2f} s (first), {statistics.median(late):.2f} s (median), {p99:.2f} s"
            f" (p99), {late[-1]:.2f} s (last)"
        )
        minutes = Counter(int(one // 60) for one in late)
        _say(f"  in the minute that was asked for: {minutes[0]} of {items}")


def _told(messages: Mapping[str, int]) -> str:
    kinds = ", ".join(f"{name} {count}" for name, count in messages.items()) or "none"
    return f"{sum(messages.values())} messages ({kinds})"


def _say(line: str) -> None:
    print(line, flush=True)


async def measure(items: Mapping[str, int], runs: int, asleep: int, seconds: float) -> None:
    """Measure and tell."""
    if runs:
        await compare(items, runs)
    if asleep:
        await sleep_a_week(asleep, seconds)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--native", type=int, default=600, help="items with the native client")
    parser.add_argument("--official", type=int, default=200, help="items with the official one")
    parser.add_argument("--runs", type=int, default=3, help="0: no steps")
    parser.add_argument("--asleep", type=int, default=1000, help="0: no sleeps")
    parser.add_argument("--seconds", type=float, default=30, help="of looking at messages")
    asked = parser.parse_args()
    items = {"native": asked.native, "official": asked.official}
    asyncio.run(measure(items, asked.runs, asked.asleep, asked.seconds))


if __name__ == "__main__":
    main()
