"""One queue of a worker: its breakers, how they stand, and which of them an error hits."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from worker.app.breaker import Breaker
from worker.engine.breakers.circuit import Circuit, Stands
from worker.engine.in_flight import Running
from worker.errors import BusinessError, Outage, Retry, Skip

CLOSED: Final = Circuit()


@dataclass(slots=True)
class Line:
    """One queue: its breakers, their circuits, and the item that tries, or may."""

    breakers: tuple[Breaker, ...]
    circuits: dict[str, Circuit] = field(default_factory=dict)
    candidate: Running | None = None
    probes: tuple[str, ...] = ()
    """The breakers for which the candidate was let through."""
    alone: bool = False
    """Whether nothing can be written into the queue's document."""
    was: Stands = "popped"

    def of(self, name: str) -> Circuit:
        return self.circuits.get(name, CLOSED)

    def stands(self, now: datetime) -> Stands:
        found = {self.of(breaker.name).stands(now) for breaker in self.breakers}
        return "shut" if "shut" in found else "probe" if "probe" in found else "popped"


def hit(breakers: tuple[Breaker, ...], error: BaseException) -> Breaker | None:
    """Return the breaker of which an error says that its system is away."""
    if isinstance(error, Outage):
        return next((one for one in breakers if one.name == error.breaker), None)
    if isinstance(error, BusinessError | Skip | Retry):
        return None
    return next((one for one in breakers if isinstance(error, one.on)), None)
