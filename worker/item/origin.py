"""Where the item of a chain comes from: which one OpenIAP copied, and what that one failed with.

OpenIAP itself makes the copy, of the payload, the name, the priority and the files; nothing in it
says whose copy it is. So the worker leaves a mark in the payload that is copied, beside the other
marks of its own (``metadata.py``), before the copy is made.

The mark stays on the finished item as well: taking it off would be one more message for each. It
names that item itself, so it is known there as none of its own, and what the item comes from stands
in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from worker.item.error_text import MAX_MESSAGE, clip, coded
from worker.item.metadata import HISTORY, KEY, ORIGIN
from worker.item.outcome import Outcome
from worker.openiap.fields import number, object_of, text_of
from worker.openiap.workitem import APPLICATION, BUSINESS, JsonObject, Workitem

ErrorKind = Literal["business", "application"]

MAX_SOURCE: Final = 4_000
"""Characters of a traceback that go along; the failed item has all of it."""
BEFORE: Final = "before"


@dataclass(frozen=True, slots=True)
class Origin:
    """The item that this one is a copy of.

    Attributes:
        id, queue: of that item.
        attempts: how many it took.
    """

    id: str
    queue: str
    attempts: int


@dataclass(frozen=True, slots=True)
class DeadLetter(Origin):
    """The failed item that this one is a copy of, in the queue for failed ones (``failed_wiq``).

    Attributes:
        kind: ``business`` (the item was wrong) or ``application`` (something around it was).
        message: what went wrong, without the code.
        code: of the error, or "".
        source: the traceback, its middle left out where it is long; or "".
    """

    kind: ErrorKind
    message: str
    code: str
    source: str


def mark_of(workitem: Workitem, outcome: Outcome) -> JsonObject:
    """Return the mark that the copy of an item is to carry.

    Args:
        workitem: as popped.
        outcome: with which it is finished, successful or failed.
    """
    mark: JsonObject = {
        "id": workitem.id,
        "queue": workitem.wiq,
        "attempts": workitem.retries + 1,
    }
    if outcome.kind == "successful":
        return mark
    code, message = coded(outcome.message)
    error: JsonObject = {"type": outcome.errortype or APPLICATION, "message": message}
    if code:
        error["code"] = code
    if outcome.source:
        error["source"] = clip(outcome.source, MAX_SOURCE)
    return {**mark, "error": error}


def mark_for(origin: Origin) -> JsonObject:
    """Return the mark of which an origin is read."""
    mark: JsonObject = {"id": origin.id, "queue": origin.queue, "attempts": origin.attempts}
    if not isinstance(origin, DeadLetter):
        return mark
    error = {"type": origin.kind, "message": origin.message}
    return {**mark, "error": {**error, "code": origin.code, "source": origin.source}}


def marked(payload: JsonObject, mark: JsonObject) -> JsonObject:
    """Return a payload with a mark, which keeps where the item itself comes from."""
    kept = object_of(payload.get(KEY))
    own = _own(kept.get(ORIGIN), mark["id"])
    new = {**mark, BEFORE: {k: v for k, v in own.items() if k != BEFORE}} if own else mark
    kept.pop(HISTORY, None)  # the copy has one of its own
    return {**payload, KEY: {**kept, ORIGIN: new}}


def origin_of(mark: object, item_id: str) -> Origin | None:
    """Return where an item comes from, by the mark in its payload; None where it is no copy, or
    the mark is none of this worker's."""
    found = _own(mark, item_id)
    id, queue = text_of(found.get("id")), text_of(found.get("queue"))
    if not id:
        return None
    attempts = max(1, number(found.get("attempts")))
    error = found.get("error")
    if not isinstance(error, Mapping):
        return Origin(id, queue, attempts)
    return DeadLetter(
        id,
        queue,
        attempts,
        "business" if error.get("type") == BUSINESS else "application",
        clip(text_of(error.get("message")), MAX_MESSAGE),
        text_of(error.get("code")),
        text_of(error.get("source")),
    )


def _own(mark: object, item_id: str) -> Mapping[str, Any]:
    """Return the mark that says where an item comes from; {} for none."""
    found = object_of(mark)
    if found.get("id") == item_id:
        return object_of(found.get(BEFORE))
    return found
