"""Cancelling an item, as what stands on it: no other document tells of it.

Who may update an item may cancel it; that the server checks. One that waits is failed at once. On
one that runs its message and source are set, which an update does whatever else happens: it neither
changes the state nor touches the payload, so an outcome that is written in the same moment stands.
The source names the attempt: what is left of an earlier one says nothing of a later.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from worker.item.error_text import clip, coded
from worker.openiap.fields import number, text_of
from worker.openiap.workitem import BUSINESS, FAILED, NEW, PROCESSING, JsonObject

CODE: Final = "CANCELLED"
NO_REASON: Final = "it was cancelled"
MAX_REASON: Final = 500
FIELDS: Final[JsonObject] = {
    "state": 1,
    "retries": 1,
    "errormessage": 1,
    "errorsource": 1,
    "errortype": 1,
}

Cancelling = Literal["cancelled", "stopping", "ended"]
"""It waited, and has failed; it runs, and is asked to end; it had ended."""


def cancelling(document: Mapping[str, Any], reason: str) -> tuple[Cancelling, JsonObject]:
    """Return what becomes of an item, and the fields to update; none for one that has ended.

    Args:
        document: its state and ``retries``.
    """
    state = document.get("state")
    if state not in (NEW, PROCESSING):
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


def is_cancelled(document: Mapping[str, Any]) -> bool:
    """Whether an item has failed because it was cancelled while it waited."""
    retries = number(document.get("retries"))
    source, message = document.get("errorsource"), document.get("errormessage")
    return document.get("state") == FAILED and bool(cancelled_because(message, source, retries))


def mark_of(retries: int) -> str:
    """Return the source that an item has while an attempt at it is cancelled."""
    return f"cancelled: attempt {retries + 1}"
