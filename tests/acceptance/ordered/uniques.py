"""Unique keys while everything dies: which keys had two unfinished items at once."""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from tests.acceptance.ordered.dying import HEAD as HEAD_OF_DYING
from tests.acceptance.ordered.dying import Dying, let_die, row_of
from tests.acceptance.ordered.pushing import ENOUGH, FRESH, KEYS, QUEUE
from tests.acceptance.outsider import Outsider
from tests.acceptance.processes import until
from tests.acceptance.stage import Stage

MODULE: Final = "tests.acceptance.ordered.pushing"
SETTLED_WITHIN: Final = 180.0
ENOUGH_ITEMS: Final = 2 * KEYS


@dataclass
class Uniques:
    """The books of all keys.

    Attributes:
        pushes: that got an answer.
        twice: keys that had two items at once.
        lost: items that a push was told of and that are not there.
    """

    pushes: int = 0
    items: int = 0
    twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    kills: int = 0
    restarts: int = 0

    def faults(self) -> list[str]:
        """Return what must not be."""
        found = [f"twice {', '.join(self.twice[:5])}"] if self.twice else []
        return found + ([f"lost {', '.join(self.lost[:5])}"] if self.lost else [])


def overlapping(items: list[dict[str, Any]]) -> list[str]:
    """Return the keys of which an item was made before the one before it had ended.

    Both moments are the server's own stamps.
    """
    found = []
    ordered = sorted(items, key=lambda one: (one["payload"]["key"], one["_created"]))
    for first, second in pairwise(ordered):
        key = first["payload"]["key"]
        if key == second["payload"]["key"] and second["_created"] < first["_modified"]:
            found.append(f"{key} ({first['_id']}, {second['_id']})")
    return found


async def counted(outsider: Outsider, folder: Path) -> Uniques:
    """Compare the items with what the pushers were told."""
    items = await outsider.items(QUEUE)
    ids = {item["_id"] for item in items}
    told = [line.split() for line in (folder / FRESH).read_text().splitlines()]
    whole = [line[0] for line in told if len(line) == 2]
    return Uniques(
        pushes=len(whole),
        items=len(items),
        twice=overlapping(items),
        lost=sorted(set(whole) - ids),
    )


async def push_while_dying(dying: Dying, folder: Path) -> Uniques:
    """Run workers that push and are killed one after the other, and count."""
    async with Stage(folder, client=dying.client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue(QUEUE)
        # No queues are named: with them a plan takes the handlers alone, without the lifespan.
        workers = [stage.worker(f"{n}", plan={"module": MODULE}) for n in range(dying.workers)]
        kills, restarts = await let_die(dying, stage, workers)
        async with stage.outsider() as outsider:

            async def enough() -> bool:
                """Tell whether so much was pushed that something could have gone wrong."""
                if not (folder / FRESH).exists():
                    return False
                so_far = await counted(outsider, folder)
                return so_far.pushes > so_far.items > ENOUGH_ITEMS

            # On a slow machine the workers may have spent their lives on starting.
            await until("enough was pushed", enough, SETTLED_WITHIN, every=0.5)
            (folder / ENOUGH).touch()

            async def done() -> bool:
                return await outsider.count(QUEUE, "new", "processing") == 0

            await until(
                "all items are finished",
                done,
                SETTLED_WITHIN,
                every=0.2,
                tell=lambda: "\n".join(worker.tail(15) for worker in workers),
            )
            books = await counted(outsider, folder)
    books.kills, books.restarts = kills, restarts
    return books


HEAD: Final = [*HEAD_OF_DYING, "pushes answered", "items", "twice", "lost"]


def row(dying: Dying, books: Uniques) -> list[object]:
    """Return one line of the table."""
    return [
        *row_of(dying, books.kills, books.restarts),
        books.pushes,
        books.items,
        len(books.twice),
        len(books.lost),
    ]
