"""Chaos by a seed: workers die, the server restarts and freezes, links break; then the books."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.acceptance.accounting import Account
from tests.acceptance.processes import Worker
from tests.acceptance.proxy import Proxy
from tests.acceptance.stage import Stage

SLOTS: Final = 4
QUEUE: Final = "items"
LINK_GONE_FOR: Final = 1.5
"""Seconds; how long a fault lasts is part of it, and nothing that is waited for."""


@dataclass(frozen=True)
class Chaos:
    """How much of it; times in seconds."""

    seed: int
    client: str
    workers: int = 5
    items: int = 2000
    seconds: float = 60.0
    life: float = 6.0
    restarts: int = 5
    freezes: int = 2
    frozen: float = 10.0
    cuts: int = 10
    rate_limit: int = 30
    connections: int = 1

    @property
    def one_folder(self) -> bool:
        """Whether all workers share a state directory, as several on one machine do."""
        return self.seed % 2 == 0


@dataclass(frozen=True)
class Aftermath:
    """What was done, and what became of the items."""

    chaos: Chaos
    books: Account
    done: Counter[str]
    took: float

    @property
    def bound(self) -> int:
        """More repeats than this cannot be explained by deaths of workers."""
        return self.done["kills"] * SLOTS

    def faults(self) -> list[str]:
        """Return what does not hold."""
        books, found = self.books, []
        if books.lost:
            found.append(f"{books.lost} items lost")
        if books.stuck:
            found.append(f"{books.stuck} items in processing")
        if books.outcomes != self.chaos.items:
            found.append(f"{books.outcomes} outcomes for {self.chaos.items} items")
        if books.failed:
            found.append(f"{books.failed} items failed")
        if books.repeats > self.bound:
            found.append(f"{books.repeats} repeats with {self.done['kills']} kills")
        return found


async def raise_chaos(chaos: Chaos, folder: Path, *, deadline: float = 180.0) -> Aftermath:
    """Run it and return what came of it."""
    chance = random.Random(chaos.seed)
    began = time.monotonic()
    options = ("--rate-limit", str(chaos.rate_limit))
    done: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(Stage(folder, *options, client=chaos.client))
        pushed: list[str] = []
        async with stage.outsider() as outsider:
            await outsider.queue(QUEUE, maxretries=100)
            batches = int(chaos.seconds * 0.8)
            for batch in range(batches):
                numbers = range(batch, chaos.items, batches)
                payloads = [{"n": n, "seconds": chance.uniform(0.005, 0.05)} for n in numbers]
                pushed += await outsider.push(QUEUE, payloads, ahead=1.0 + batch)
                pace = 1.0 / chaos.rate_limit  # the limit is the outsider's too
                await asyncio.sleep(pace)
        proxies = [
            await stack.enter_async_context(Proxy(stage.server.port)) for _ in range(chaos.workers)
        ]
        workers = [
            stage.worker(
                f"w{number}",
                QUEUE,
                proxy=proxy,
                **({"state_dir": str(folder / "state")} if chaos.one_folder else {}),
                connections=chaos.connections,
                max_deaths=50,
                unclaimed_after=6.0,
                rate_limit=25,
                call_timeout=5.0,
            )
            for number, proxy in enumerate(proxies)
        ]
        await asyncio.gather(*(worker.start() for worker in workers))
        end = time.monotonic() + chaos.seconds
        server_free = asyncio.Lock()
        lives = [
            asyncio.create_task(_live(worker, chaos, random.Random(chance.random()), end, done))
            for worker in workers
        ]
        deeds: list[tuple[float, Callable[[], Awaitable[None]]]] = []

        async def restart() -> None:
            async with server_free:
                await stage.server.restart()
                done["server restarts"] += 1

        async def freeze() -> None:
            async with server_free:
                stage.server.freeze()
                await asyncio.sleep(chaos.frozen)
                stage.server.thaw()
                done["server freezes"] += 1

        def cut(proxy: Proxy, how: str) -> Callable[[], Awaitable[None]]:
            async def hurt() -> None:
                {"cut": proxy.cut, "half-open": proxy.half_open, "freeze": proxy.freeze}[how]()
                if how != "cut":
                    await asyncio.sleep(LINK_GONE_FOR)
                    proxy.restore()
                done["link cuts"] += 1

            return hurt

        latest = chaos.seconds * 0.9
        deeds += [(chance.uniform(1, latest), restart) for _ in range(chaos.restarts)]
        deeds += [(chance.uniform(1, latest - chaos.frozen), freeze) for _ in range(chaos.freezes)]
        deeds += [
            (
                chance.uniform(1, latest),
                cut(chance.choice(proxies), chance.choice(("cut", "half-open", "freeze"))),
            )
            for _ in range(chaos.cuts)
        ]
        begun = time.monotonic()
        tasks = []
        for at, deed in sorted(deeds, key=lambda deed: deed[0]):
            await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
            tasks.append(asyncio.create_task(_do(deed)))
        await asyncio.gather(*tasks, *lives)
        for proxy in proxies:
            proxy.restore()
        books = await stage.settled(QUEUE, pushed, deadline)
    return Aftermath(chaos, books, done, time.monotonic() - began)


async def _do(deed: Callable[[], Awaitable[None]]) -> None:
    await deed()


async def _live(
    worker: Worker, chaos: Chaos, chance: random.Random, end: float, done: Counter[str]
) -> None:
    """Kill a worker again and again, and start it again each time."""
    while True:
        life = chance.expovariate(1.0 / chaos.life)
        await asyncio.sleep(max(0.0, min(life, end - time.monotonic())))
        if time.monotonic() >= end:
            return
        await worker.kill()
        done["kills"] += 1
        await worker.start()


HEAD: Final = [
    "client",
    "seed",
    "workers",
    "items",
    "state",
    "kills",
    "server restarts",
    "freezes",
    "links hurt",
    "outcomes",
    "lost",
    "stuck",
    "repeats",
    "bound",
]


def row(after: Aftermath) -> list[object]:
    """Return one line of the table."""
    chaos, books, done = after.chaos, after.books, after.done
    return [
        chaos.client,
        chaos.seed,
        chaos.workers,
        chaos.items,
        "one folder" if chaos.one_folder else "a folder each",
        done["kills"],
        done["server restarts"],
        done["server freezes"],
        done["link cuts"],
        books.outcomes,
        books.lost,
        books.stuck,
        books.repeats,
        after.bound,
    ]
