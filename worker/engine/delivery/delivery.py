"""An outcome on its way to the server, and how that ended."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from worker.item.outcome import Outcome
from worker.openiap.workitem import FAILED, SUCCESSFUL, Workitem, WorkitemFile
from worker.uptime import uptime

T = TypeVar("T")

DeliveryResult = Literal["applied", "gone", "fenced", "refused"]


@dataclass(slots=True)
class Delivery:
    """An outcome on its way.

    Attributes:
        workitem: as popped; its payload is not needed.
        popped: ``uptime`` of the pop; None for one of an earlier life.
        epoch: the pool's epoch at the pop.
        sent: whether it may have reached the server already.
        over: dead workers, whose claims to this attempt count no more.
        unfit: whether a conditional update would not carry it as it is, or was refused.
        on_overdue: called once a refusal lasts for ``overdue_after`` seconds (None: half a minute),
            so that the item need not hold a slot meanwhile.
        raises: whether an item that is put back after a death gets a higher number: its worker may
            be alive, and late.
        reads: how often its payload was asked for in vain.
        by: who ends the run where that is not who had it; "" else.
        copy_of: the item that this one is a copy of, as far as that is known.
        ran: seconds that the handler took, where they are known and the outcome does not say.
        anew: whether what stands there as the item's history was refused, so that it begins anew.
        took: how many seconds the server took for the last write of it; 0 where none was answered.
        steps_apart: whether steps of the item stand in a field of its document.
        patient: whether a refusal is waited out here; who comes back later anyway is told at once.
    """

    workitem: Workitem
    outcome: Outcome
    popped: float | None = None
    epoch: int = -1
    sent: bool = False
    over: tuple[str, ...] = ()
    raises: bool = False
    patient: bool = True
    on_overdue: Callable[[], None] | None = None
    overdue_after: float | None = None
    refused_since: float | None = None
    given_up: bool = False
    unfit: bool = False
    uploaded: list[WorkitemFile] | None = None
    reads: int = 0
    by: str = ""
    copy_of: str = ""
    ran: float | None = None
    anew: bool = False
    took: float = 0.0
    steps_apart: bool = False

    async def timed(self, write: Awaitable[T]) -> T:
        """Make a write of this outcome, and take its time."""
        since = uptime()
        answer = await write
        self.took = uptime() - since
        return answer


@dataclass(slots=True)  # not frozen: one for each item, and freezing makes it twice as dear
class Delivered:
    """How a delivery ended; ``nextrun`` is set where the server put the item back, ``parked`` says
    that it waits until then for its key or a rate, ``unpushed`` why follow-up items could not be
    pushed, ``cost`` that handing back took an attempt, ``took`` is its delivery's."""

    result: DeliveryResult
    reason: str = ""
    state: str = ""
    nextrun: datetime | None = None
    unpushed: str = ""
    cost: bool = False
    parked: bool = False
    took: float = field(default=0.0, compare=False)


def succeeded(outcome: Outcome, delivered: Delivered) -> bool:
    """Return whether the server has this outcome as a success."""
    return (
        outcome.kind == "successful"
        and delivered.result == "applied"
        and delivered.state in ("", SUCCESSFUL)
    )


def has_ended(outcome: Outcome, delivered: Delivered) -> bool:
    """Return whether the item may have ended by this outcome; the server alone knows for certain
    where its answer tells no state."""
    if delivered.result not in ("applied", "fenced"):
        return False
    return outcome.kind != "released" and delivered.state in ("", SUCCESSFUL, FAILED)


def due_for_certain(nextrun: datetime | None) -> datetime | None:
    """Return when an item is due for certain: the official client cuts a time to its second, and
    who looked then would find nothing and know of no other time."""
    if nextrun is None or nextrun.microsecond:
        return nextrun
    return nextrun + timedelta(seconds=1)
