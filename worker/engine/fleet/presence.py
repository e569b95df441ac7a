"""Presence: the document by which a worker tells the others that it lives, and what it holds.

One for each worker in ``openiap_workers``: who it is, its queues, its items in flight. Here is what
it says and how it is read; ``heartbeat.py`` writes it.
"""

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from worker.item.attempt_id import AttemptId
from worker.openiap.values import iso, number, parse_iso
from worker.openiap.workitem import JsonObject, Workitem

COLLECTION: Final = "openiap_workers"
SCHEMA: Final = 1
MAX_CLAIMS: Final = 5_000


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker says of itself.

    Attributes:
        queues: how many items of each queue it works at once.
    """

    id: str
    version: str
    queues: Mapping[str, int]
    namespace: str = ""


class Claim(Protocol):
    """An item in flight, as the document tells of it."""

    @property
    def workitem(self) -> Workitem:
        """As it was popped."""

    @property
    def popped(self) -> float:
        """When, by ``time.monotonic()``."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another worker (or this one), as its document tells.

    Attributes:
        silent: seconds since its last heartbeat, in the server's time.
        claims: the attempts that it holds.
        lastruns: when each was popped, as far as it told: an item that was handed back without
            costing an attempt is popped again under the same retries.
        namespace: its setting of that name; leadership is a matter of one namespace, claims count
            whatever theirs is.
    """

    id: str
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    silent: float
    claims: frozenset[AttemptId]
    lastruns: Mapping[AttemptId, str] = field(default_factory=dict)
    namespace: str = ""


def document_of(me: WorkerInfo, started: datetime, claims: Iterable[Claim]) -> JsonObject:
    """Return a worker's document as it is written now.

    Args:
        started: when this life of it began, UTC.
    """
    return {
        "_id": me.id,
        "_type": "worker",
        "name": me.id,
        "schema": SCHEMA,
        "version": me.version,
        "namespace": me.namespace,
        "host": platform.node(),
        "pid": os.getpid(),
        "queues": list(me.queues),
        "slots": dict(me.queues),
        "started": iso(started),
        "heartbeat": iso(datetime.now(UTC)),
        "items": [
            {
                "id": claim.workitem.id,
                "queue": claim.workitem.wiq,
                "retries": claim.workitem.retries,
                "lastrun": iso(claim.workitem.lastrun) if claim.workitem.lastrun else None,
            }
            for claim in claims
        ],
    }


def peer_of(document: Mapping[str, Any], now: datetime) -> Peer | None:
    """Read a worker's document; None for one that is not readable (a newer version's, say).

    Args:
        now: the server's time.
    """
    stamp = document.get("_modified") or document.get("heartbeat")
    try:
        silent = (now - parse_iso(str(stamp))).total_seconds()
    except ValueError:
        return None
    items = document.get("items")
    lastruns = {
        (str(item.get("id")), number(item.get("retries"))): str(item.get("lastrun") or "")
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
    }
    queues = document.get("queues")
    return Peer(
        id=str(document.get("_id", "")),
        host=str(document.get("host", "")),
        pid=number(document.get("pid")),
        version=str(document.get("version", "")),
        queues=tuple(str(q) for q in queues) if isinstance(queues, list) else (),
        silent=silent,
        claims=frozenset(lastruns),
        lastruns=lastruns,
        namespace=str(document.get("namespace") or ""),
    )
