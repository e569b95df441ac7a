"""Deaths: the document that counts in how many worker deaths an item was in flight.

One for each such item, in the collection of the presence documents, deleted after a week. Whatever
of it does not fit counts as not there: what comes of that is one more run for the item, while the
take-over goes on.

A death says little of those that were in flight with others: the worker may have been killed from
outside, or by one of the others. It says much of an item that was alone; ``takeover.py`` decides
what follows, and ``engine/isolation.py`` sees to it that a suspect is alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from worker.engine.fleet.presence import COLLECTION
from worker.openiap.fields import Misfit, Told, id_of, ignored, texts_of, whole
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.reader import Reader
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

TYPE: Final = "deaths"
KIND: Final = "deaths document"
MOST: Final = 100
"""Deaths that are kept."""
WORKERS: Final = 10
SECOND: Final = 1000
"""Milliseconds."""
FIELDS: Final[JsonObject] = {"runs": 1, "alone": 1, "raised": 1, "attempts": 1, "workers": 1}
MARK: Final = "openiap-worker: put back, worker deaths: "
"""Begins the errorsource of an item whose worker was gone; it comes with every pop."""


@dataclass(frozen=True, slots=True)
class Deaths:
    """An item's.

    Attributes:
        runs: those that a worker died with, by when each was popped (milliseconds since 1970).
        alone: those of them in which nothing else was in flight.
        raised: those of them after which the item came back with a higher number; the worker may
            have been alive. These numbers are given back where attempts are counted.
        attempts: what a version that counted attempts has told.
        workers: the workers that died, the last ones.
    """

    item: str
    runs: tuple[int, ...] = ()
    alone: tuple[int, ...] = ()
    raised: tuple[int, ...] = ()
    attempts: tuple[int, ...] = ()
    workers: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """In how many deaths it was in flight."""
        return len(self.runs) + len(self.attempts)

    def and_(self, run: int, worker: str, *, alone: bool = False, raised: bool = False) -> "Deaths":
        """Return them with one more; a run counts once, however often and by whomever it is told,
        and as alone only where nobody knows better."""
        known = next((one for one in self.runs if _same(one, run)), None)
        if known is not None:
            stays = tuple(one for one in self.alone if alone or one != known)
            return replace(self, alone=stays)
        return replace(
            self,
            runs=(*self.runs, run)[-MOST:],
            alone=(*self.alone, run)[-MOST:] if alone else self.alone,
            raised=(*self.raised, run)[-MOST:] if raised else self.raised,
            workers=(*self.workers, worker)[-WORKERS:] if worker else self.workers,
        )

    def document(self, queue: str, at: datetime) -> JsonObject:
        """Return how they are stored."""
        return {
            "_id": deaths_id(self.item),
            "_type": TYPE,
            "name": deaths_id(self.item),
            "item": self.item,
            "queue": queue,
            "runs": list(self.runs),
            "alone": list(self.alone),
            "raised": list(self.raised),
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
    runs = _numbers(document, "runs", told, least=0)
    alone = _numbers(document, "alone", told, least=0)
    raised = _numbers(document, "raised", told, least=0)
    return Deaths(
        item,
        runs,
        tuple(one for one in alone if one in runs),
        tuple(one for one in raised if one in runs),
        # A number that no queue gives an attempt is nobody's death.
        _numbers(document, "attempts", told, least=1),
        texts_of(document.get("workers"))[-WORKERS:],
    )


async def read_deaths(pool: Pool, item: str, told: Told = ignored) -> Deaths:
    """Return what is counted for an item; of a document that is too large, nothing is.

    Raises:
        OpenIAPError: it cannot be read.
    """
    reader = Reader(pooled_client(pool), KIND, told)
    found = await reader.query(COLLECTION, {"_id": deaths_id(item)}, FIELDS, top=1)
    return deaths_of(item, found[0] if found else None, told)


def mark_of(total: int) -> str:
    """Return what an item that is put back bears: it is seen at the pop, without asking anybody."""
    return f"{MARK}{total}"


def marked(errorsource: str) -> int:
    """Return the deaths that an item's mark tells of; 0 for an item without one."""
    if not errorsource.startswith(MARK):
        return 0
    digits = errorsource[len(MARK) :][:4]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _numbers(document: Mapping[str, Any], field: str, told: Told, *, least: int) -> tuple[int, ...]:
    """Read whole numbers, each once, the last ones; other versions leave fields out."""
    stored = document.get(field, [])
    if not isinstance(stored, list) or any(whole(one) is None for one in stored):
        told(Misfit(KIND, id_of(document), f"{field} is no list of numbers"))
    listed = map(whole, stored) if isinstance(stored, list) else ()
    return tuple(dict.fromkeys(one for one in listed if one is not None and one >= least))[-MOST:]


def _same(one: int, other: int) -> bool:
    """Whether two moments of a pop can be one: the official client cuts them to the second."""
    if one % SECOND and other % SECOND:
        return one == other
    return one // SECOND == other // SECOND
