"""The kill-point matrix: an item is held at an exact point, then something dies there.

Every accident is done once with seven items held at the seven points at the same time. For each the
books are compared: nothing lost, nothing in ``processing``, how often the handler ran, and that
every item has its outcome.
"""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.accounting import Account
from tests.acceptance.clients import CLIENTS, with_both
from tests.acceptance.outsider import Outsider
from tests.acceptance.points import ACCEPTED, COMPUTED, HANDLING, INSIDE, POPPED, RECORDED
from tests.acceptance.processes import WAIT, until
from tests.acceptance.proxy import pops, updates
from tests.acceptance.results import table, write_section
from tests.acceptance.stage import Stage
from worker.item.history import FIELD, history_of
from worker.openiap.workitem import JsonObject

ASKED: Final = "asked"
SENT: Final = "sent"
POINTS: Final = {
    ASKED: "before the pop's reply",
    POPPED: "after the pop, before it is on disk",
    HANDLING: "in the handler",
    COMPUTED: "after the handler, before the outbox",
    RECORDED: "after the outbox, before the send",
    SENT: "after the send, before the reply",
    ACCEPTED: "after the reply",
}
OTHERS: Final = 3
DEADLINE: Final = 2 * WAIT
DISK: Final = 16 * 1024
LINK_SLOW_FOR: Final = 4.0
LINK_HALF_OPEN_FOR: Final = 3.0
"""Seconds; how long an accident lasts is part of it, and nothing that is waited for."""


@dataclass(frozen=True)
class Accident:
    """What happens while items are held, and how often their handlers then run.

    Attributes:
        late: the held replies come in the end. That of the pop is to come before anybody takes its
            item over, however slow the machine is, or the item is worked twice.
    """

    name: str
    happen: Callable[["Held"], Awaitable[None]]
    runs: dict[str, int]
    full_disk: bool = False
    late: bool = False


class Held:
    """A stage with one item held at each point."""

    def __init__(self, stage: Stage, accident: Accident, **plan: Any) -> None:
        self.stage = stage
        if accident.full_disk:
            plan["limit"] = DISK
        settings = {"unclaimed_after": 20} if accident.late else {}
        self.worker = stage.worker(
            "a",
            *POINTS,
            plan={**plan, "points": str(stage.folder / "points")},
            **settings,
        )
        self.ids: dict[str, list[str]] = {}

    async def hold(self, outsider: Outsider) -> None:
        """Work some items through, then hold one more at each point."""
        for queue in POINTS:
            await outsider.queue(queue, maxretries=20)
            self.ids[queue] = await outsider.push(queue, [{"n": n} for n in range(OTHERS)])
        await self.worker.started()

        async def through() -> bool:
            return (
                await outsider.query(
                    "workitems", {"wiq": {"$in": list(POINTS)}, "state": {"$ne": "successful"}}
                )
                == []
            )

        await until("the first items are done", through, DEADLINE, tell=self.worker.tail)
        for point in INSIDE:
            self.stage.points.arm(point)
            self.ids[point] += await outsider.push(point, [{"held": True}])
        await until(
            "items are held inside",
            lambda: all(self.stage.points.reached(point) for point in INSIDE),
            DEADLINE,
            tell=self.worker.tail,
        )
        proxy = self.stage.proxy
        taps = [
            proxy.tap("updateworkitem", "reply", match=updates(SENT), act="hold"),
            proxy.tap("popworkitem", "reply", match=pops(ASKED), act="hold"),
        ]
        for queue in (SENT, ASKED):
            self.ids[queue] += await outsider.push(queue, [{"held": True}])
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(tap.reached.wait() for tap in taps))

        async def written() -> bool:
            ids = [self.ids[point][-1] for point in (SENT, ACCEPTED)]
            found = await outsider.query("workitems", {"_id": {"$in": ids}})
            return [one["state"] for one in found] == ["successful"] * 2

        # An earlier item may have taken their points, if its reply was very late.
        await until("the outcomes of two are written", written, DEADLINE, tell=self.worker.tail)

    def let_go(self) -> None:
        """Let the items inside the worker go on."""
        for point in INSIDE:
            self.stage.points.let_go(point)


async def worker_killed(held: Held) -> None:
    await held.worker.kill()
    held.let_go()
    held.worker.plan.pop("limit", None)
    await held.worker.start()


async def another_takes_over(held: Held) -> None:
    await held.worker.kill()
    held.let_go()
    await held.stage.worker("b", *POINTS).start()


async def server_killed(held: Held) -> None:
    await held.stage.server.kill()
    held.let_go()
    await held.stage.server.start()


async def link_cut(held: Held) -> None:
    proxy = held.stage.proxy
    proxy.refuse()
    held.let_go()
    await until("the worker came again in vain", lambda: proxy.turned_away > 0, DEADLINE)
    proxy.restore()


async def link_slow(held: Held) -> None:
    """Replies come after their callers gave up, and everything else late."""
    held.stage.proxy.delay = 0.4
    held.let_go()
    await asyncio.sleep(LINK_SLOW_FOR)
    held.stage.proxy.release()
    held.stage.proxy.restore()


async def link_half_open(held: Held) -> None:
    held.stage.proxy.half_open()
    held.let_go()
    await asyncio.sleep(LINK_HALF_OPEN_FOR)
    held.stage.proxy.restore()


async def disk_full(held: Held) -> None:
    held.worker.fill_disk(DISK)
    held.let_go()
    await until(
        "the worker says that its disk is full",
        lambda: "cannot be written" in held.worker.text(),
        DEADLINE,
        tell=held.worker.tail,
    )
    held.stage.proxy.release()


ONCE: Final = dict.fromkeys(POINTS, 1)
ALL_ACCIDENTS: Final = (
    Accident(
        "the worker is killed and started again", worker_killed, {**ONCE, HANDLING: 2, COMPUTED: 2}
    ),
    Accident(
        "the worker is killed, another takes over",
        another_takes_over,
        {**ONCE, HANDLING: 2, COMPUTED: 2, RECORDED: 2},
    ),
    Accident("the server is killed and started again", server_killed, ONCE),
    Accident("the link is cut", link_cut, ONCE),
    Accident("the link is slow, replies come too late", link_slow, ONCE, late=True),
    Accident("the link is half-open", link_half_open, ONCE),
    Accident("the disk is full", disk_full, ONCE, late=True),
    Accident(
        "the disk is full and the worker is killed",
        worker_killed,
        {**ONCE, HANDLING: 2, COMPUTED: 2, RECORDED: 2},
        full_disk=True,
    ),
)

# Only Linux can take the disk from a process that runs.
ACCIDENTS: Final = tuple(
    one for one in ALL_ACCIDENTS if hasattr(resource, "prlimit") or one.happen is not disk_full
)

Cells = dict[tuple[str, str, str], Account]


@pytest.fixture(scope="module")
def cells() -> Iterator[Cells]:
    """Collect the table; it is written when the whole matrix was run."""
    found: Cells = {}
    yield found
    if len(found) == len(ALL_ACCIDENTS) * len(POINTS) * len(CLIENTS):
        write_section("Kill points", page(found))


async def test_nothing_is_lost_wherever_a_worker_is_killed(tmp_path: Path) -> None:
    """One accident of the matrix with one client; the matrix is dear."""
    await one_accident(ACCIDENTS[0], "native", tmp_path, {})


@pytest.mark.dear
@pytest.mark.parametrize(
    "accident",
    ACCIDENTS,
    ids=lambda accident: accident.happen.__name__ + "-full" * accident.full_disk,
)
async def test_nothing_is_lost_wherever_something_dies(
    accident: Accident, tmp_path: Path, cells: Cells
) -> None:
    async def body(client: str, folder: Path) -> None:
        await one_accident(accident, client, folder, cells)

    await with_both(body, tmp_path)


@pytest.mark.dear
async def test_nothing_is_lost_wherever_a_program_that_takes_items_dies(tmp_path: Path) -> None:
    """Two accidents of the matrix: one program on a loop, one in blocking code."""
    programs = [(ACCIDENTS[0], "async", "official"), (ACCIDENTS[1], "sync", "native")]
    found: list[Cells] = [{} for _ in programs]
    folders = [tmp_path / take for _, take, _ in programs]
    for folder in folders:
        folder.mkdir()
    await asyncio.gather(
        *(
            one_accident(accident, client, folder, cells, take=take)
            for (accident, take, client), folder, cells in zip(
                programs, folders, found, strict=True
            )
        )
    )
    rows = [
        [accident.name, f"{take}, {client}", POINTS[queue], b.lost, b.stuck, b.runs[-1], b.outcomes]
        for (accident, take, client), cells in zip(programs, found, strict=True)
        for (_, queue, _), b in cells.items()
    ]
    head = ["what happens", "program", "while an item is", "lost", "stuck", "runs", "outcomes"]
    text = f"As kill points, with a program that takes items; of {OTHERS + 1} items each.\n\n"
    write_section("Programs that take items", text + table(head, rows))


async def one_accident(
    accident: Accident, client: str, folder: Path, cells: Cells, **plan: Any
) -> None:
    """Hold the items, let it happen, compare the books."""
    async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
        held = Held(stage, accident, **plan)
        await held.hold(outsider)
        await accident.happen(held)
        found = {}
        for queue in POINTS:
            found[queue] = await stage.settled(queue, held.ids[queue], DEADLINE)
        for queue, books in found.items():
            cells[accident.name, queue, client] = books
        ids = {"$in": [id for queue in POINTS for id in held.ids[queue]]}
        async with stage.outsider() as later:  # the server may have died since
            ends = {one["_id"]: told(one) for one in await later.query("workitems", {"_id": ids})}
    wrong = {
        queue: books
        for queue, books in found.items()
        if books.lost or books.stuck or books.successful != OTHERS + 1
    }
    assert not wrong
    assert {queue: books.runs[-1] for queue, books in found.items()} == accident.runs
    assert all(books.runs[:-1] == (1,) * OTHERS for books in found.values())
    if client == "native":  # the timeline tells each outcome once: it is the very same write
        assert set(ends.values()) == {1}, ends


def told(document: JsonObject) -> int:
    """Return how many successes an item's timeline tells."""
    entries = history_of(document["_id"], document.get(FIELD)).entries
    return sum(entry.what == "succeeded" for entry in entries)


def page(cells: Cells) -> str:
    """Return the matrix as text."""
    rows: list[list[object]] = []
    for accident in ACCIDENTS:
        for queue, point in POINTS.items():
            both = [cells[accident.name, queue, client] for client in CLIENTS]
            rows.append(
                [
                    accident.name,
                    point,
                    sum(books.lost for books in both),
                    sum(books.stuck for books in both),
                    *(books.runs[-1] for books in both),
                    f"{sum(b.outcomes for b in both)} of {sum(b.pushed for b in both)}",
                ]
            )
    head = [
        "what happens",
        "while an item is",
        "lost",
        "stuck",
        "runs, official",
        "runs, native",
        "outcomes",
    ]
    return (
        f"One item is held at the point, {OTHERS} others went before it. Lost: gone from the"
        " server or never worked. Stuck: still in `processing` after recovery. Runs: how often"
        " the handler of the held item began, with either client; 2 is a repeat: no outcome was"
        " within reach, neither at the server nor on a disk that the successor has. Outcomes: with"
        " both clients.\n\n" + table(head, rows)
    )
