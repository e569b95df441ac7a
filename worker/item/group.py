"""Groups of items that end together, as data: their ids, their marks, what is known of them. Pure.

A member's state and result stand on the member itself and nowhere else, so nothing is counted that
could be counted twice: a group has ended when its members have.

1. A group's id is 19 hexadecimal digits, the first 8 the time. Member ``n`` has the id that follows
   from both: those of a group lie side by side in the index that each database has on ``_id``.
2. The item that comes after all members has the last of these ids, so there is one.
3. Where items get ids of the server's own, for want of rights, the mark in the payload's metadata
   says whose member it is.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeGuard

from worker.item.error_text import coded
from worker.item.group_desk import GroupMember, GroupProgress
from worker.item.metadata import GROUP, KEY
from worker.openiap.fields import number, object_of, text_of, whole
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject

DIGITS: Final = 19
PLACES: Final = 5
LAST: Final = "f" * PLACES
MOST_MEMBERS: Final = 100_000
MOST_QUEUES: Final = 100
MAX_KEY: Final = 500
MAX_MESSAGE: Final = 200
DELETED: Final = "DELETED"
"""The code of a member that is not there any more."""
TOO_LARGE: Final = "RESULT_TOO_LARGE"
"""The code of a member whose result finds no room beside the others'."""
MORE: Final = "MORE_ERRORS"
"""The code of the entry that says how many errors were left out."""
_HEX: Final = frozenset("0123456789abcdef")


def new_id(at: datetime) -> str:
    """Return the id of a new group."""
    return f"{int(at.timestamp()) & 0xFFFFFFFF:08x}{secrets.token_hex(6)[: DIGITS - 8]}"


def is_id(text: object) -> TypeGuard[str]:
    """Whether a text may be a group's id."""
    return isinstance(text, str) and len(text) == DIGITS and _HEX.issuperset(text)


def member_id(group: str, n: int) -> str:
    """Return the id of a member's item."""
    return f"{group}{n:0{PLACES}x}"


def then_id(group: str) -> str:
    """Return the id of the item that comes after all members."""
    return group + LAST


def place_in(group: str, item_id: str) -> int | None:
    """Return which member an item is by its id; None for one that is none."""
    place = item_id.removeprefix(group)
    if len(place) != PLACES or place == LAST or not _HEX.issuperset(place):
        return None
    return int(place, 16)


def ids_of(group: str, after: int = 0) -> JsonObject:
    """Return what the ids of members fulfil, from a place on."""
    return {"$gte": member_id(group, after), "$lt": then_id(group)}


def mark_of_member(group: str, n: int) -> JsonObject:
    """Return what a member's metadata say."""
    return {"id": group, "n": n}


def mark_of_then(group: str) -> JsonObject:
    """Return what the metadata of the item say that comes after all members."""
    return {"id": group, "then": True}


def group_in(mark: object) -> str:
    """Return the id of the group that a mark names; "" for no mark of a group."""
    id = object_of(mark).get("id")
    return id if is_id(id) else ""


def marked(payload: JsonObject, mark: JsonObject) -> JsonObject:
    """Return a payload with a group's mark."""
    return {**payload, KEY: {**object_of(payload.get(KEY)), GROUP: mark}}


def member_of(group: str, document: Mapping[str, Any]) -> GroupMember | None:
    """Read a member; None for what is none of this group's."""
    id = text_of(document.get("_id"))
    payload = object_of(document.get("payload"))
    mark = object_of(object_of(payload.get(KEY)).get(GROUP))
    n = place_in(group, id)
    if n is None:
        n = whole(mark.get("n")) if mark.get("id") == group else None
    if n is None or n < 0:
        return None
    state, queue = text_of(document.get("state")), text_of(document.get("wiq"))
    if state == SUCCESSFUL:
        if "payload" not in document:  # so large that it was not read
            error = _error(n, id, queue, TOO_LARGE, "its result is larger than this link carries")
            return GroupMember(n, id, queue, state, None, error)
        return GroupMember(n, id, queue, state, _result(payload, mark.get("got")))
    if state != FAILED:
        return GroupMember(n, id, queue, state)
    said = document.get("errormessage")
    code, message = coded(said if isinstance(said, str) else "")
    kind = text_of(document.get("errortype")) or "application"
    error = _error(n, id, queue, code, message or "it failed without a message", kind)
    return GroupMember(n, id, queue, state, None, error)


def deleted(group: str, n: int) -> GroupMember:
    """Return a member that is not there any more."""
    id = member_id(group, n)
    error = _error(n, id, "", DELETED, "its item was deleted before the group had ended")
    return GroupMember(n, id, "", "deleted", None, error)


def too_large(member: GroupMember, size: int, allowed: int) -> JsonObject:
    """Return the error of a result that finds no room."""
    said = f"its result of {size:,} bytes finds no room in the {allowed:,} of all results"
    return _error(member.n, member.item, member.queue, TOO_LARGE, said)


def more_errors(count: int) -> JsonObject:
    """Return the entry that says how many errors were left out."""
    said = f"{count:,} further errors find no room here; the group's members have them"
    return {"n": None, "item": "", "queue": "", "type": "", "code": MORE, "message": said}


def _result(payload: JsonObject, names: object) -> Any:
    """Return what of a payload is the result; all of it where nothing tells, as after another kind
    of worker."""
    if isinstance(names, str):
        return payload.get(names)
    if not isinstance(names, list):
        return {name: value for name, value in payload.items() if name != KEY}
    return {name: payload[name] for name in names if name in payload} if names else None


def _error(n: int, id: str, queue: str, code: str, message: str, kind: str = "") -> JsonObject:
    return {
        "n": n,
        "item": id,
        "queue": queue,
        "type": kind or "application",
        "code": code,
        "message": message[:MAX_MESSAGE],
    }


def known_progress(found: Mapping[str, Any]) -> GroupProgress:
    """Read what ``asdict`` of a progress gave."""
    return GroupProgress(
        id=text_of(found.get("id")),
        of=number(found.get("of")),
        done=number(found.get("done")),
        failed=number(found.get("failed")),
        over=found.get("over") is True,
        stopped=found.get("stopped") is True,
        whole=found.get("whole") is True,
        then=text_of(found.get("then")),
    )
