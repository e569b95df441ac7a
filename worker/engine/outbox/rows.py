"""What the outbox keeps of an item, and its form as JSON text. No I/O.

Fields that a newer version added are ignored; those that an older one did not have get their
defaults.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast, get_args

from worker.item.new_item import FollowUp
from worker.item.outcome import UNCHANGED, Kind, Outcome
from worker.kinds import kind_of
from worker.openiap.fields import duration_of, moment_of, number, text_of, whole
from worker.openiap.values import DEPTH_ALLOWED, MAX_DEPTH, compact_text, depth_of, plain
from worker.openiap.workitem import JsonObject, Workitem

AROUND: Final = 10
"""Levels that a row has around a payload."""
_KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An item that is not settled yet.

    Attributes:
        workitem: as popped, without payload and files.
        popped_at: UTC.
        outcome: what is to be sent, or None while the handler had not ended.
        deaths: how many worker deaths this item was in flight in, as far as this outbox knows.
        accepted: the server has the outcome; what is left are its follow-up items.
    """

    item_id: str
    queue: str
    retries: int
    lastrun: datetime | None
    popped_at: datetime
    workitem: Workitem
    outcome: Outcome | None
    deaths: int
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """An outcome that the server would not have, or whose follow-up items (those that it names) it
    would not have; ``at`` is when that was refused, UTC."""

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


# Plain ASCII: a lone surrogate in a hostile text is none that SQLite takes.
_encode: Final = json.JSONEncoder(default=_anything, separators=(",", ":")).encode


def workitem_text(workitem: Workitem) -> str:
    """Return what a write-back and its fence need of a popped item."""
    lastrun = workitem.lastrun
    row = {
        "id": workitem.id,
        "name": workitem.name,
        "priority": workitem.priority,
        "wiq": workitem.wiq,
        "wiqid": workitem.wiqid,
        "retries": workitem.retries,
        "lastrun": lastrun.isoformat() if lastrun is not None else None,
        "username": workitem.username,
    }
    return compact_text(row) or _encode(row)


def workitem_from(text: str) -> Workitem:
    """Read what ``workitem_text`` wrote.

    Raises:
        ValueError: it is something else.
    """
    found = _object(text)
    id, retries = text_of(found.get("id")), whole(found.get("retries", 0))
    if not id or retries is None:
        raise ValueError("an item without id or attempt")
    return Workitem(
        id=id,
        name=text_of(found.get("name")),
        payload=None,
        priority=number(found.get("priority", 2)),
        lastrun=moment_of(found.get("lastrun")),
        state="processing",
        wiq=text_of(found.get("wiq")),
        wiqid=text_of(found.get("wiqid")),
        retries=retries,
        username=text_of(found.get("username")),
    )


def outcome_text(outcome: Outcome, accepted: bool = False, ran: float | None = None) -> str:
    """Return an outcome, payload and all, as JSON text.

    Args:
        accepted: the server has it; what is left are its follow-up items.
        ran: seconds that the handler took; None: as the outcome says.

    Raises:
        ValueError: the payload contains itself.
        RecursionError, ValueError: it is nested too deeply: what is written can be read.
    """
    ran = outcome.ran if ran is None else ran
    if outcome is UNCHANGED and ran is not None and not accepted:
        return f'{_UNCHANGED},"ran":{ran!r}}}'
    at, written = outcome.retry_at, outcome.written
    row: JsonObject = {
        "kind": outcome.kind,
        "message": outcome.message,
        "source": outcome.source,
        "retry_at": at.isoformat() if at is not None else None,
        "attachments": outcome.attachments,
    }
    if not written:
        row["payload"] = outcome.payload
    if outcome.pushes:
        row["pushes"] = [push.kept() for push in outcome.pushes]
    if accepted:
        row["accepted"] = True
    if ran is not None:
        row["ran"] = ran
    if outcome.error_class:
        row["error_class"] = outcome.error_class
    # What a handler gave may be anything, which the slower encoder knows.
    surely_json = (written or outcome.payload is None) and not outcome.pushes
    text = (compact_text(row) if surely_json else "") or _encode(row)
    if written:
        return f'{{"payload":{written.text},{text[1:]}'
    if depth_of(text) > MAX_DEPTH + AROUND:
        raise ValueError(f"nested too deep to be read again; {DEPTH_ALLOWED}")
    return text


_UNCHANGED: Final = outcome_text(UNCHANGED)[:-1]
"""Nearly every outcome, but for the seconds that it took."""


def outcome_from(text: str) -> Outcome:
    """Read what ``outcome_text`` wrote.

    Raises:
        ValueError: it is something else, or a kind that this version does not know.
    """
    found = _object(text)
    kind = found.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"unknown kind of outcome {str(kind)[:40]!r}")
    payload, pushes = found.get("payload"), found.get("pushes") or []
    if not isinstance(pushes, list):
        raise ValueError("follow-up items that are no list")
    return Outcome(
        kind=cast("Kind", kind),
        payload=payload if isinstance(payload, dict) else None,
        message=_text(found.get("message")),
        source=_text(found.get("source")),
        retry_at=moment_of(found.get("retry_at")),
        attachments=_attachments(found.get("attachments")),
        pushes=tuple(map(FollowUp.read, pushes)),
        ran=duration_of(found.get("ran")),
        error_class=text_of(found.get("error_class")),
    )


def is_accepted(text: str) -> bool:
    """Whether the server has an outcome that ``outcome_text`` wrote.

    Raises:
        ValueError: it is something else.
    """
    return _object(text).get("accepted") is True


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _attachments(value: object) -> tuple[tuple[str, str], ...]:
    """Read names and paths.

    Raises:
        ValueError: something else: a result without its files is none.
    """
    found = []
    for pair in value if isinstance(value, list) else [value] if value else []:
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(text_of, pair)):
            raise ValueError("an attachment that has no name or no path")
        found.append((pair[0], pair[1]))
    return tuple(found)


def moment(seconds: float) -> datetime:
    """Return Unix seconds as UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("nested deeper than can be read") from None
    if not isinstance(found, dict):
        raise ValueError(f"{kind_of(found)} instead of an object")
    return found
