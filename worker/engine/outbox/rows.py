"""What the outbox keeps of an item, and its form as JSON text. No I/O.

Fields that a newer version added are ignored; those that an older one did not have get their
defaults.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast, get_args

from worker.item.new_item import FollowUp
from worker.item.outcome import Kind, Outcome
from worker.openiap.values import parse_iso, plain
from worker.openiap.workitem import Workitem

_KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An item that is not settled yet.

    Attributes:
        workitem: as popped, without payload and files.
        popped_at: UTC.
        outcome: what is to be sent, or None while the handler had not ended.
        deaths: how many worker deaths this item was in flight in, as far as this outbox knows.
    """

    item_id: str
    queue: str
    retries: int
    lastrun: datetime | None
    popped_at: datetime
    workitem: Workitem
    outcome: Outcome | None
    deaths: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """An outcome that the server would not have; ``at`` is when it was refused, UTC."""

    item_id: str
    queue: str
    retries: int
    workitem: Workitem
    outcome: Outcome | None
    reason: str
    at: datetime


def _anything(value: object) -> Any:
    """Text is better than no outcome on disk."""
    try:
        return plain(value)
    except TypeError:
        return str(value)


# Plain ASCII: a lone surrogate in a hostile payload is no text that SQLite takes.
_encode: Final = json.JSONEncoder(default=_anything, separators=(",", ":")).encode


def workitem_text(workitem: Workitem) -> str:
    """Return what a write-back and its fence need of a popped item."""
    lastrun = workitem.lastrun
    return _encode(
        {
            "id": workitem.id,
            "name": workitem.name,
            "priority": workitem.priority,
            "wiq": workitem.wiq,
            "wiqid": workitem.wiqid,
            "retries": workitem.retries,
            "lastrun": lastrun.isoformat() if lastrun is not None else None,
            "username": workitem.username,
        }
    )


def workitem_from(text: str) -> Workitem:
    """Read what ``workitem_text`` wrote.

    Raises:
        ValueError: it is something else.
    """
    found = _object(text)
    lastrun = found.get("lastrun")
    return Workitem(
        id=str(found.get("id", "")),
        name=str(found.get("name", "")),
        payload=None,
        priority=int(found.get("priority", 2)),
        lastrun=parse_iso(lastrun) if isinstance(lastrun, str) else None,
        state="processing",
        wiq=str(found.get("wiq", "")),
        wiqid=str(found.get("wiqid", "")),
        retries=int(found.get("retries", 0)),
        username=str(found.get("username", "")),
    )


def outcome_text(outcome: Outcome) -> str:
    """Return an outcome, payload and all, as JSON text.

    Raises:
        ValueError: the payload contains itself.
        RecursionError: it is nested too deeply.
    """
    at = outcome.retry_at
    return _encode(
        {
            "kind": outcome.kind,
            "payload": outcome.payload,
            "message": outcome.message,
            "source": outcome.source,
            "retry_at": at.isoformat() if at is not None else None,
            "attachments": outcome.attachments,
            **({"pushes": [push.kept() for push in outcome.pushes]} if outcome.pushes else {}),
        }
    )


def outcome_from(text: str) -> Outcome:
    """Read what ``outcome_text`` wrote.

    Raises:
        ValueError: it is something else, or a kind that this version does not know.
    """
    found = _object(text)
    kind = found.get("kind")
    if kind not in _KINDS:
        raise ValueError(f"unknown kind of outcome {kind!r}")
    at = found.get("retry_at")
    payload = found.get("payload")
    return Outcome(
        kind=cast("Kind", kind),
        payload=payload if isinstance(payload, dict) else None,
        message=str(found.get("message", "")),
        source=str(found.get("source", "")),
        retry_at=parse_iso(at) if isinstance(at, str) else None,
        attachments=tuple((str(n), str(p)) for n, p in found.get("attachments") or ()),
        pushes=tuple(FollowUp.read(push) for push in found.get("pushes") or ()),
    )


def moment(seconds: float) -> datetime:
    """Return Unix seconds as UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__} instead of an object")
    return found
