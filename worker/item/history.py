"""The timeline of an item: what became of each run, and who changed the item. Pure.

It stands on the item's document under ``openiap_worker_history`` or, where a document cannot be
changed on a condition, beside the other marks in the payload (``metadata.py``). Below that stands,
under the item's id,

- ``last``: the latest entries, ``first``: the first ones that put the item back, ``waits``: the
  latest of those that only say that it waited, and what woke it. What is in the middle is dropped;
- ``count``, ``parked``: how many there ever were, of runs and of waits.

OpenIAP copies a finished item whole into the next queue of a chain. What stands under another id
is that item's, so it is none of the copy's, and the copy's first entry takes it away.

Others can write all of it: it is read by ``history_of`` alone, which takes whatever JSON holds.
"""

import hashlib
import heapq
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from worker.openiap.fields import YEARS, duration_of, number, object_of, text_of
from worker.openiap.workitem import JsonObject

FIELD: Final = "openiap_worker_history"
USUAL: Final = 20
MOST: Final = 200
"""Entries that the setting allows."""
MOST_READ: Final = 2 * MOST
REFUSED: Final = (FIELD, "must be an array", "non-numeric")
"""What MongoDB names where something else stands in the place of a timeline."""
LONGEST: Final = 200
"""Characters of a text in an entry."""
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

What = Literal[
    "succeeded",
    "failed",
    "retry",
    "handed back",
    "waits",
    "taken over",
    "put back",
    "edited",
    "priority",
    "moved",
    "signalled",
    "cancelled",
]
WHATS: Final[frozenset[str]] = frozenset(get_args(What))
OF_WAITS: Final[tuple[What, ...]] = ("waits", "signalled")
"""What only says that the item waited, and why no longer."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened to an item.

    Attributes:
        what: a run ended as ``succeeded``, ``failed``, ``retry`` (to be tried again),
            ``handed back`` or ``waits`` (neither costs an attempt), or its worker was gone and it
            was ``taken over``; or somebody ``put back``, ``edited``, ``moved``, ``cancelled`` it
            or changed its ``priority``, or ``signalled``, and it was woken.
        at: when that was, by the server's clock as far as it is known; UTC.
        by: the worker, or the user.
        attempt: 1 for the first; 0 where it was none.
        start: of the run, by the server's clock.
        seconds: that the handler took.
        kind: of the error: ``business`` or ``application``.
        error: the first line of its message, without the code.
        again: when it is tried again.
        why: it waits, was handed back or taken over; or what was changed.
    """

    what: What
    at: datetime
    by: str = ""
    attempt: int = 0
    start: datetime | None = None
    seconds: float | None = None
    kind: str = ""
    error_class: str = ""
    code: str = ""
    error: str = ""
    again: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """How many entries of each list are kept, of so many in all."""

    first: int
    last: int
    waits: int

    @classmethod
    def of(cls, limit: int) -> "Share":
        """Return how a limit is shared out."""
        quarter = limit // 4
        return cls(quarter, limit - 2 * quarter, quarter)


def written(entry: Entry) -> JsonObject:
    """Return an entry as it is stored: moments as milliseconds, since OpenIAP makes dates of
    texts; nothing that says nothing."""
    found: JsonObject = {"what": entry.what, "at": milliseconds(entry.at)}
    if entry.by:
        found["by"] = entry.by[:LONGEST]
    if entry.attempt:
        found["attempt"] = entry.attempt
    if entry.start is not None:
        found["start"] = milliseconds(entry.start)
    if entry.seconds is not None:
        found["seconds"] = round(entry.seconds, 3)
    if entry.kind:
        found["kind"] = entry.kind
    if entry.error_class:
        found["class"] = entry.error_class[:LONGEST]
    if entry.code:
        found["code"] = entry.code[:LONGEST]
    if entry.error:
        found["error"] = first_line(entry.error)
    if entry.again is not None:
        found["again"] = milliseconds(entry.again)
    if entry.why:
        found["why"] = first_line(entry.why)
    return found


def read(found: object) -> Entry | None:
    """Read what ``written`` gave; None for anything else."""
    if not isinstance(found, Mapping):
        return None
    what, at = found.get("what"), moment_in(found.get("at"))
    if not isinstance(what, str) or what not in WHATS or at is None:
        return None
    return Entry(
        what,  # type: ignore[arg-type]
        at,
        by=_text(found.get("by")),
        attempt=max(0, number(found.get("attempt"))),
        start=moment_in(found.get("start")),
        seconds=duration_of(found.get("seconds")),
        kind=_text(found.get("kind")),
        error_class=_text(found.get("class")),
        code=_text(found.get("code")),
        error=_text(found.get("error")),
        again=moment_in(found.get("again")),
        why=_text(found.get("why")),
    )


@dataclass(frozen=True, slots=True)
class History:
    """What is known of an item.

    Attributes:
        entries: in the order in which it happened.
        left_out: how many others there were.
        gap: before which of the entries those were, as far as that can be said; None: nowhere.
    """

    entries: tuple[Entry, ...] = ()
    left_out: int = 0
    gap: int | None = None


def history_of(item_id: str, *places: object) -> History:
    """Return what stands on an item, and nothing of what stands there of others.

    Args:
        places: what its document has under ``FIELD``, and what its payload's marks have.
    """
    lists: list[list[Entry]] = []
    total = 0
    behind: Entry | None = None
    for place in places:
        own = object_of(object_of(place).get(key_of(item_id)))
        first, last, waits = (list(_entries(own, name)) for name in ("first", "last", "waits"))
        new = [one for one in last if one not in first]
        together = [*first, *new, *waits]
        told = _count(own, "count") + _count(own, "parked")
        here = len(set(together))
        total += max(told, here) - here
        if behind is None and new and told > here:
            behind = new[0]
        lists += [[*first, *new], waits]
    # Within a list they are in the order in which they were written, whatever the clocks said.
    entries = tuple(dict.fromkeys(heapq.merge(*lists, key=lambda one: one.at)))
    gap = entries.index(behind) if behind is not None else None
    return History(entries, total, gap)


def pushed(item_id: str, entry: Entry, limit: int, before: str = "") -> JsonObject:
    """Return the operators that add an entry in a conditional update; {} where none are kept.

    Args:
        before: the id of the item that this one is a copy of: what stands there of it goes.
    """
    if limit < 1:
        return {}
    share, own, one = Share.of(limit), f"{FIELD}.{key_of(item_id)}", written(entry)
    lists: JsonObject = {}
    if entry.what in OF_WAITS:
        if share.waits:
            lists[f"{own}.waits"] = {"$each": [one], "$slice": -share.waits}
        counted = f"{own}.parked"
    else:
        lists[f"{own}.last"] = {"$each": [one], "$slice": -share.last}
        if share.first and entry.what != "succeeded":
            lists[f"{own}.first"] = {"$each": [one], "$slice": share.first}
        counted = f"{own}.count"
    change: JsonObject = {"$inc": {counted: 1}}
    if lists:
        change["$push"] = lists
    if before and before != item_id:
        change["$unset"] = {f"{FIELD}.{key_of(before)}": ""}
    return change


def with_operators(change: JsonObject, more: Mapping[str, JsonObject]) -> JsonObject:
    """Return an update that has other operators as well."""
    return {**change, **{name: {**change.get(name, {}), **more[name]} for name in more}}


def refused(text: str, item_id: str) -> bool:
    """Whether an update was refused for what stands in the place of an item's timeline."""
    return f"{{{key_of(item_id)}:" in text or any(one in text for one in REFUSED)


def added(found: object, item_id: str, entry: Entry, limit: int) -> JsonObject:
    """Return what is to stand under the key after an entry, where the whole of it is written.

    Args:
        found: what stands there now, whatever that is.
    """
    share, key = Share.of(limit), key_of(item_id)
    own = object_of(object_of(found).get(key))
    lists = {name: list(_entries(own, name)) for name in ("first", "last", "waits")}
    count, parked = _count(own, "count"), _count(own, "parked")
    if entry.what in OF_WAITS:
        parked += 1
        lists["waits"] = [*lists["waits"], entry]
    else:
        count += 1
        lists["last"] = [*lists["last"], entry]
        if entry.what != "succeeded":
            lists["first"] = [*lists["first"], entry]
    parks = len(lists["waits"])
    kept: JsonObject = {
        "first": [written(one) for one in lists["first"][: share.first]],
        "last": [written(one) for one in lists["last"][-share.last :]],
        "waits": [written(one) for one in lists["waits"][max(0, parks - share.waits) :]],
        "count": count,
        "parked": parked,
    }
    return {key: {name: value for name, value in kept.items() if value}}


def runs(entries: Sequence[Entry], gap: int | None = None) -> list[int | None]:
    """Return for each entry which run of its attempt it is; None for what is none, and where what
    is left out may have been runs of the same attempt.

    Args:
        gap: before which entry some are left out.
    """
    found: list[int | None] = []
    seen: dict[int, int] = {}
    unknown = 0
    for place, entry in enumerate(entries):
        if place == gap:
            unknown = entry.attempt
        if not entry.attempt:
            found.append(None)
            continue
        seen[entry.attempt] = seen.get(entry.attempt, 0) + 1
        found.append(None if entry.attempt <= unknown else seen[entry.attempt])
    return found


def key_of(item_id: str) -> str:
    """Return the name that an item's history has: its id, where a field can be called so."""
    if _ID.fullmatch(item_id):
        return item_id
    return hashlib.sha256(item_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def first_line(text: str) -> str:
    """Return the first line of a text that says something, of bounded length."""
    line = text.lstrip()[: 4 * LONGEST].partition("\n")[0].rstrip()
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def milliseconds(moment: datetime) -> int:
    """Return a moment as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def _entries(own: Mapping[str, Any], name: str) -> Iterator[Entry]:
    found = own.get(name)
    for one in found[-MOST_READ:] if isinstance(found, list) else ():
        entry = read(one)
        if entry is not None:
            yield entry


def _count(own: Mapping[str, Any], name: str) -> int:
    return max(0, number(own.get(name)))


def moment_in(found: object) -> datetime | None:
    """Read milliseconds since 1970; None for what is no moment."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    try:
        moment = datetime.fromtimestamp(found / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment if moment.year in YEARS else None


def _text(found: object) -> str:
    return first_line(text_of(found))
