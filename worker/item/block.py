"""What stands behind an item that a program has taken, and how its block was left."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from worker.errors import TimeLimitExceeded
from worker.item.item import Item

T = TypeVar("T")

Fate = Literal["", "successful", "failed", "new", "lost"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a block was left: with an error, back to its queue (``released``), or done.

    ``at`` is when its block said so (``time.monotonic``); None where somebody else did.
    """

    result: Any = None
    error: BaseException | None = None
    released: str | None = None
    at: float | None = None


class Block(Protocol):
    """What stands behind a taken item; of any thread."""

    @property
    def item(self) -> Item:
        """The item as it is worked over there."""

    @property
    def left(self) -> float | None:
        """Seconds of its time; None without a limit."""

    def enter(self, stop: Callable[[], object] | None = None) -> None:
        """The block begins. Past its time it is stopped by ``stop``, which is called from another
        thread; without one it is stopped in its thread."""

    def leave(self) -> type[BaseException] | None:
        """It is not stopped from now on; returns what it was stopped with, if it was."""

    def over_there(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Run a coroutine where the item is worked."""

    def end(self, ending: Ending) -> "concurrent.futures.Future[Fate]":
        """Say how it was left, the first time; what became of the item then."""

    def too_long(self) -> TimeLimitExceeded:
        """Return the error of a block that was stopped: past its time, or cancelled."""


async def over(block: Block, work: Coroutine[Any, Any, T]) -> T:
    """Wait on this loop for what is done where the item is worked."""
    return await asyncio.wrap_future(block.over_there(work))
