"""Lives of a worker's outbox, each run in a process of its own by the tests.

python lives.py SCENE FOLDER [ARGUMENT…]
"""

import asyncio
import ctypes
import os
import resource
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from worker.engine.outbox.identity import claim_identity
from worker.engine.outbox.outbox import Outbox
from worker.item.outcome import Outcome
from worker.openiap.workitem import Workitem

LASTRUN = datetime(2026, 11, 20, 10, 0, 0, 123000, tzinfo=UTC)
RETRY_AT = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)


def item(item_id: str, retries: int = 0) -> Workitem:
    return Workitem(
        id=item_id,
        name="Invoice",
        payload={"number": 1},
        wiq="invoices",
        wiqid="q1",
        lastrun=LASTRUN,
        retries=retries,
        username="robot",
    )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def opened(folder: Path, worker_id: str = "w-1") -> Outbox:
    return await Outbox.open(
        folder,
        worker_id,
        sync="normal",
        keep_evidence_days=7,
        on_trouble=lambda text: say(f"trouble: {text}"),
        on_recovery=lambda text: say(f"recovery: {text}"),
        retry=0.1,
    )


async def killed_after_popped(folder: Path, *ids: str) -> None:
    outbox = await opened(folder)
    await asyncio.gather(*(outbox.popped(item(i), LASTRUN) for i in ids))
    die()


async def killed_after_finished(folder: Path, worker_id: str) -> None:
    outbox = await opened(folder, worker_id)
    await outbox.popped(item("a"), LASTRUN)
    await outbox.popped(item("b", 2), LASTRUN)
    outcome = Outcome(
        "application", {"x": "\ud800"}, "message", "source", RETRY_AT, (("r.pdf", "/spool/r.pdf"),)
    )
    await outbox.finished("a", 0, outcome)
    die()


async def killed_after_popped_again(folder: Path) -> None:
    """What was handed back comes again at once, under the same number."""
    outbox = await opened(folder)
    for _ in range(3):
        await outbox.popped(item("a"), LASTRUN)
        await outbox.finished("a", 0, Outcome("released", message="worker stopped"))
        outbox.delivered("a", 0)
    await outbox.popped(item("a"), RETRY_AT)
    die()


async def killed_after_nothing(folder: Path) -> None:
    await opened(folder)
    die()


async def holds(folder: Path) -> None:
    await opened(folder)
    say("held")
    await asyncio.sleep(600)


async def holds_identity(folder: Path) -> None:
    say(claim_identity(folder, host="box.example.org").id)
    await asyncio.sleep(600)


async def forked(folder: Path) -> None:
    """A child made by fork lives on when the worker is killed."""
    await opened(folder)
    child = os.fork()
    while child == 0:
        signal.pause()  # and never on into what is the parent's
    say(str(child))
    die()


async def copied(folder: Path, then: str) -> None:
    """A child that hangs before any Python runs in it: it still has all that the worker has."""
    await opened(folder)
    library = ctypes.PyDLL(None)
    child = library.fork()
    while child == 0:
        library.pause()
    say(str(child))
    if then == "dies":
        die()
    await asyncio.Event().wait()


async def full_disk(folder: Path) -> None:
    """Files may not grow any more: every write fails for real, with EFBIG."""
    outbox = await opened(folder)
    await outbox.popped(item("before"), LASTRUN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    async with asyncio.timeout(60):
        await outbox.popped(item("during"), LASTRUN)
        await outbox.finished("during", 0, Outcome("successful", {"done": True}))
        await outbox.popped(item("brief"), LASTRUN)
        outbox.delivered("brief", 0)
    say(f"healthy {outbox.healthy} size {outbox.size()}")
    await asyncio.sleep(0.5)  # several tries; the trouble is told once all the same
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    async with asyncio.timeout(60):
        while not outbox.healthy:
            await asyncio.sleep(0.02)
    say(f"healthy {outbox.healthy} failure {outbox.failure!r}")
    die()


async def full_from_the_start(folder: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    outbox = await opened(folder)
    rows = await outbox.pending()
    say(f"healthy {outbox.healthy} rows {sorted(row.item_id for row in rows)}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    async with asyncio.timeout(60):
        while not outbox.healthy:
            await asyncio.sleep(0.02)
    await outbox.popped(item("later"), LASTRUN)
    die()


if __name__ == "__main__":
    scene, place, *rest = sys.argv[1:]
    asyncio.run(globals()[scene](Path(place), *rest))
