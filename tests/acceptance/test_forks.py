"""A child of a handler is no worker: whatever becomes of it, the worker and its items go on."""

import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.clients import CLIENTS, both_clients
from tests.acceptance.forking import CODES
from tests.acceptance.processes import WAIT, until
from tests.acceptance.stage import PATIENT, Stage

Way = tuple[str, str, int]
"""What makes a child, how the child ends, and its code or what it gives back."""

KINDS = ("in-thread", "in-process", "on-loop", "in-process-on-loop")
AWAITING: list[Way] = [("os.fork", "await", 1)]
FORKS: list[Way] = [("os.fork", how, code) for how, code in CODES.items()]
PROGRAMS: list[Way] = [("subprocess", "plain", -15), ("subprocess", "session", -15)]
POOLS: list[Way] = [("fork Pool", "", 6), ("fork ProcessPoolExecutor", "", 6)]
COSTLY: list[Way] = [
    (f"{method}{kind}", how, code)
    for method in ("fork", "spawn", "forkserver")
    for kind, how, code in [
        ("", "exit", 3),
        ("", "return", 0),
        ("", "raise", 1),
        (" Pool", "", 6),
        (" ProcessPoolExecutor", "", 6),
    ]
]


def is_forked(way: Way) -> bool:
    return way[0].split()[0] == "fork"


def costly(kind: str, client: str) -> list[Way]:
    """Return those of ``COSTLY`` that are made with a kind of handler.

    What starts a Python of its own has nothing of the client: with one of them that is enough. Nor
    has what is spawned anything of how the handler runs, only of the process that does: in each of
    the two it is made in every way, elsewhere in one.
    """
    if client != "native":
        return [way for way in COSTLY if is_forked(way)]
    if kind in ("on-loop", "in-process"):
        return COSTLY
    return [way for way in COSTLY if not way[0].startswith("spawn") or way[1] == "exit"]


def is_dead(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def worked(folder: Path, client: str, ways: dict[str, list[Way]]) -> None:
    """Work an item of every kind for every way, and look at what came of it."""
    async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
        pushed: dict[str, tuple[Any, ...]] = {}
        kinds = tuple(ways)
        for kind, those in ways.items():
            await outsider.queue(kind, maxretries=1)
            ids = await outsider.push(kind, [{"way": way, "how": how} for way, how, _ in those])
            pushed |= {item: (kind, *way) for item, way in zip(ids, those, strict=True)}
        settings = {**PATIENT, "dead_after": 60, "unclaimed_after": 0}
        worker = stage.worker("a", *kinds, plan={"module": "tests.acceptance.forking"}, **settings)
        await worker.started()
        for kind in kinds:
            await stage.settled(kind, [], 4 * WAIT)
        found = {one["_id"]: one for kind in kinds for one in await outsider.items(kind)}
        wrong = {
            what: (found[item]["state"], found[item].get("errormessage"), found[item]["payload"])
            for item, what in pushed.items()
            if found[item]["payload"].get("code") != what[-1]
        }
        assert not wrong, f"{wrong}\n{worker.tail()}"
        assert worker.alive
        worker.terminate()
        assert await worker.ended(WAIT) == 0
        assert worker.text().count("stopping") <= 3


async def test_children_of_handlers_neither_stop_the_worker_nor_answer_for_it(
    tmp_path: Path,
) -> None:
    ways = dict.fromkeys(KINDS, FORKS + PROGRAMS + POOLS[:1])
    await worked(tmp_path, "native", {"awaiting": AWAITING, **ways})


@pytest.mark.dear
@both_clients
async def test_children_of_every_kind_end_as_they_would_anywhere(
    client: str, tmp_path: Path
) -> None:
    assert client in CLIENTS
    for folder in ("all", "threads"):
        (tmp_path / folder).mkdir()
    ways = {kind: FORKS + PROGRAMS + costly(kind, client) for kind in KINDS}
    threads = ways.pop("in-thread")
    await worked(tmp_path / "all", client, {"awaiting": AWAITING, **ways})
    # A pool that is forked from one thread of several may hang in Python itself, which warns of
    # that from 3.12 on: beside other handlers such a one is made once, by the test above.
    apart = [way for way in threads if way[0] not in ("fork Pool", "fork ProcessPoolExecutor")]
    await worked(tmp_path / "threads", client, {"in-thread": apart})


async def closed(folder: Path, client: str) -> None:
    """Let handlers close the standard streams, before a link is made anew and after it."""
    kinds = ("close-on-loop", "close-in-thread", "close-in-process")
    async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
        for kind in kinds:
            await outsider.queue(kind, maxretries=1)
        settings = {**PATIENT, "dead_after": 60, "unclaimed_after": 0}
        worker = stage.worker("a", *kinds, plan={"module": "tests.acceptance.forking"}, **settings)
        await worker.started()
        for again in (False, True):
            for kind in kinds:
                await outsider.push(kind, [{"close": True}, {"close": True}, {"close": again}])
            for kind in kinds:
                await stage.settled(kind, [], 4 * WAIT)
            stage.proxy.cut()
        found = [one for kind in kinds for one in await outsider.items(kind)]
        assert {(one["state"], one["retries"]) for one in found} == {("successful", 0)}, found
        # What is said while the stream is closed may be lost; nothing after that is.
        await until(
            "the log goes on", lambda: worker.text().count("signed in") == 3, WAIT, tell=worker.text
        )
        if sys.platform == "linux":
            leads = [os.readlink(f"/proc/{worker.pid}/fd/{number}") for number in (0, 1, 2)]
            assert not [one for one in leads if one.startswith("socket:")]
        worker.terminate()
        assert await worker.ended(WAIT) == 0


async def test_handlers_that_close_the_standard_streams_close_no_link_and_no_log(
    tmp_path: Path,
) -> None:
    await closed(tmp_path, "native")


@pytest.mark.dear
async def test_nor_do_they_with_the_official_client(tmp_path: Path) -> None:
    await closed(tmp_path, "official")


@pytest.mark.dear
async def test_a_child_that_hangs_at_its_fork_keeps_neither_an_item_nor_a_dead_workers_name(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path, client="native") as stage, stage.outsider() as outsider:
        queues = ("hung-thread", "hung-process")
        port = stage.port()
        [kept.close() for kept in stage._ports]
        plan = {"module": "tests.acceptance.hanging"}
        settings = {**PATIENT, "lost_slots": "keep", "health_port": port}
        worker = stage.worker("a", *queues, plan=plan, **settings)
        await worker.started()
        ids = {}
        for queue in queues:
            await outsider.queue(queue, maxretries=1)
            ids[queue] = await outsider.push(queue, [{"bad": True}, {}])
        for queue in queues:
            await stage.settled(queue, ids[queue])
            found = {one["_id"]: one for one in await outsider.items(queue)}
            assert [found[id]["state"] for id in ids[queue]] == ["failed", "successful"]
            assert "was still running at its hard_timeout" in found[ids[queue][0]]["errormessage"]
        # The child in the thread still has the lock, the port and the pipe of the log.
        died = psutil.Process(worker.pid)
        died.kill()
        await until("dead", lambda: is_dead(died), WAIT)
        again = stage.worker("a", *queues, plan=plan, **settings)
        await again.started()
        good = await outsider.push(queues[0], [{}])
        await stage.settled(queues[0], good)
        again.terminate()
        assert await again.ended(WAIT) == 0
