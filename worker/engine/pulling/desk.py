"""The desk: where a program waits for the items of one queue, and a worker hands them over.

It has a worker of its own (``daemon.py``), whose handler passes each item on to who waited longest
and waits for the end of the block. All that a worker promises is kept by that one: outbox,
heartbeat, fence, files, recovery. It has as many slots as there are waits and blocks, so it pops
nothing that nobody waits for.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from worker._version import __version__
from worker.app.decorator import handler
from worker.app.options import Handler
from worker.engine.daemon import Daemon
from worker.engine.delivery.delivery import Delivered
from worker.engine.in_flight import Running
from worker.engine.pulling.block import PulledBlock
from worker.errors import GivenBack, WorkerError
from worker.item.block import Ending
from worker.item.item import Item
from worker.item.taken import left_early
from worker.openiap.errors import OpenIAPError, QueueNotFound, RightsMissing
from worker.producer.taking import NoItem, Wanted
from worker.settings import Settings

LOOK: Final = 30.0
"""Seconds within which a queue that is looked at once has to answer."""
LAST: Final = "zz-take-"
"""How the names of such workers begin. The lowest name leads a queue (``fleet/leadership.py``), and
looks after what its handler declares: that is for workers that have the handler, where there are
any."""
NOBODY: Final = "nobody waits for it any more"
AGAIN: Final = 0.2
"""Seconds until the queue is looked at once more for those whom a pop could not tell that it is
empty."""


@dataclass(eq=False, slots=True)
class _Waiting:
    """One that waits; ``empty`` tells that nothing was there when it was last looked."""

    wanted: Wanted
    block: "asyncio.Future[PulledBlock]"
    began: float = field(default_factory=time.monotonic)
    empty: bool = False

    def fail(self, error: Exception) -> None:
        if not self.block.done():
            self.block.set_exception(error)


class Desk:
    """Of one queue; on one loop. Shape: ``next``, ``stop``."""

    def __init__(self, queue: str, settings: Settings) -> None:
        self._queue = queue
        self._settings = settings_for(settings)
        self._waiting: deque[_Waiting] = deque()
        self._given: dict[Wanted, PulledBlock] = {}
        """Blocks whose items are not settled."""
        self._daemon: Daemon | None = None
        self._started = False
        self._starting: asyncio.Task[None] | None = None

    async def next(self, wanted: Wanted) -> PulledBlock:
        """Wait for an item.

        Raises:
            NoItem: none came in time.
            OpenIAPError, StateError: none can.
        """
        waiting = _Waiting(wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            self._open()
            limit = LOOK if wanted.wait == 0 else wanted.wait
            await asyncio.wait({waiting.block}, timeout=limit)
        except BaseException:
            self._given_back(waiting)
            raise
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            self._resize()
        if waiting.block.done():
            return waiting.block.result()
        trouble = self._trouble()
        empty = waiting.empty and not trouble
        raise NoItem(self._queue, wanted.wait or LOOK, "" if empty else trouble, empty=empty)

    def forget(self, wanted: Wanted) -> None:
        """Who waited is gone; an item that came all the same goes back."""
        block = self._given.get(wanted)
        if block is not None:
            block.end(Ending(released=NOBODY))

    async def stop(self) -> None:
        """Settle what is left, and end the worker; idempotent."""
        for waiting in self._waiting:
            waiting.fail(WorkerError("the connection is closed"))
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        for block in self._given.values():
            if not block.entered:
                block.end(left_early())
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            self._started = False
            await daemon.stop()

    def _open(self) -> None:
        """Begin with the first one who waits, or again after a start that failed."""
        if self._started:
            self._resize()
        elif self._starting is None:
            self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        try:
            self._daemon = Daemon(
                self._settings,
                [self._handler()],
                version=__version__,
                environment={},
                prefix=LAST,
            )
            await self._daemon.start()
        except Exception as error:  # whatever it is, those who wait are to know
            for waiting in self._waiting:
                waiting.fail(error)
            return
        finally:
            self._starting = None
        consumer = self._daemon.workers.consumers[self._queue]
        consumer.on_vain, consumer.frees_early = self._vain, False
        self._started = True
        self._resize()

    def _handler(self) -> Handler[..., Any]:
        async def take(item: Item) -> Any:
            return await self._hand_over(item)

        # As errors and log lines are to name it.
        take.__module__, take.__qualname__ = "producer", f"take({self._queue!r})"
        return handler(self._queue, concurrency=1, timeout=None)(take)

    async def _hand_over(self, item: Item) -> Any:
        """Give an item to who waited longest; return what its block came to."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.block.done():
                break
        else:
            raise GivenBack(NOBODY)
        block = self._given[waiting.wanted] = PulledBlock(item, waiting.wanted)
        self._follow(item, block)
        waiting.block.set_result(block)
        return await block.outcome()

    def _follow(self, item: Item, block: PulledBlock) -> None:
        """Learn when the engine is done with an item."""
        in_flight = () if self._daemon is None else self._daemon.workers.in_flight()
        for running in in_flight:
            if running.item is item and running.task is not None:
                block.cancelled = partial(_is_cancelled, running)
                running.task.add_done_callback(partial(self._settled, block))

    def _settled(self, block: PulledBlock, task: "asyncio.Task[Delivered]") -> None:
        block.delivered(task)
        self._given.pop(block.wanted, None)
        self._resize()

    def _given_back(self, waiting: _Waiting) -> None:
        if waiting.block.done() and not waiting.block.cancelled() and not waiting.block.exception():
            waiting.block.result().end(Ending(released=NOBODY))

    def _vain(self, error: OpenIAPError | None, began: float) -> None:
        """A pop brought nothing."""
        spared, unsure = self._on_their_way(), False
        waits = [waiting for waiting in self._waiting if not waiting.block.done()]
        for number, waiting in enumerate(waits):
            if isinstance(error, QueueNotFound | RightsMissing):
                waiting.fail(error)
            elif error is None and waiting.began <= began:
                waiting.empty = True
                if waiting.wanted.wait == 0 and number < spared:
                    unsure = True
                elif waiting.wanted.wait == 0:
                    waiting.fail(NoItem(self._queue, 0, empty=True))
        if unsure:
            asyncio.get_running_loop().call_later(AGAIN, self._resize)

    def _on_their_way(self) -> int:
        """Return how many of those who wait longest may be about to be given an item: by pops in
        flight, and by what was popped and has not come here yet."""
        if self._daemon is None:
            return 0
        consumer = self._daemon.workers.consumers[self._queue]
        return consumer.popping + max(0, consumer.working - len(self._given))

    def _resize(self) -> None:
        """Pop for those who wait, and no more."""
        if self._daemon is None or not self._started:
            return
        waits = sum(not waiting.block.done() for waiting in self._waiting)
        workers = self._daemon.workers
        workers.resize(self._queue, waits + len(self._given))
        if waits:
            workers.consumers[self._queue].look_again()

    def _trouble(self) -> str:
        """Return why the queue cannot be looked at, or ""."""
        if self._daemon is None or not self._started:
            return "the worker behind it has not signed in to OpenIAP yet"
        return "; ".join(self._daemon.telemetry.reasons().values())


def _is_cancelled(running: Running) -> bool:
    return bool(running.cancelled)


def settings_for(settings: Settings) -> Settings:
    """Return the settings of a worker inside a program: it has a name of its own, and what is meant
    for a worker that works handlers is not for it."""
    return settings.model_copy(
        update={
            "wiq": "",
            "queues": (),
            "queue": "",
            "handlers": (),
            "concurrency": 0,
            "connections": 1,
            "once": False,
            "steering": False,
            "health_port": None,
            "worker_id": "",
        }
    )
