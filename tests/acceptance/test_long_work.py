"""Kill points of long work: a worker dies before and after each write of a step and of a sleep.

Items are held at all points at the same time, then the worker is killed and started again. A step
whose result was stored has run once; nothing is lost, and each item has both results.
"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.clients import CLIENTS, with_both
from tests.acceptance.held_writes import PARKING, hold, writes
from tests.acceptance.long_deeds import BETWEEN, CHARGE, INSIDE, NAP, QUEUE, REFUND
from tests.acceptance.processes import WAIT, until
from tests.acceptance.results import SEEN, table, write_guide, write_section
from tests.acceptance.stage import PATIENT, Stage

MODULE: Final = "tests.acceptance.long_deeds"


CHARGED, SLEPT, REFUNDED = (f'{name}":{{"n"'.encode() for name in (CHARGE, NAP, REFUND))
"""How entries of an item's steps begin, whether all of them go or one alone."""
DONE: Final = b'"refunded":"'
WRITES: Final = {
    "the result of `charge`": writes(CHARGED, SLEPT, PARKING),
    "the sleep": writes(SLEPT, REFUNDED, PARKING),
    "the item that sleeps": writes(PARKING),
    "the result of `refund`": writes(REFUNDED, DONE, PARKING),
    "the outcome": writes(DONE, PARKING),
}
ONCE: Final = (1, 1)
HELD: Final[dict[str, tuple[int, int]]] = {
    INSIDE: ONCE,
    BETWEEN: ONCE,
    **{f"{side} {name}": ONCE for name in WRITES for side in ("before", "after")},
    "before the result of `charge`": (2, 1),
    "before the result of `refund`": (1, 2),
}
"""At each point: how often the two steps run in all, if the worker dies there."""

Books = dict[str, tuple[int, int, str]]


@pytest.mark.dear
async def test_a_stored_step_never_runs_again_wherever_the_worker_dies(tmp_path: Path) -> None:
    found: dict[str, Books] = {}

    async def body(client: str, folder: Path) -> None:
        found[client] = await killed_at_all_points(client, folder)
        assert found[client] == {point: (*runs, "successful") for point, runs in HELD.items()}

    await with_both(body, tmp_path)
    write_section("Long work", page(found))
    write_guide("long-work", SEEN, page(found))


async def killed_at_all_points(client: str, folder: Path) -> Books:
    """Hold an item at each point, kill the worker, let it come back; returns what became of it."""
    async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue(QUEUE, maxretries=20)
        ids = dict(zip(HELD, await outsider.push(QUEUE, [{"point": p} for p in HELD]), strict=True))
        reached = [
            hold(stage.proxy, "request" if side == "before" else "reply", ids[point], *WRITES[name])
            for point, (side, _, name) in ((one, one.partition(" ")) for one in HELD)
            if name
        ]
        for point in (INSIDE, BETWEEN):
            stage.points.arm(point)
        settings = {**PATIENT, "dead_after": 30}
        worker = stage.worker("a", QUEUE, plan={"module": MODULE}, **settings)
        await worker.started()
        async with asyncio.timeout(2 * WAIT):
            await asyncio.gather(*(one.wait() for one in reached))
        await until(
            "items are held inside",
            lambda: all(stage.points.reached(point) for point in (INSIDE, BETWEEN)),
            WAIT,
            tell=worker.tail,
        )
        await worker.kill()
        for point in (INSIDE, BETWEEN):
            stage.points.let_go(point)
        await worker.start()
        await stage.settled(QUEUE, list(ids.values()))
        runs = Counter((note["item"], note["event"]) for note in stage.journal.notes())
        documents = {one["_id"]: one for one in await outsider.items(QUEUE)}
    for id in ids.values():
        payload = documents[id]["payload"]
        assert (payload["charged"], payload["refunded"]) == (f"charge of {id}", f"refund of {id}")
    return {
        point: (runs[id, CHARGE], runs[id, REFUND], documents[id]["state"])
        for point, id in ids.items()
    }


def page(found: dict[str, Books]) -> str:
    """Return the matrix as text."""
    rows: list[list[object]] = [
        [point, *(f"{found[client][point][0]}, {found[client][point][1]}" for client in CLIENTS)]
        for point in HELD
    ]
    text = table(["the worker is killed", *(f"{client} client" for client in CLIENTS)], rows)
    return (
        "An item is charged, sleeps and is refunded; the worker is killed at each point and started"
        " again. The numbers say how often the two steps ran in all: 2 where the result had not"
        " reached the server. Before a write: it is on its way; after: its reply is. Every item"
        f" ended as successful, with both results.\n\n{text}"
    )
