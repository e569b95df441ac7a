"""Cancelling an item, as what stands on it: no other document tells of it.

Who may update an item may cancel it; that the server checks. One that waits is failed at once. On
one that runs its message and source are set, which an update does whatever else happens: it neither
changes the state nor touches the payload, so an outcome that is written in the same moment stands.
The source names the attempt: what is left of an earlier one says nothing of a later.

Workers watch the collection of signals. So that they look at once, a note is written there, and
taken away again: what counts is on the item, and is found by a look as well.
"""

import uuid
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

from worker.errors import BusinessError, TimeLimitExceeded
from worker.item.error_text import clip, coded, in_short
from worker.openiap.fields import id_of, number, text_of
from worker.openiap.workitem import BUSINESS, FAILED, NEW, PROCESSING, JsonObject

CODE: Final = "CANCELLED"
NO_REASON: Final = "it was cancelled"
MAX_REASON: Final = 500
GIVEN_UP: Final = "its handler did not end, and was given up"
UNFINISHED: Final = (NEW, PROCESSING)
FIELDS: Final[JsonObject] = {
    "state": 1,
    "retries": 1,
    "errormessage": 1,
    "errorsource": 1,
    "errortype": 1,
}

NOTE: Final = "cancellation"
"""The type of a note that a look at an item is due now."""

Cancelling = Literal["cancelled", "stopping", "ended"]
"""It waited, and has failed; it runs, and is asked to end; it had ended."""


def cancelling(
    document: Mapping[str, Any], reason: str, states: Collection[str] = UNFINISHED
) -> tuple[Cancelling, JsonObject]:
    """Return what becomes of an item, and the fields to update; none for one that has ended.

    Args:
        document: its state and ``retries``.
        states: those that are meant; an item in another one is taken as ended.
    """
    state = document.get("state")
    if state not in states:
        return "ended", {}
    fields: JsonObject = {
        "errormessage": f"[{CODE}] {clip(reason or NO_REASON, MAX_REASON)}",
        "errortype": BUSINESS,
        "errorsource": mark_of(number(document.get("retries"))),
    }
    if state == NEW:
        return "cancelled", {**fields, "state": FAILED}
    return "stopping", fields


def cancelled_because(errormessage: object, errorsource: object, retries: int) -> str:
    """Return the reason for which this very attempt is cancelled, or ""; the mark is its source."""
    if not errorsource or text_of(errorsource) != mark_of(retries):
        return ""
    code, reason = coded(text_of(errormessage))
    return (reason if code == CODE else "") or NO_REASON


def cancelled_error(reason: str, ended: BaseException | None = None) -> BusinessError:
    """Return what an item fails with whose attempt was cancelled: the reason, and how its handler
    ended where it did not do so when it was asked.

    Args:
        ended: what the handler raised in the end; it stands behind what is returned.
    """
    if ended is None or (isinstance(ended, TimeLimitExceeded) and not ended.stack):
        return BusinessError(reason, code=CODE)  # it was ended as at its limit, and at once
    if isinstance(ended, TimeLimitExceeded):
        ended.args = (GIVEN_UP,)  # not for its limit
        how = GIVEN_UP
    else:
        how = f"asked to end, its handler raised {in_short(ended)}"
    error = BusinessError(f"{reason}; {how}", code=CODE)
    error.__cause__ = ended
    return error


def is_cancelled(document: Mapping[str, Any]) -> bool:
    """Whether an item has failed because it was cancelled while it waited."""
    retries = number(document.get("retries"))
    source, message = document.get("errorsource"), document.get("errormessage")
    return document.get("state") == FAILED and bool(cancelled_because(message, source, retries))


def note_of(document: Mapping[str, Any]) -> JsonObject:
    """Return the note for the worker of an item; it has no name, so it is no signal.

    Args:
        document: the item's id, queue and rights, which are those of the note as well.
    """
    acl = document.get("_acl")
    rights = {"_acl": acl} if isinstance(acl, list) and acl else {}
    id = f"{NOTE}-{uuid.uuid4()}"
    return {"_id": id, "_type": NOTE, "item": id_of(document), "wiq": document.get("wiq"), **rights}


def mark_of(retries: int) -> str:
    """Return the source that an item has while an attempt at it is cancelled."""
    return f"cancelled: attempt {retries + 1}"
