"""Presence: the document by which a worker tells the others that it lives, and what it holds.

One for each worker in ``openiap_workers``: who it is, its queues, its items in flight. Here is what
it says and how it is read; ``heartbeat.py`` writes it.
"""

import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

from worker.engine.fleet.turn_lengths import TurnLength, turn_length_of
from worker.item.attempt_id import AttemptId
from worker.openiap.fields import (
    Misfit,
    Told,
    duration_of,
    id_of,
    ignored,
    moment_of,
    number,
    object_of,
    text_of,
    texts_of,
    whole,
)
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject, Workitem

Value = TypeVar("Value")

COLLECTION: Final = "openiap_workers"
KIND: Final = "worker document"
TYPE: Final = "worker"
GONE: Final = "worker_gone"
"""The type of a document whose worker has said goodbye: it claims and works nothing any more, and
stays for an hour to tell what was done."""
SCHEMA: Final = 1
MAX_CLAIMS: Final = 5_000
MOST_SHOWN: Final = 100
FIELDS: Final[JsonObject] = dict.fromkeys(
    (
        "_id",
        "_type",
        "_modified",
        "lastseen.at",
        "lastseen.rounds",
        "lastseen.free",
        "lastseen.pops",
        "lastseen.turns",
        "rounds",
        "host",
        "pid",
        "version",
        "namespace",
        "queues",
        "items",
        "life",
        "lock",
        "started",
    ),
    1,
)
"""What ``peer_of`` reads, so that whatever else stands in a document does not travel."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker says of itself.

    Attributes:
        queues: how many items of each queue it works at once.
        life: drawn at random for each start.
        lock: the mark of the lock on its name (``LockFile.mark``), or "" without one.
    """

    id: str
    version: str
    queues: Mapping[str, int]
    namespace: str = ""
    life: str = ""
    lock: str = ""


class Claim(Protocol):
    """An item in flight; ``popped`` by ``uptime``."""

    @property
    def workitem(self) -> Workitem:
        """As it was popped."""

    @property
    def popped(self) -> float:
        """When, by ``uptime()``."""

    @property
    def alone(self) -> bool:
        """Whether nothing else is in flight until it has ended."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another worker (or this one), as its document tells.

    Attributes:
        silent: seconds since its last heartbeat, in the server's time.
        claims: the attempts that it holds.
        lastruns: when each was popped, as far as it told: an item that was handed back without
            costing an attempt is popped again under the same retries.
        alone: those with which nothing else was in flight.
        free: by queue, the slots that it may fill; None where it does not tell.
        namespace: its setting of that name; leadership is a matter of one namespace, claims count
            whatever theirs is.
        stamp: when the server stored its last heartbeat.
        rounds: how often it has looked after its queues; None where it does not say.
        idle: for how many seconds it was seen here without a further round.
        life: which life of that name it is, "" where it does not say.
        started: when that life began, by the clock of its machine.
        pops: by queue, how many seconds its quick pops take.
        turns: by queue, how long it says that the turns of pops are.
    """

    id: str
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    silent: float
    claims: frozenset[AttemptId]
    lastruns: Mapping[AttemptId, str] = field(default_factory=dict)
    alone: frozenset[AttemptId] = frozenset()
    namespace: str = ""
    stamp: datetime | None = None
    rounds: int | None = None
    idle: float = 0.0
    life: str = ""
    started: str = ""
    free: Mapping[str, int] | None = None
    pops: Mapping[str, float] = field(default_factory=dict)
    turns: Mapping[str, TurnLength] = field(default_factory=dict)

    def wants(self, queue: str) -> bool:
        """Whether it may pop a queue now, as far as it is known."""
        return queue in self.queues and (self.free is None or self.free.get(queue, 0) > 0)


def document_of(
    me: WorkerInfo,
    started: datetime,
    claims: Iterable[Claim],
    queues: Mapping[str, Any],
    *,
    rounds: int,
    first: bool,
    beat: int = 0,
    report: Mapping[str, Any] | None = None,
) -> JsonObject:
    """Return a worker's document as it is written now.

    OpenIAP answers a replacement that changes nothing, or ``lastseen`` alone, as if it were done,
    and does not write it, unless it keeps no history of the collection (openflow 1.5.10.62,
    ``DatabaseConnection.UpdateOne`` and ``SaveDiff``). So each heartbeat has a number of its own
    beside it; what is large and changes all the time is in ``lastseen``, which no history keeps.

    Args:
        started: when this life of it began, UTC.
        queues: what it tells of each queue: ``free``, how many items pops could bring it now,
            ``pops`` and ``turns`` (``turn_lengths.py``).
        rounds: how often it has looked after its queues in this life.
        first: whether it is the first of this life.
        beat: another number than in the heartbeat before.
        report: what it tells operators (``report.py``).
    """
    seen = {"at": iso(datetime.now(UTC)), "rounds": rounds, "free": {}, **queues}
    return {
        "_id": me.id,
        "_type": TYPE,
        "name": me.id,
        "schema": SCHEMA,
        "version": me.version,
        "namespace": me.namespace,
        "host": platform.node(),
        "pid": os.getpid(),
        "life": me.life,
        "lock": me.lock,
        "queues": list(me.queues),
        "slots": dict(me.queues),
        "started": iso(started),
        "state": "starting" if first else "working",
        "beat": beat,
        "lastseen": {**seen, "report": dict(report)} if report else seen,
        "items": [
            {
                "id": claim.workitem.id,
                "queue": claim.workitem.wiq,
                "retries": claim.workitem.retries,
                "lastrun": iso(claim.workitem.lastrun) if claim.workitem.lastrun else None,
                **({"alone": True} if claim.alone else {}),
            }
            for claim in claims
        ],
    }


def farewell_of(document: JsonObject) -> JsonObject:
    """Return what stays of a worker's document once it has ended and holds nothing."""
    return {**document, "_type": GONE, "state": "gone", "items": []}


def is_gone(document: Mapping[str, Any]) -> bool:
    """Whether a document's worker has said goodbye."""
    return document.get("_type") == GONE


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim as a document tells it: an attempt, its queue, when it was popped, and whether
    nothing else was in flight."""

    id: str
    retries: int
    queue: str = ""
    lastrun: datetime | None = None
    alone: bool = False

    @property
    def attempt(self) -> AttemptId:
        """The attempt's id."""
        return (self.id, self.retries)


def peer_of(document: Mapping[str, Any], now: datetime, told: Told = ignored) -> Peer | None:
    """Read a worker's document; None for one that is not readable (a newer version's, say).

    Args:
        now: the server's time.
        told: hears of what does not fit.
    """
    id = id_of(document)
    seen = object_of(document.get("lastseen"))
    stamp = moment_of(document.get("_modified")) or moment_of(seen.get("at"))
    if not id or stamp is None:
        why = "neither _modified nor lastseen is a moment" if id else "_id is no text"
        told(Misfit(KIND, id, why))
        return None
    if not isinstance(document.get("queues", []), list):
        told(Misfit(KIND, id, "queues is no list"))
    claims = claims_of(document, told)
    return Peer(
        id=id,
        host=text_of(document.get("host")),
        pid=number(document.get("pid")),
        version=text_of(document.get("version")),
        queues=texts_of(document.get("queues")),
        silent=(now - stamp).total_seconds(),
        claims=frozenset(claim.attempt for claim in claims),
        lastruns={
            claim.attempt: "" if claim.lastrun is None else iso(claim.lastrun) for claim in claims
        },
        alone=frozenset(claim.attempt for claim in claims if claim.alone),
        namespace=text_of(document.get("namespace")),
        stamp=stamp,
        life=text_of(document.get("life")),
        started=text_of(document.get("started")),
        rounds=whole(seen.get("rounds", document.get("rounds"))),
        free=_free_of(seen, id, told),
        pops=_readable(duration_of, seen.get("pops")),
        turns=_readable(turn_length_of, seen.get("turns")),
    )


def _free_of(seen: Mapping[str, Any], id: str, told: Told) -> dict[str, int] | None:
    free = seen.get("free")
    if not isinstance(free, Mapping):
        if free is not None:
            told(Misfit(KIND, id, "free is no object"))
        return None
    return {queue: number(count) for queue, count in free.items()}


def _readable(read: Callable[[object], Value | None], told: object) -> dict[str, Value]:
    """Return what is told by queue, as far as it fits: it serves courtesies alone."""
    found = {queue: read(value) for queue, value in object_of(told).items()}
    return {queue: value for queue, value in found.items() if value is not None}


def claims_of(document: Mapping[str, Any], told: Told = ignored) -> list[Claimed]:
    """Read what a worker's document claims; what is no claim is left out, and told of."""
    items = document.get("items", [])
    if not isinstance(items, list):
        told(Misfit(KIND, id_of(document), "items is no list"))
        return []
    found = []
    for item in items:
        retries = whole(item.get("retries", 0)) if isinstance(item, Mapping) else None
        if retries is None or not text_of(item.get("id")):
            told(Misfit(KIND, id_of(document), f"no claim: {str(item)[:MOST_SHOWN]}"))
            continue
        lastrun = moment_of(item.get("lastrun"))
        found.append(
            Claimed(
                item["id"],
                retries,
                text_of(item.get("queue")),
                lastrun,
                alone=item.get("alone") is True,
            )
        )
    return found
