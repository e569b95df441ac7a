"""A block of a program, as the engine sees it: what its item is, its time, and how it was left.

1. The handler of the item waits for the end of the block (``outcome``).
2. Past its time, or once its item is cancelled, the block is asked to stop, whether it waits on a
   loop or blocks its thread. What it says from then on counts no more.
3. A block that does not end then is given up: its item is written back with where the block is.
"""

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from worker.durations import text as duration_text
from worker.engine.delivery.delivery import Delivered
from worker.engine.execution.stacks import stack_of_thread
from worker.engine.execution.stopping import raise_in, take_back
from worker.errors import GivenBack, TimeLimitExceeded, WorkerError
from worker.item.block import Ending, Fate
from worker.item.item import Item
from worker.openiap.workitem import FAILED, NEW, SUCCESSFUL
from worker.producer.taking import Wanted

T = TypeVar("T")

GRACE: Final = 10.0
"""Seconds that a block is given to end once it was stopped."""
FATES: Final[dict[str, Fate]] = {SUCCESSFUL: "successful", FAILED: "failed", NEW: "new"}


class Stopped(BaseException):
    """Raised inside a block that is past its time; each block has a class of its own."""


class PulledBlock:
    """One block; a ``worker.item.taken.Block``.

    It lives on the engine's loop; what ``Block`` names may be called from anywhere.

    Args:
        item: as the engine works it.
        wanted: who waited for it.

    Attributes:
        cancelled: tells whether somebody has cancelled the item.
    """

    def __init__(self, item: Item, wanted: Wanted) -> None:
        self._item = item
        self.wanted: Final = wanted
        self.entered = False
        """Whether it has an end of its own, which is to be waited for."""
        self.cancelled: Callable[[], bool] = lambda: False
        limit = wanted.timeout
        self._until = float("inf") if limit is None else time.monotonic() + limit
        """What is said later counts no more; it goes by the clock of the timeouts."""
        self._loop = asyncio.get_running_loop()
        self._left: asyncio.Future[Ending] = self._loop.create_future()
        self._fate: concurrent.futures.Future[Fate] = concurrent.futures.Future()
        self._over = False
        self._mutex = threading.Lock()
        self._thread = wanted.thread
        self._in_thread = False
        self._stop: Callable[[], object] | None = None
        self._stopped: type[Stopped] | None = None

    @property
    def item(self) -> Item:
        """The item as the engine works it."""
        return self._item

    @property
    def left(self) -> float | None:
        """Seconds of its time."""
        return None if self.wanted.timeout is None else max(0.0, self._until - time.monotonic())

    def enter(self, stop: Callable[[], object] | None = None) -> None:
        """The block begins; one that is begun past its time is not stopped, and given up."""
        with self._mutex:
            self.entered = True
            self._thread = threading.get_ident()  # not always that of who waited
            self._in_thread = stop is None
            self._stop = stop

    def leave(self) -> type[BaseException] | None:
        """It is not stopped from now on; returns what it was stopped with, if it was.

        Called by the thread of the block.
        """
        try:
            with self._mutex:
                stoppable, self._in_thread, self._stop = self._in_thread, False, None
                if stoppable and self._stopped is not None:
                    take_back()  # one that has not struck yet
        except Stopped as struck:  # while this waited for the mutex: it ends with the block
            if type(struck) is not self._stopped:
                raise
        return self._stopped

    def over_there(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Run a coroutine on the engine's loop.

        Raises:
            WorkerError: the item is out of this block's hands.
        """
        if self._over:
            work.close()
            raise WorkerError(f"item {self._item.id} is out of this block's hands")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def end(self, ending: Ending) -> "concurrent.futures.Future[Fate]":
        """Say how it was left, the first time; what became of the item then."""
        try:
            self._loop.call_soon_threadsafe(self._end, ending)
        except RuntimeError:  # the loop is closed: what is known of the item is on disk
            self._tell("")
        return self._fate

    def too_long(self) -> TimeLimitExceeded:
        """Return the error of a block that was stopped."""
        if self.cancelled():
            return TimeLimitExceeded("its item was cancelled")
        limit = duration_text(self.wanted.timeout or 0)
        return TimeLimitExceeded(f"its block ran longer than its timeout of {limit}")

    async def outcome(self) -> Any:
        """Wait until the block was left; return its result.

        Raises:
            GivenBack: the item was released.
            TimeLimitExceeded: the block did not end in time, whatever it was left with.
            CancelledError: the worker stops, or somebody cancelled the item and the block goes on.
            BaseException: what it was left with.
        """
        try:
            ending = await self._ending()
        finally:
            self._over = True
        if ending.at is not None and ending.at > self._until:
            if isinstance(ending.error, TimeLimitExceeded):
                raise ending.error  # it says where the block was
            raise self.too_long() from ending.error
        if ending.released is not None:
            raise GivenBack(ending.released)
        if ending.error is not None:
            raise ending.error
        return ending.result

    def delivered(self, task: "asyncio.Task[Delivered]") -> None:
        """The engine is done with the item."""
        if task.cancelled() or task.exception() is not None:
            self._tell("")
            return
        delivered = task.result()
        lost = delivered.result in ("fenced", "gone")
        self._tell("lost" if lost else FATES.get(delivered.state, ""))

    async def _ending(self) -> Ending:
        try:
            if await self._ended_within(self.left):
                return self._left.result()
        except asyncio.CancelledError:
            if not self.cancelled():
                raise
            self._until = min(self._until, time.monotonic())
            self._stop_block()
            if not await self._ended_within(GRACE):
                raise
            return self._left.result()
        self._stop_block()
        if await self._ended_within(GRACE):
            return self._left.result()
        error = self.too_long()
        error.stack = stack_of_thread(self._thread)
        raise error

    async def _ended_within(self, limit: float | None) -> bool:
        done, _ = await asyncio.wait({self._left}, timeout=limit)
        return bool(done)

    def _stop_block(self) -> None:
        """Stop a block: on its loop, or in its thread at the next instruction of Python's."""
        self._item.stop()
        with self._mutex:
            if self._stop is not None:
                with suppress(RuntimeError):  # its loop is closed
                    self._stop()
            if self._in_thread and self._stopped is None:
                self._stopped = type("Stopped", (Stopped,), {})
                raise_in(self._thread, self._stopped)

    def _end(self, ending: Ending) -> None:
        if not self._left.done():
            self._left.set_result(ending)

    def _tell(self, fate: Fate) -> None:
        if not self._fate.done():
            self._fate.set_result(fate)
