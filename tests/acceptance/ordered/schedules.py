"""Schedules while everything dies: which ticks became items, and how often."""

import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.acceptance.ordered.dying import HEAD as HEAD_OF_DYING
from tests.acceptance.ordered.dying import Dying, let_die, row_of
from tests.acceptance.ordered.ticking import EVERY, QUEUE
from tests.acceptance.outsider import Outsider
from tests.acceptance.processes import Worker, until
from tests.acceptance.stage import Stage

MODULE: Final = "tests.acceptance.ordered.ticking"
STATE: Final = "openiap_worker_state"
CAUGHT_UP_WITHIN: Final = 180.0


@dataclass
class Ticks:
    """The books of all schedules.

    Attributes:
        wanted: ticks between the schedules' declaration and the end.
        items: that are there for them.
        late: seconds from a tick to its item, at most.
    """

    wanted: int = 0
    items: int = 0
    missed: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    late: float = 0.0
    kills: int = 0
    restarts: int = 0

    def faults(self) -> list[str]:
        """Return what must not be."""
        found = [f"missed {', '.join(self.missed[:5])}"] if self.missed else []
        return found + ([f"twice {', '.join(self.doubled[:5])}"] if self.doubled else [])


def ticking(stage: Stage, name: str, **settings: Any) -> Worker:
    """Return a worker with the schedules, not yet started."""
    return stage.worker(name, QUEUE, plan={"module": MODULE}, **settings)


async def records(outsider: Outsider) -> dict[str, dict[str, Any]]:
    """Return how far the schedules have come, by name."""
    found = await outsider.query(STATE, {"_type": "schedule"})
    return {str(one["schedule"]): one for one in found}


async def caught_up(outsider: Outsider, moment: float, workers: Iterable[Worker]) -> None:
    """Wait until every schedule has done its ticks up to a moment."""

    async def done() -> bool:
        found = await records(outsider)
        lasts = [seconds_of(one["last"]) for one in found.values() if one.get("last")]
        return len(lasts) == len(EVERY) and all(
            last > moment - EVERY[name] for name, last in zip(found, lasts, strict=True)
        )

    await until(
        "all schedules have caught up",
        done,
        CAUGHT_UP_WITHIN,
        every=0.2,
        tell=lambda: "\n".join(worker.tail(15) for worker in workers),
    )


async def counted(outsider: Outsider, end: float) -> Ticks:
    """Compare the items with the ticks that there were up to a moment."""
    books = Ticks()
    found: dict[str, Counter[int]] = {name: Counter() for name in EVERY}
    for item in await outsider.items(QUEUE):
        tick = int(item["payload"]["tick"])
        found[item["name"]][tick] += 1
        books.late = max(books.late, seconds_of(item["_created"]) - tick)
    for name, record in (await records(outsider)).items():
        every = EVERY[name]
        first = math.floor(seconds_of(record["since"]) / every) * every + every
        wanted = range(first, math.floor(end / every) * every + 1, every)
        books.wanted += len(wanted)
        books.items += sum(found[name][tick] for tick in wanted)
        books.missed += [f"{name} {tick}" for tick in wanted if not found[name][tick]]
        books.doubled += [f"{name} {tick}" for tick, count in found[name].items() if count > 1]
    return books


def seconds_of(text: str) -> float:
    """Return a moment of OpenIAP's in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


async def tick_while_dying(dying: Dying, folder: Path) -> Ticks:
    """Run workers that are killed one after the other, and count."""
    async with Stage(folder, client=dying.client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue(QUEUE)
        workers = [ticking(stage, f"{n}") for n in range(dying.workers)]
        kills, restarts = await let_die(dying, stage, workers)
        end = time.time()
        async with stage.outsider() as outsider:
            await caught_up(outsider, end, workers)
            books = await counted(outsider, end)
    books.kills, books.restarts = kills, restarts
    return books


HEAD: Final = [*HEAD_OF_DYING, "ticks", "items", "missed", "twice"]


def row(dying: Dying, books: Ticks) -> list[object]:
    """Return one line of the table."""
    return [
        *row_of(dying, books.kills, books.restarts),
        books.wanted,
        books.items,
        len(books.missed),
        len(books.doubled),
    ]
