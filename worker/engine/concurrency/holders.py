"""Who holds a key: the holders, and the cell in which they stand."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from worker.engine.concurrency.waiting_line import Waiter
from worker.openiap.fields import objects_of, text_of, whole
from worker.openiap.workitem import JsonObject
from worker.state.cells import Version

KIND: Final = "key"


@dataclass(frozen=True, slots=True)
class Holder:
    """An attempt that may run.

    Attributes:
        woken: whoever wrote it wakes the item, should it wait.
        place: the id of the place that it had in the line, "" for one that never waited. The place
            goes when the item was woken.
    """

    item: str
    retries: int
    woken: bool = True
    place: str = ""

    def is_(self, other: "Waiter | Holder") -> bool:
        """Whether it is the same attempt."""
        return (self.item, self.retries) == (other.item, other.retries)


@dataclass(frozen=True, slots=True)
class Hold:
    """A holder as its worker has it, and the cell when it was seen last."""

    line: str
    key: str
    holder: Holder
    version: Version


def content_of(key: str, holders: Iterable[Holder]) -> JsonObject:
    """Return what a key's cell says."""
    return {
        "key": key,
        "holders": [
            {"item": one.item, "retries": one.retries, "woken": one.woken, "place": one.place}
            for one in holders
        ],
    }


def holders_of(version: Version | None) -> list[Holder]:
    """Read a key's cell; none where there is none, or no more."""
    if version is None or version.removed:
        return []
    found = []
    for one in objects_of(version.content.get("holders")):
        item, retries = text_of(one.get("item")), whole(one.get("retries", 0))
        if item and retries is not None:  # anything else is no holder, and keeps nobody out
            woken, place = one.get("woken") is True, text_of(one.get("place"))
            found.append(Holder(item, retries, woken, place))
    return found
