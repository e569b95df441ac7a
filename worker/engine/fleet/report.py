"""The report: what a worker tells operators, in its presence document.

1. It stands under ``lastseen``, of whose changes OpenIAP keeps no history, and goes with the
   heartbeats that there are: no message is sent for it.
2. Here is what it says and how it is read; ``engine/reporter.py`` makes it. Other workers never ask
   for it: it would be most of what they read.
3. Whatever of it does not fit counts as not told. Sizes are bounded where it is made, and again
   where it is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from worker.engine.fleet.presence import KIND, Claimed, Peer, claims_of, peer_of
from worker.openiap.fields import (
    Misfit,
    Told,
    duration_of,
    ignored,
    moment_of,
    number,
    object_of,
    objects_of,
    text_of,
)
from worker.openiap.workitem import JsonObject
from worker.telemetry.minutes import Minute, hours_of

COUNTS: Final = (
    "popped",
    "successful",
    "failed",
    "retried",
    "released",
    "parked",
    "rescued",
    "lost_pops",
)
"""Of ``QueueCounts``, since the start; those that are 0 are left out."""
MOST_QUEUES: Final = 200
MOST_PROGRESS: Final = 50
"""Items whose progress is told."""
MOST_ANSWERS: Final = 10
MOST_TEXT: Final = 200
"""Characters of a reason or a progress."""
MOST_STACKS: Final = 6_000
"""Characters of the stacks of what runs."""


@dataclass(frozen=True, slots=True)
class QueueReport:
    """A queue as one worker has it.

    Attributes:
        timeout: seconds that the handler may take, or None.
        per_second: attempts that ended, over the last minute.
        counts: since its start, by ``COUNTS``.
        trouble: why the last pop did not work, or why nothing is popped; "" for nothing.
        hour: its minutes, newest first; None for nothing done.
    """

    name: str
    handler: str = ""
    slots: int = 0
    free: int = 0
    timeout: float | None = None
    per_second: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    trouble: str = ""
    hour: tuple[Minute | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command.

    Attributes:
        by: who gave it, as the server says; byid: the user's id.
        done: whether it was done; text: what of it, or why not.
    """

    id: str
    action: str
    done: bool
    text: str = ""
    by: str = ""
    byid: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker tells.

    Attributes:
        peer: what it tells other workers.
        claimed: its items in flight.
        progress: of items, by their ids: a share from 0 to 1, and a text.
        began: when this life began, by its machine's clock.
        outbox: items that are not settled on disk.
        not_ready: why it is not, by the name of what is amiss.
        quiet: why and by whom it takes no items; "" where it does.
        newest: when the newest minute of the hours began, in the server's time.
        mailbox: the id of the document where its commands go; "" for none.
    """

    peer: Peer
    queues: tuple[QueueReport, ...]
    claimed: tuple[Claimed, ...] = ()
    progress: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    began: datetime | None = None
    outbox: int = 0
    not_ready: Mapping[str, str] = field(default_factory=dict)
    quiet: str = ""
    level: str = ""
    newest: datetime | None = None
    mailbox: str = ""
    answers: tuple[Answer, ...] = ()


def report_of(document: Mapping[str, Any], now: datetime, told: Told = ignored) -> Report | None:
    """Read a worker's document whole; None for one that is not readable.

    Args:
        now: the server's time.
        told: hears of what does not fit.
    """
    peer = peer_of(document, now, told)
    if peer is None:
        return None
    given = object_of(document.get("lastseen")).get("report")
    if given is not None and not isinstance(given, Mapping):
        told(Misfit(KIND, peer.id, "report is no object"))
    report = object_of(given)
    into, hours = hours_of(report.get("minutes"))
    newest = None if peer.stamp is None else peer.stamp - timedelta(seconds=into)
    slots, queues = object_of(document.get("slots")), object_of(report.get("queues"))
    return Report(
        peer=peer,
        queues=tuple(
            _queue_of(
                name,
                object_of(queues.get(name)),
                slots=number(slots.get(name)),
                free=(peer.free or {}).get(name, 0),
                hour=tuple(hours.get(name, ())),
            )
            for name in peer.queues[:MOST_QUEUES]
        ),
        claimed=tuple(claims_of(document)),
        progress=_progress_of(report.get("progress")),
        began=moment_of(document.get("started")),
        outbox=number(report.get("outbox")),
        not_ready={
            name: text
            for name, value in list(object_of(report.get("not_ready")).items())[:MOST_QUEUES]
            if (text := text_of(value))
        },
        quiet=text_of(report.get("quiet")),
        level=text_of(report.get("level")),
        newest=newest,
        mailbox=text_of(report.get("mailbox")),
        answers=tuple(_answer_of(one) for one in objects_of(report.get("answers"))[:MOST_ANSWERS]),
    )


def _queue_of(
    name: str, told: JsonObject, *, slots: int, free: int, hour: tuple[Minute | None, ...]
) -> QueueReport:
    return QueueReport(
        name=name,
        handler=text_of(told.get("handler")),
        slots=slots,
        free=free,
        timeout=duration_of(told.get("timeout")),
        per_second=duration_of(told.get("per_second")) or 0.0,
        counts={count: value for count in COUNTS if (value := number(told.get(count)))},
        trouble=text_of(told.get("trouble")),
        hour=hour,
    )


def _progress_of(told: object) -> dict[str, tuple[float, str]]:
    found: dict[str, tuple[float, str]] = {}
    for item, value in list(object_of(told).items())[:MOST_PROGRESS]:
        if isinstance(value, list) and len(value) == 2:
            share = duration_of(value[0])
            if share is not None and share <= 1:
                found[item] = (share, text_of(value[1]))
    return found


def _answer_of(told: JsonObject) -> Answer:
    return Answer(
        id=text_of(told.get("id")),
        action=text_of(told.get("action")),
        done=told.get("done") is True,
        text=text_of(told.get("text")),
        by=text_of(told.get("by")),
        byid=text_of(told.get("byid")),
        at=moment_of(told.get("at")),
    )
