"""Taking items: one with ``take``, one after another with ``items``, for programs with a loop.

Who pops them and writes them back is handed in (``Pulls``): that is the worker's engine, which
stands above this room.
"""

import asyncio
import concurrent.futures
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Protocol

from worker.durations import Duration, seconds
from worker.durations import text as duration_text
from worker.errors import WorkerError
from worker.item.block import Block
from worker.item.taken import TakenItem

WAIT: Final[Duration] = "30s"
"""How long ``take`` waits for an item unless it is told."""
UNTIL_EMPTY: Final[Duration] = 0
"""How long ``items`` waits."""
TIMEOUT: Final[Duration] = "1h"
"""How long a block may take unless it is told; as for handlers."""


class NoItem(WorkerError, TimeoutError):
    """No item came in time.

    Attributes:
        queue: that was asked.
        empty: whether there was none; else the queue could not be looked at.
    """

    def __init__(self, queue: str, wait: float, trouble: str = "", *, empty: bool) -> None:
        self.queue = queue
        self.empty = empty
        when = f"within {duration_text(wait)}" if wait else "now"
        text = f"no item of {queue} {when}"
        super().__init__(f"{text}: {trouble}" if trouble else text)


@dataclass(eq=False, frozen=True, slots=True)
class Wanted:
    """One item that somebody waits for.

    Attributes:
        wait: seconds; 0 looks once, None waits for ever.
        timeout: seconds that its block may take; None for any time.
        thread: of who waits.
    """

    queue: str
    wait: float | None
    timeout: float | None
    thread: int = field(default_factory=threading.get_ident)


class Pulls(Protocol):
    """Who pops items for programs, and writes them back; of any thread."""

    def ask(self, wanted: Wanted) -> "concurrent.futures.Future[Block]":
        """Wait for an item.

        Raises, by the future:
            NoItem: none came in time.
            QueueNotFound, RightsMissing: none will.
            AccessDenied, StateError: this program cannot be a worker.
        """

    def forget(self, wanted: Wanted) -> None:
        """Nobody waits for it any more; an item that came all the same goes back."""

    async def close(self) -> None:
        """Write back what was left, and pop no more."""


def wanted(queue: str, wait: Duration | None, timeout: Duration | None) -> Wanted:
    """Return what is asked for.

    Raises:
        ValueError: a queue or a time that cannot be; the text says what is allowed.
    """
    if not isinstance(queue, str) or not queue.strip():
        raise ValueError(f"queue = {queue!r}; allowed: the name of a work item queue.")
    limit = None if timeout is None else seconds(timeout, "timeout")
    if limit == 0:
        raise ValueError(f"timeout = {timeout!r}; allowed: more than 0, or None for any time.")
    return Wanted(queue, None if wait is None else seconds(wait, "wait"), limit)


class Taking:
    """``take``, to use in ``async with``."""

    def __init__(self, pulls: Pulls, asked: Wanted) -> None:
        self._pulls = pulls
        self._asked = asked
        self._item: TakenItem | None = None

    async def __aenter__(self) -> TakenItem:
        item = await next_item(self._pulls, self._asked)
        self._item = await item.__aenter__()
        return self._item

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> bool:
        item, self._item = self._item, None
        return item is not None and await item.__aexit__(kind, error, frames)


class Items(AsyncIterator[TakenItem]):
    """``items``, to use in ``async for``: going on to the next one says that the last one is done.

    A loop that is left in another way says nothing of its last item: where that was not decided,
    and had no ``async with`` of its own, it counts as an application error.
    """

    def __init__(self, pulls: Pulls, asked: Wanted) -> None:
        self._pulls = pulls
        self._asked = asked
        self._last: TakenItem | None = None

    def __aiter__(self) -> "Items":
        return self

    async def __anext__(self) -> TakenItem:
        last, self._last = self._last, None
        if last is not None:
            await last.settle()
        try:
            self._last = await next_item(self._pulls, self._asked)
        except NoItem as none:
            if none.empty:
                raise StopAsyncIteration from None
            raise
        return self._last

    async def aclose(self) -> None:
        """Leave the loop, and wait until the last item is settled."""
        last, self._last = self._last, None
        if last is not None:
            await last.give_up()

    def __del__(self) -> None:
        """The loop was left."""
        if self._last is not None:
            self._last.give_up_soon()


async def next_item(pulls: Pulls, asked: Wanted) -> TakenItem:
    """Wait for an item on this loop; where the wait is cancelled, none is lost."""
    asked = Wanted(asked.queue, asked.wait, asked.timeout)  # of this thread, and of this wait
    try:
        return TakenItem(await asyncio.wrap_future(pulls.ask(asked)))
    except BaseException:
        pulls.forget(asked)
        raise


class ItemTaking(ABC):
    """The part of a producer that takes items."""

    @property
    @abstractmethod
    def pulls(self) -> Pulls:
        """Who pops items.

        Raises:
            NoProducer: nobody does.
        """

    def take(
        self, queue: str, *, wait: Duration | None = WAIT, timeout: Duration | None = TIMEOUT
    ) -> Taking:
        """Take one item of a queue, with the promises that a worker gives::

            async with producer.take("invoices", wait="30s", timeout="5m") as item:
                item.result = await book(item.payload)

        Left quietly it is successful; an error decides as in a handler. ``BusinessError``,
        ``ApplicationError``, ``Retry`` and ``Skip`` end with the block, all others go on.

        Args:
            wait: for an item: seconds, or text; 0 looks once, None waits for ever.
            timeout: past this the block is stopped, and the item an application error.

        Raises:
            NoItem: none came, on entering; QueueNotFound, RightsMissing: none can.
            ValueError: a time that is none.
            NoProducer: see ``pulls``.
        """
        return Taking(self.pulls, wanted(queue, wait, timeout))

    def items(
        self, queue: str, *, wait: Duration | None = UNTIL_EMPTY, timeout: Duration | None = TIMEOUT
    ) -> Items:
        """Take items one after another: ``async for item in producer.items("invoices"):``; going on
        to the next one says that the last one is done.

        Args:
            wait: the loop ends when none came for so long; 0 is the end of the queue, None never.
            timeout: of each item; its own ``async with item:`` is what can be stopped.

        Raises:
            NoItem: the queue could not be looked at, in the loop; else as ``take``.
        """
        return Items(self.pulls, wanted(queue, wait, timeout))
