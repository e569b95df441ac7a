"""Kill points of groups: a worker dies before and after each write that a group takes.

Groups are held at all points at the same time, then the worker is killed and started again. No
member is there twice, none is lost, and what comes after them comes once.
"""

import asyncio
import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.clients import CLIENTS, with_both
from tests.acceptance.group_deeds import AFTER, MEMBERS, PARENTS, SIZE
from tests.acceptance.processes import WAIT
from tests.acceptance.proxy import Proxy, Side
from tests.acceptance.results import table, write_section
from tests.acceptance.stage import PATIENT, Stage
from worker.openiap.wire import openiap_pb2 as pb

MODULE: Final = "tests.acceptance.group_deeds"
SIDES: Final = ("before", "after")
OUTCOMES: Final = ("updatedocument", "updateworkitem", "updateone")
OF_PARENT: Final = re.compile(rb"item/([0-9a-f]{24})/#1")
ID: Final = re.compile(rb'"id": ?"([0-9a-f]{19})"')
WRITES: Final[dict[str, tuple[tuple[str, ...], bytes, tuple[bytes, ...]]]] = {
    "the key": (("insertone",), b"group-key/", ()),
    "the group's record": (("insertone",), b'"pushing"', ()),
    "the sign that it is open": (("insertone",), b"group-open/", ()),
    "the members": (("insertmany",), b"", ()),
    "that all are pushed": (("insertone",), b'"pushed"', ()),
    "a member's outcome": (OUTCOMES, b"00000", ()),
    "who collects the results": (("insertone",), b'"closing"', ()),
    "what comes after": (("insertone",), b"fffff", (b'"closed"',)),
    "that it is over": (("insertone",), b'"closed"', ()),
    "the sign's deletion": (("deleteone",), b"group-open/", ()),
}
"""Of each write: its commands, what it carries, and what it does not."""
POINTS: Final = tuple(f"{side} {name}" for name in WRITES for side in SIDES)
Books = dict[str, tuple[int, int]]


@pytest.mark.dear
async def test_a_group_ends_once_wherever_the_worker_dies(tmp_path: Path) -> None:
    found: dict[str, Books] = {}

    async def body(client: str, folder: Path) -> None:
        found[client] = await killed_at_all_points(client, folder)
        assert found[client] == dict.fromkeys(POINTS, (SIZE, 1))

    await with_both(body, tmp_path)
    write_section("Groups", page(found))


async def killed_at_all_points(client: str, folder: Path) -> Books:
    """Hold a group at each point, kill the worker, let it come back; returns what became of it."""
    async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
        for queue in (PARENTS, MEMBERS, AFTER):
            await outsider.queue(queue, maxretries=20)
        ids = dict(zip(POINTS, await outsider.push(PARENTS, [{} for _ in POINTS]), strict=True))
        groups: dict[str, bytes] = {}
        reached = [hold(stage.proxy, point, ids[point], groups) for point in POINTS]
        worker = stage.worker(
            "a", PARENTS, MEMBERS, AFTER, plan={"module": MODULE}, **{**PATIENT, "dead_after": 6}
        )
        await worker.started()
        async with asyncio.timeout(2 * WAIT):
            for point, one in zip(POINTS, reached, strict=True):
                try:
                    await one.wait()
                except BaseException:
                    raise AssertionError(f"{point} was not reached\n{worker.tail(40)}") from None
        await worker.kill()
        await worker.start()
        await stage.settled(PARENTS, list(ids.values()))
        await settled(stage, len(POINTS))
        members = Counter(one["payload"]["parent"] for one in await outsider.items(MEMBERS))
        after = await outsider.items(AFTER)
        ends = Counter(one["payload"]["parent"] for one in after)
        assert all(one["payload"]["results"] == list(range(SIZE)) for one in after)
        assert all(one["payload"]["errors"] == [] for one in after)
    return {point: (members[id], ends[id]) for point, id in ids.items()}


async def settled(stage: Stage, count: int) -> None:
    """Wait until so many groups have ended, and then until nothing is left to do."""
    async with stage.outsider() as outsider, asyncio.timeout(2 * WAIT):
        while len(await outsider.items(AFTER)) < count:
            await asyncio.sleep(0.1)
    for queue in (MEMBERS, AFTER):
        await stage.settled(queue, [])


def hold(proxy: Proxy, point: str, parent: str, groups: dict[str, bytes]) -> asyncio.Event:
    """Hold the first write of a group that fits a point, or its reply."""
    side, _, name = point.partition(" ")
    commands, has, lacks = WRITES[name]
    which: Side = "request" if side == "before" else "reply"
    reached = asyncio.Event()

    def match(request: pb.Envelope, _: pb.Envelope | None) -> bool:
        text = request.SerializeToString()
        learn(text, groups)
        group = groups.get(parent)
        if reached.is_set() or group is None or any(one in text for one in lacks):
            return False
        of_group = group in text or parent.encode() in text
        if name in ("a member's outcome", "what comes after"):
            fits = group + has in text and (b"successful" in text or has == b"fffff")
        else:
            fits = of_group and has in text
        if fits:
            reached.set()
        return fits

    for command in commands:
        proxy.tap(command, which, match=match, act="hold")
    return reached


def learn(text: bytes, groups: dict[str, bytes]) -> None:
    """Learn which group an item has pushed: the first message about it tells."""
    parent, group = OF_PARENT.search(text), ID.search(text)
    if parent is not None and group is not None and b"group-key/" in text:
        groups.setdefault(parent.group(1).decode(), group.group(1))


def page(found: dict[str, Books]) -> str:
    """Return the matrix as text."""
    rows: list[list[object]] = [
        [point, *(f"{found[client][point][0]}, {found[client][point][1]}" for client in CLIENTS)]
        for point in POINTS
    ]
    text = table(["the worker is killed", *(f"{client} client" for client in CLIENTS)], rows)
    return (
        f"An item pushes a group of {SIZE} and what comes after them; the worker is killed at each"
        " point and started again. The numbers say how many members there are in the end, and how"
        " many items came after them. Before a write: it is on its way; after: its reply is. Each"
        f" item that came after had all results.\n\n{text}"
    )
