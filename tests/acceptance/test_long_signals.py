"""Kill points of signals: a worker dies before and after each write of an item that waits.

Items are held at all points at the same time, then the worker is killed and started again. Nothing
is lost, what a signal said is seen by one step once, and an item to which nobody said anything in
time goes that way for good, even if somebody says something later.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.clients import CLIENTS, with_both
from tests.acceptance.held_writes import PARKING, hold, writes
from tests.acceptance.long_deeds import BOOK, LATE, SCAN, SCANS
from tests.acceptance.outsider import Outsider
from tests.acceptance.processes import WAIT, until
from tests.acceptance.results import SEEN, table, write_guide, write_section
from tests.acceptance.stage import PATIENT, Stage
from worker.item.signals import COLLECTION
from worker.openiap.wire import openiap_pb2 as pb

MODULE: Final = "tests.acceptance.long_deeds"
SCANNED, BOOKED = (f'{name}":{{"n"'.encode() for name in (f"{SCAN} #1", BOOK))
CAME, NONE, WHOLE = b'"json":', b'"over":true', b'"_type":"workitem"'
DONE: Final = b'"booked":"'
MARKED: Final = b"waits.signals"
"""What a conditional update names that wakes an item."""
WAITS, PARKED, RIGHT, AWAKE, TAKEN, TIMED_OUT, BOOKING = (
    "the note that it waits",
    "the item that waits",
    "the claim to wake it",
    "the item that is woken",
    "the scan that it took",
    "the note that none came",
    "the result of `book`",
)
WRITES: Final = {
    "official": {
        WAITS: writes(SCANNED, CAME, NONE, PARKING, WHOLE),
        PARKED: writes(PARKING),
        RIGHT: writes(b'"_id":"wake-'),
        AWAKE: writes(WHOLE, CAME, NONE, PARKING),
        TAKEN: writes(CAME, BOOKED, PARKING, WHOLE),
        TIMED_OUT: writes(NONE, BOOKED, PARKING, WHOLE),
        BOOKING: writes(BOOKED, DONE, PARKING),
    },
    "native": {
        WAITS: writes(SCANNED, CAME, NONE, PARKING),
        PARKED: writes(PARKING, MARKED),
        AWAKE: writes(MARKED),
        TAKEN: writes(CAME, BOOKED, PARKING),
        TIMED_OUT: writes(NONE, BOOKED, PARKING),
        BOOKING: writes(BOOKED, DONE, PARKING),
    },
}
BEFORE_IT_DIES: Final = (RIGHT, AWAKE, TAKEN, BOOKING)
"""Those that somebody has to tell something first."""

Books = dict[str, tuple[int, str]]


def points(client: str) -> list[str]:
    return [f"{side} {name}" for name in WRITES[client] for side in ("before", "after")]


def name_of(point: str) -> str:
    return point.partition(" ")[2]


@pytest.mark.dear
async def test_a_signal_is_heard_once_wherever_the_worker_dies(tmp_path: Path) -> None:
    found: dict[str, Books] = {}

    async def body(client: str, folder: Path) -> None:
        found[client] = await killed_at_all_points(client, folder)

    await with_both(body, tmp_path)
    for client, books in found.items():
        assert books == {
            point: (
                2 if point == f"before {BOOKING}" else 1,
                "none" if point == f"after {TIMED_OUT}" else point,
            )
            for point in points(client)
        }, client
    write_section("Signals", page(found))
    write_guide("signals", SEEN, page(found))


async def killed_at_all_points(client: str, folder: Path) -> Books:
    """Hold an item at each point, kill the worker, let it come back; returns how often its scan was
    booked, and what it was told."""
    async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue(SCANS, maxretries=20)
        known = points(client)
        payloads = [
            {"point": one, "timeout": "2s" if name_of(one) == TIMED_OUT else "1h"} for one in known
        ]
        ids = dict(zip(known, await outsider.push(SCANS, payloads), strict=True))
        reached = {
            one: hold(
                stage.proxy,
                "request" if one.startswith("before") else "reply",
                ids[one],
                *WRITES[client][name_of(one)],
            )
            for one in known
        }
        worker = stage.worker("a", SCANS, plan={"module": MODULE}, **{**PATIENT, "dead_after": 30})
        await worker.started()
        early = [one for one in known if name_of(one) in BEFORE_IT_DIES]

        async def waiting() -> bool:
            query: dict[str, Any] = {"_id": {"$in": [ids[one] for one in early]}, "state": "new"}
            query[f"{PARKING.decode()}.signals"] = SCAN
            found = await outsider.query("workitems", query)
            return len(found) == len(early)

        await until("the items wait", waiting, 2 * WAIT, tell=worker.tail)
        await say(outsider, ids, early)
        async with asyncio.timeout(2 * WAIT):
            await asyncio.gather(*(one.wait() for one in reached.values()))
        await worker.kill()
        await say(outsider, ids, set(known) - set(early))
        await worker.start()
        await stage.settled(SCANS, list(ids.values()))
        runs = Counter((note["item"], note["event"]) for note in stage.journal.notes())
        done = {one["_id"]: one["payload"] for one in await outsider.items(SCANS)}
    return {
        point: (
            runs[id, done[id]["scan"]],
            "none" if done[id]["scan"] == LATE else str(done[id]["scan"]),
        )
        for point, id in ids.items()
    }


async def say(outsider: Outsider, ids: dict[str, str], some: Iterable[str]) -> None:
    """Tell items where they are held, as a form does it."""
    for point in some:
        document: dict[str, Any] = {"item": ids[point], "name": SCAN, "value": point}
        request = pb.InsertOneRequest(collectionname=COLLECTION, item=json.dumps(document))
        await outsider.call("insertone", request, pb.InsertOneResponse)


def page(found: dict[str, Books]) -> str:
    """Return the matrix as text."""

    def cell(client: str, point: str) -> str:
        if point not in found[client]:
            return ""
        runs, told = found[client][point]
        return f"{runs}, {'none in time' if told == 'none' else 'heard'}"

    rows: list[list[object]] = [
        [point, *(cell(client, point) for client in CLIENTS)] for point in points("official")
    ]
    text = table(["the worker is killed", *(f"{client} client" for client in CLIENTS)], rows)
    return (
        "An item waits for a scan, takes it and books it; the worker is killed at each point and"
        " started again. Those that did not wait yet, and those that wait for 2 s only, are told"
        " while it is dead. The numbers say how often the scan was booked in all: 2 where that"
        " result had not reached the server. Every item ended as successful, with what it was told"
        f" or with what it had stored: that nobody came in time.\n\n{text}"
    )
