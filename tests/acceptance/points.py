"""Exact places inside a worker where a test can hold it: each once, armed and let go by files.

A test arms a point by making ``<folder>/<point>``. The first item that gets there takes the file
(``<point>.reached``) and waits until ``<point>.go`` exists: alive, so that the test can then kill
the worker, the server, the link or the disk, and see what becomes of that item.
"""

import asyncio
import os
from pathlib import Path
from typing import Any, Final

from worker.engine.delivery.writeback import WriteBack
from worker.engine.outbox.outbox import Outbox

POPPED: Final = "popped"
HANDLING: Final = "handling"
COMPUTED: Final = "computed"
RECORDED: Final = "recorded"
ACCEPTED: Final = "accepted"
INSIDE: Final = (POPPED, HANDLING, COMPUTED, RECORDED, ACCEPTED)


class Points:
    """The points of one run, by their folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def arm(self, point: str) -> None:
        """Hold the first item that gets there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / point).touch()

    def reached(self, point: str) -> bool:
        """Whether an item is held there, or was."""
        return (self._folder / f"{point}.reached").exists()

    def let_go(self, point: str) -> None:
        """Let it go on."""
        (self._folder / f"{point}.go").touch()

    async def pass_by(self, point: str) -> None:
        """To be called at a point: returns at once, unless it is armed."""
        try:
            os.rename(self._folder / point, self._folder / f"{point}.reached")
        except OSError:
            return
        while not (self._folder / f"{point}.go").exists():
            await asyncio.sleep(0.02)


def install(points: Points) -> None:
    """Put the points around the outbox and the write-back; the queue's name says which is meant."""
    queues: dict[str, str] = {}
    popped, finished, deliver = Outbox.popped, Outbox.finished, WriteBack.deliver

    async def popped_there(self: Outbox, workitem: Any, at: Any) -> None:
        queues[workitem.id] = workitem.wiq
        if workitem.wiq == POPPED:
            await points.pass_by(POPPED)
        await popped(self, workitem, at)

    async def finished_there(
        self: Outbox, item_id: str, retries: int, outcome: Any, **more: Any
    ) -> None:
        if queues.get(item_id) == COMPUTED:
            await points.pass_by(COMPUTED)
        await finished(self, item_id, retries, outcome, **more)

    async def deliver_there(self: WriteBack, delivery: Any) -> Any:
        queue = queues.get(delivery.workitem.id)
        if queue == RECORDED:
            await points.pass_by(RECORDED)
        delivered = await deliver(self, delivery)
        if queue == ACCEPTED:
            await points.pass_by(ACCEPTED)
        return delivered

    Outbox.popped = popped_there  # type: ignore[method-assign]
    Outbox.finished = finished_there  # type: ignore[method-assign]
    WriteBack.deliver = deliver_there  # type: ignore[method-assign]
