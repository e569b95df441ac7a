"""Handlers of the acceptance tests; every run notes its begin and its end in the journal."""

import asyncio
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from tests.acceptance.accounting import Journal
from tests.acceptance.points import HANDLING, Points
from worker import BusinessError, Item, handler

JOURNAL = Journal(Path(os.environ.get("ACCEPTANCE_JOURNAL", os.devnull)))
POINTS = Points(Path(os.environ.get("ACCEPTANCE_POINTS", os.devnull)))
CHANCE = random.Random()


async def noted(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Note the begin, do what the payload says, note the end.

    ``until`` names a file that a test makes when it has seen enough: a handler that runs for so
    many seconds may have ended before a slow test has looked.
    """
    JOURNAL.note("start", item=item.id, attempt=item.attempt, queue=item.queue)
    if item.queue == HANDLING:
        await POINTS.pass_by(HANDLING)
    await asyncio.sleep(float(payload.get("seconds", 0.0)))
    while "until" in payload and not Path(payload["until"]).exists():
        await asyncio.sleep(0.02)
    failing = payload.get("failing", 0.0)
    if payload.get("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    if payload.get("bad"):
        raise BusinessError("this item is bad")
    if failing and CHANCE.random() < failing:
        JOURNAL.note("raise", item=item.id, attempt=item.attempt)
        raise RuntimeError("by chance")
    JOURNAL.note("end", item=item.id, attempt=item.attempt)
    return {"by": os.getpid(), "done": item.attempt}


def _worker(queue: str) -> Any:
    @handler(queue, concurrency=4)
    async def run(payload: dict[str, Any], item: Item) -> dict[str, Any]:
        return await noted(payload, item)

    return run


# The kill-point matrix has a queue for each point.
asked = _worker("asked")
popped = _worker("popped")
handling = _worker("handling")
computed = _worker("computed")
recorded = _worker("recorded")
sent = _worker("sent")
accepted = _worker("accepted")


@handler("items", concurrency=4)
async def items(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Take some time, fail by chance."""
    return await noted(payload, item)


@handler("many", concurrency=16)
async def many(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """The same, more at once."""
    return await noted(payload, item)


@handler("nothing", concurrency=16)
async def nothing(payload: dict[str, Any]) -> None:
    """Do nothing, for the soak."""


@handler("blocking", concurrency=2)
async def blocking(payload: dict[str, Any], item: Item) -> None:
    """Block the loop, as nobody should."""
    JOURNAL.note("start", item=item.id, attempt=item.attempt)
    sit_out(Path(payload["until"]))


def sit_out(end: Path) -> None:
    """Return once there is that file."""
    while not end.exists():
        time.sleep(0.05)


@handler("stop-async", concurrency=8)
async def stop_async(payload: dict[str, Any], item: Item) -> None:
    """Go on until a file is there; without one for ever."""
    JOURNAL.note("start", item=item.id, attempt=item.attempt)
    while "until" not in payload or not Path(payload["until"]).exists():
        await asyncio.sleep(0.02)
    JOURNAL.note("end", item=item.id, attempt=item.attempt)


def _spend(payload: dict[str, Any], item: Item) -> None:
    JOURNAL.note("start", item=item.id, attempt=item.attempt)
    while "until" not in payload or not Path(payload["until"]).exists():
        time.sleep(0.02)
    JOURNAL.note("end", item=item.id, attempt=item.attempt)


@handler("stop-thread", concurrency=8)
def stop_thread(payload: dict[str, Any], item: Item) -> None:
    """The same, and look at nothing else meanwhile."""
    _spend(payload, item)


@handler("stop-process", concurrency=8, process=True)
def stop_process(payload: dict[str, Any], item: Item) -> None:
    """The same in a process."""
    _spend(payload, item)


@handler("loop", concurrency=1, process=True, timeout=3, hard_timeout=4)
def loop(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Misbehave as told, and not for long; longer than a machine halts, for those who behave."""
    return misbehave(payload, item)


@handler("bad", concurrency=1, process=True, memory="256MB", timeout=60, hard_timeout=90)
def bad(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Misbehave as told: no limit of time comes before the one that is meant."""
    return misbehave(payload, item)


def misbehave(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Do it in one of four ways, or none."""
    JOURNAL.note("start", item=item.id, attempt=item.attempt)
    how = payload.get("how")
    if how == "loop":
        while True:
            time.sleep(0.01)  # what computes is ended in ``execution/test_bad_processes.py``
    if how == "memory":
        held = []
        while True:
            held.append(bytearray(16 * 1024 * 1024))
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "exit":
        os._exit(3)
    return {"well": True}
