"""Why an item waits although it was popped once: data that a write-back puts on it. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

WAITS: Final = "openiap_worker_waits"
MAX_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Waits:
    """A parked item's reason.

    Attributes:
        why: for people: which key, or which rate.
        until: when it is popped again whatever happens, UTC.
        unparked_until: the same for an item that cannot be parked, where that is another.
    """

    why: str
    until: datetime
    unparked_until: datetime | None = None

    def document(self) -> JsonObject:
        """Return what stands on the item while it waits."""
        return {"why": self.why[:MAX_SHOWN], "until": iso(self.until)}
