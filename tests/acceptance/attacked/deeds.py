"""Handlers of the attack; each run has a name, which it notes down and returns.

What is noted goes into a pipe that the test reads: a worker whose disk is full can still tell.
"""

import asyncio
import os
import uuid
from typing import Any, Final

from tests.acceptance.deeds import JOURNAL
from tests.acceptance.forking import child_of
from worker import BusinessError, Item, handler, schedule
from worker.openiap.values import iso

PLAIN, CHAINED, KEYED, AFTER = "plain", "chained", "keyed", "after"
THREADED, FORKED, TICKED = "threaded", "forked", "ticked"
PUSHED: Final = (PLAIN, CHAINED, KEYED, THREADED, FORKED)
"""The queues that the test pushes into."""
QUEUES: Final = (*PUSHED, AFTER, TICKED)
BAD: Final = "this item is bad"
FIRST_TIME: Final = "the first time"
HUNG: Final = "was still running at its hard_timeout"
SOFT, HARD = 40.0, 45.0
"""Seconds; far more than any fault lasts. A child may hang for ever (``clocks.py``)."""
WAYS: Final = (
    ("os.fork", "exit", 3),
    ("os.fork", "return", 0),
    ("os.fork", "raise", 1),
    ("os.fork", "SIGTERM", -15),
    ("subprocess", "plain", -15),
    ("subprocess", "session", -15),
    ("fork", "exit", 3),
    ("fork Pool", "", 6),
)
"""Children: how they are made, how they end, and what the parent then has to see."""


def begun(item: Item) -> str:
    """Note the begin of a run; returns its name."""
    run = uuid.uuid4().hex
    popped = item.workitem.lastrun
    JOURNAL.note(
        "start",
        item=item.id,
        run=run,
        attempt=item.attempt,
        queue=item.queue,
        popped=iso(popped) if popped else "",
    )
    return run


def ended(item: Item, run: str, **more: Any) -> dict[str, Any]:
    """Note the end of a run; returns the item's result."""
    JOURNAL.note("end", item=item.id, run=run, attempt=item.attempt)
    return {"run": run, **more}


async def worked(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Do what the payload says."""
    run = begun(item)
    how = payload.get("how")
    if how == "late":
        await item.checkpoint({"run": run})
    await asyncio.sleep(float(payload["seconds"]))
    if how == "bad":
        raise BusinessError(BAD)
    if how == "fails" and item.attempt == 1:
        raise RuntimeError(FIRST_TIME)
    if how == "file":
        await item.attach(os.urandom(100_000), "out.bin")
    if how == "follow":
        await item.push(AFTER, {"n": payload["n"], "from": item.id, "seconds": 0.02})
    return ended(item, run)


@handler(PLAIN, concurrency=6)
async def plain(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """On the loop."""
    return await worked(payload, item)


@handler(CHAINED, concurrency=4)
async def chained(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """On the loop; the server makes an item of each success."""
    return await worked(payload, item)


@handler(KEYED, concurrency=4, key=lambda payload: str(payload["key"]))
async def keyed(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """One of a key at a time."""
    return await worked(payload, item)


@handler(AFTER, concurrency=6)
async def after(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """What a chain or a follow-up brought."""
    run = begun(item)
    await asyncio.sleep(float(payload["seconds"]))
    return ended(item, run, before=payload.get("run"))


def with_children(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Have a child, and tell how it ended; a child that comes back here is no run of the item."""
    me, run = os.getpid(), begun(item)
    done = child_of(payload["way"], payload["end"]) if "way" in payload else {"code": None}
    if os.getpid() != me:
        return {"run": "a child's", **done}
    return ended(item, run, **done)


@handler(THREADED, concurrency=2, timeout=SOFT, hard_timeout=HARD)
def threaded(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """In a thread."""
    return with_children(payload, item)


@handler(FORKED, concurrency=2, process=True, timeout=SOFT, hard_timeout=HARD)
def forked(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """In a process."""
    return with_children(payload, item)


@schedule("*/2 * * * * *", name="two")
@handler(TICKED)
async def ticked(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """By the clock."""
    return ended(item, begun(item))
