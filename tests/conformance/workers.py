"""Real workers for one probe: ``python -m worker run`` as a process, with a test's patience."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.acceptance.processes import Child
from tests.conformance.deeds import QUEUES, SUITE
from tests.conformance.facts import Differs
from tests.conformance.ground import Ground
from worker.openiap.workitem import JsonObject, WorkItemQueue

PATIENCE: Final = 180.0
"""Seconds for what takes some: a server may be busy with others."""
SETTINGS: Final[dict[str, Any]] = {
    "poll_interval": 2,
    "lease": 1,
    "heartbeat_interval": 1,
    "dead_after": 5,
    "rescue_interval": 1,
    "unclaimed_after": 6,
    "watchdog_interval": 5,
    "drain_timeout": 30,
    "cancel_timeout": 2,
    "lost_slots": "exit",
}
"""Seconds: what takes a minute in production takes some seconds here."""


class Worker(Child):
    """A worker of some queues, over the client and transport of a lane."""

    def __init__(self, on: Ground, word: str, queues: Sequence[WorkItemQueue], **settings: Any):
        self.id = on.name(word)
        super().__init__(self.id, on.folder / f"{word}.log")
        self._queues = [queue.name for queue in queues]
        self._once = settings.pop("once", False)
        values = {
            **SETTINGS,
            "url": on.crew.lane.url,
            "http_url": on.site.http_url,
            "client": on.crew.lane.kind,
            "username": on.site.first.username,
            "password": on.site.first.password,
            "worker_id": self.id,
            "namespace": on.crew.prefix,
            "state_dir": str(on.folder / f"state-{word}"),
            **settings,
        }
        self._environment = {
            QUEUES: ",".join(self._queues),
            SUITE: str(os.getpid()),
            **{f"OPENIAP_WORKER_{name.upper()}": str(value) for name, value in values.items()},
        }

    async def start(self) -> None:
        """Start it; returns at once."""
        queues = [word for queue in self._queues for word in ("--queue", queue)]
        once = ["--once"] if self._once else []
        command = ["-m", "worker", "run", "--handlers", "tests.conformance.deeds", *queues, *once]
        await self._spawn([sys.executable, *command], self._environment)


@asynccontextmanager
async def working(
    on: Ground, word: str, *queues: WorkItemQueue, **settings: Any
) -> AsyncIterator[Worker]:
    """Run a worker for as long as the block lasts; whatever it left running ends with it."""
    worker = Worker(on, word, queues, **settings)
    try:
        await worker.start()
        yield worker
    except Differs as error:
        raise Differs(f"{error}; the worker said: {worker.tail(3)}") from error
    finally:
        await worker.clean_up()


async def finished(on: Ground, id: str, seconds: float = PATIENCE) -> JsonObject:
    """Return an item's document once it is successful or failed."""

    async def done() -> JsonObject | None:
        found = await on.item(id)
        return found if found["state"] in ("successful", "failed") else None

    return await on.until("an outcome of the item", done, seconds, every=0.3)


async def there(on: Ground, path: Path, seconds: float = PATIENCE) -> None:
    """Wait until a handler has made a file."""

    async def made() -> bool | None:
        return True if path.exists() else None

    await on.until("the handler begins", made, seconds, every=0.05)


async def pause(seconds: float) -> None:
    """Let pass what is looked at afterwards: that something does not happen has no event."""
    await asyncio.sleep(seconds)
