"""An item in flight, and how long the items of a handler take."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from worker.engine.concurrency.gate import Admission
from worker.engine.delivery.delivery import Delivered
from worker.item.item import Item
from worker.item.origin import origin_of
from worker.item.trace import Trace
from worker.openiap.workitem import Workitem
from worker.telemetry.spans import ItemSpan

Stage = Literal["preparing", "admitting", "handling", "delivering"]

WEIGHT: Final = 0.1
ENOUGH: Final = 5
"""Runs from which on an estimate is given."""


def _nothing() -> None:
    """Nobody counts slots."""


@dataclass(slots=True, eq=False)
class Running:
    """One item in flight.

    Attributes:
        popped: ``uptime`` of the pop; ``popped_at`` is the same moment in UTC.
        epoch: the pool's epoch at the pop.
        interrupted: the worker is stopping and has asked for this item back.
        on_loop: the handler is a coroutine; it can block the loop.
        alone: nothing else is in flight in this process until it has ended.
        leaving: its handler has ended, and it holds no slot any more.
        overdue: the server refuses its outcome for long; it holds no slot any more.
        error: what the handler raised; kept only for who asks for it.
        failed_as: the code or the class of that, for metrics; "" for none.
        error_class: its class; "" where that is not known apart.
        ran: seconds that its handler took, once it has ended.
        span: of the attempt, where this process makes some.
        cancelled: the reason for which somebody has cancelled it, or "".
        steps_apart: steps of it stand in a field of its document.
        group: the id of the group that it is a member of, or "".
        large: what it holds, or what came of it, is worked in a thread.
    """

    workitem: Workitem
    popped: float
    popped_at: datetime
    epoch: int
    stage: Stage = "preparing"
    item: Item | None = None
    task: asyncio.Task[Delivered] | None = None
    interrupted: bool = False
    on_loop: bool = False
    alone: bool = False
    leaving: bool = False
    may_leave: Callable[[], bool] = bool
    overdue: bool = False
    on_overdue: Callable[[], None] = _nothing
    admission: Admission | None = None
    error: BaseException | None = None
    span: ItemSpan | None = None
    failed_as: str = ""
    error_class: str = ""
    ran: float | None = None
    large: bool = False
    cancelled: str = ""
    steps_apart: bool = False
    group: str = ""

    @property
    def trace(self) -> Trace | None:
        """Where in a trace it is worked."""
        if self.span is not None:
            return self.span.trace
        return None if self.item is None else self.item.trace

    @property
    def due(self) -> float | None:
        """When it was due, where its push said that: in seconds since 1970."""
        item = self.item
        return item.metadata.due if item is not None and item.has_metadata else None

    @property
    def copy_of(self) -> str:
        """The id of the item that a chain copied; "" where it is no copy, or that is not known."""
        item = self.item
        if item is None or not item.has_metadata or item.metadata.origin is None:
            return ""
        found = origin_of(item.metadata.origin, self.workitem.id)
        return "" if found is None else found.id

    def leave(self) -> None:
        """Give up the slot where that may be: the handler has ended."""
        if not self.leaving and self.ran is not None:
            self.leaving = self.may_leave()

    def become_overdue(self) -> None:
        """Give up the slot: the outcome is on disk, and the server refuses it for long."""
        if not (self.overdue or self.leaving):
            self.overdue = True
            self.on_overdue()

    def interrupt(self) -> None:
        """Ask the handler to end; asked again, give it up. Its item is handed back.

        Past the handler this does nothing: an outcome is on its way.
        """
        if self.stage in ("admitting", "handling") and self.task is not None:
            self.interrupted = True
            self.task.cancel()

    def forget_cancellations(self) -> None:
        """The interrupt was meant for the handler alone; the delivery after it goes on."""
        while self.task is not None and self.task.cancelling():
            self.task.uncancel()


class DurationEstimate:
    """How long a handler takes, learnt while it works: a running mean and deviation in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = 0.0
        self._deviation = 0.0

    def add(self, seconds: float) -> None:
        """Learn from one run."""
        self.count += 1
        if self.count == 1:
            self._mean = seconds
            return
        off = seconds - self._mean
        self._mean += WEIGHT * off
        self._deviation += WEIGHT * (abs(off) - self._deviation)

    def remaining(self, ran: float) -> float | None:
        """Return how long a run will still take; None when that cannot be said.

        Args:
            ran: seconds that it has run so far.
        """
        if self.count < ENOUGH:
            return None
        likely = self._mean - self._deviation  # cautious: only those that surely take longer
        return likely - ran if likely > ran else None
