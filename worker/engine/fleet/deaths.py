"""Deaths: the document that counts in how many worker deaths an item was in flight.

One for each such item, in the collection of the presence documents, deleted after a week. Whatever
of it does not fit counts as not there: what comes of that is one more attempt for the item, while
the take-over goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from worker.openiap.fields import Misfit, Told, id_of, ignored, texts_of, whole
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

TYPE: Final = "deaths"
KIND: Final = "deaths document"
MOST: Final = 100
"""Attempts and workers that are kept."""
WORKERS: Final = 10


@dataclass(frozen=True, slots=True)
class Deaths:
    """An item's: the attempts that a worker died with, and the workers that did."""

    item: str
    attempts: tuple[int, ...] = ()
    workers: tuple[str, ...] = ()

    def and_(self, attempt: int, worker: str) -> "Deaths":
        """Return them with one more; an attempt counts once, however often it is told."""
        attempts = self.attempts if attempt in self.attempts else (*self.attempts, attempt)
        return Deaths(self.item, attempts[-MOST:], (*self.workers, worker)[-WORKERS:])

    def document(self, queue: str, at: datetime) -> JsonObject:
        """Return how they are stored."""
        return {
            "_id": deaths_id(self.item),
            "_type": TYPE,
            "name": deaths_id(self.item),
            "item": self.item,
            "queue": queue,
            "attempts": list(self.attempts),
            "workers": list(self.workers),
            "at": iso(at),
        }


def deaths_id(item: str) -> str:
    """Return the ``_id`` of an item's document."""
    return f"deaths-{item}"


def deaths_of(item: str, document: Mapping[str, Any] | None, told: Told = ignored) -> Deaths:
    """Read an item's document; None for one that is not there."""
    if document is None:
        return Deaths(item)
    stored = document.get("attempts")
    if not isinstance(stored, list) or any(whole(one) is None for one in stored):
        told(Misfit(KIND, id_of(document), "attempts is no list of numbers"))
    listed = map(whole, stored) if isinstance(stored, list) else ()
    # A number that no queue gives an attempt is nobody's death.
    attempts = dict.fromkeys(one for one in listed if one is not None and one > 0)
    return Deaths(item, tuple(attempts)[-MOST:], texts_of(document.get("workers"))[-WORKERS:])
