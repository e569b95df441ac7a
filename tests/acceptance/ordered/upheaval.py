"""Workers with keys and rates are killed in turn, and the server is restarted; then the books."""

import asyncio
import math
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.acceptance.accounting import Account
from tests.acceptance.ordered.intervals import (
    most_at_once,
    most_in_a_window,
    overtaken,
    runs_of,
)
from tests.acceptance.ordered.keyed import PAIRS, RATE, RATED, SINGLE
from tests.acceptance.stage import Stage
from worker.app.rate import rate_of

MODULE: Final = "tests.acceptance.ordered.keyed"
QUEUES: Final = (SINGLE, PAIRS, RATED)
KEYS: Final = {SINGLE: 10, PAIRS: 3, RATED: 1}
LATE: Final = 4
"""Starts of each worker that may be late into the next window: the handler's concurrency."""


@dataclass(frozen=True)
class Upheaval:
    """How much of it; times in seconds."""

    client: str
    workers: int = 4
    items: int = 600
    seconds: float = 60.0
    every: float = 3.0
    restarts: int = 2


@dataclass(frozen=True)
class Order:
    """What came of it."""

    upheaval: Upheaval
    books: dict[str, Account]
    done: Counter[str]
    single: int
    pairs: int
    window: int
    overtaken: int
    runs: int

    def faults(self) -> list[str]:
        """Return what does not hold."""
        found = [
            f"{queue}: {books.lost} lost, {books.stuck} stuck, {books.failed} failed"
            for queue, books in self.books.items()
            if books.lost or books.stuck or books.failed or not books.settled
        ]
        if self.single > 1:
            found.append(f"{self.single} items of a key at once")
        if self.pairs > 2:
            found.append(f"{self.pairs} items of a key at once where 2 are allowed")
        if self.window > rate_of(RATE).limit + LATE * self.upheaval.workers:
            found.append(f"{self.window} starts in a window of {RATE}")
        return found


async def upset(upheaval: Upheaval, folder: Path, *, deadline: float = 180.0) -> Order:
    """Run it and return what came of it."""
    done: Counter[str] = Counter()
    killed: dict[int, float] = {}
    pushed: dict[str, list[str]] = {}
    async with Stage(folder, client=upheaval.client) as stage:
        async with stage.outsider() as outsider:
            for queue in QUEUES:
                await outsider.queue(queue, maxretries=100)
                pushed[queue] = []
            shares = {SINGLE: 0.5, PAIRS: 0.3, RATED: 0.2}
            batches = max(1, int(upheaval.seconds * 0.6))
            for queue, share in shares.items():
                count = int(upheaval.items * share)
                for batch in range(batches):
                    payloads = [
                        {"key": f"key-{n % KEYS[queue]}", "n": n, "seconds": 0.02 + (n % 7) * 0.02}
                        for n in range(count)
                        if n * batches // count == batch
                    ]
                    pushed[queue] += await outsider.push(queue, payloads, ahead=1.0 + batch)
        workers = [
            stage.worker(
                f"w{number}",
                *QUEUES,
                plan={"module": MODULE},
                max_deaths=50,
                unclaimed_after=6.0,
                poll_interval=0.3,
                # Whoever is taken for dead still runs what it has for a moment, beside whoever
                # took its key: that is for the dead, and not for a machine that halts.
                dead_after=6.0,
            )
            for number in range(upheaval.workers)
        ]
        await asyncio.gather(*(worker.started() for worker in workers))

        async def kill() -> None:
            for turn in range(math.ceil(upheaval.seconds / upheaval.every) - 1):
                await asyncio.sleep(upheaval.every)
                worker = workers[turn % len(workers)]
                pid = worker.pid
                worker.signal(signal.SIGKILL)
                killed[pid] = time.time()  # what it ran has ended, whenever we hear of it
                await worker.kill()
                done["kills"] += 1
                await worker.start()

        async def restart() -> None:
            pause = upheaval.seconds / (upheaval.restarts + 1)
            for _ in range(upheaval.restarts):
                await asyncio.sleep(pause)
                await stage.server.restart()
                done["server restarts"] += 1

        await asyncio.gather(kill(), restart())
        books = {queue: await stage.settled(queue, pushed[queue], deadline) for queue in QUEUES}
        notes = stage.journal.notes("start", "end", "stopped")
        now = time.time()
        ended = {note["pid"]: killed.get(note["pid"], now) for note in notes}
        runs = {q: runs_of((n for n in notes if n["queue"] == q), ended) for q in QUEUES}
    return Order(
        upheaval,
        books,
        done,
        single=most_at_once(runs[SINGLE]),
        pairs=most_at_once(runs[PAIRS]),
        window=most_in_a_window(runs[RATED], rate_of(RATE)),
        overtaken=overtaken(runs[SINGLE]),
        runs=sum(len(those) for those in runs.values()),
    )


HEAD: Final = [
    "client",
    "workers",
    "items",
    "seconds",
    "kills",
    "server restarts",
    "outcomes",
    "lost or stuck",
    "of a key at once (1 allowed)",
    "of a key at once (2 allowed)",
    f"starts in a window (of {RATE})",
    "overtaken",
]


def row(order: Order) -> list[object]:
    """Return one line of the table."""
    upheaval, books = order.upheaval, order.books.values()
    return [
        upheaval.client,
        upheaval.workers,
        upheaval.items,
        f"{upheaval.seconds:g}",
        order.done["kills"],
        order.done["server restarts"],
        sum(one.outcomes for one in books),
        sum(one.lost + one.stuck for one in books),
        order.single,
        order.pairs,
        order.window,
        order.overtaken,
    ]
