"""What is written when an item's document goes back to new: without an attempt, at once or for a
while, or as the next attempt at a chosen time. Pure.

The fields of OpenIAP's that say who has an item go with it, and so does what this package
notes of the run that ends here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.engine.delivery.fence import CLOSING
from worker.item.outcome import WAITS, Outcome, Waits
from worker.openiap.fields import moment_of, number
from worker.openiap.values import iso
from worker.openiap.workitem import APPLICATION, NEW, JsonObject, Workitem

OWNER: Final = ("userid", "username")
BEHIND: Final = timedelta(seconds=1)
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


def handed_back(
    document: Mapping[str, Any], waits: Waits | None, now: datetime | None = None
) -> JsonObject:
    """Return an item's whole document as it is to be popped again: at once, or when it has waited.

    Args:
        document: as it is, in processing.
        waits: why it waits, or None.
        now: see ``due_already``.
    """
    back = {k: v for k, v in document.items() if k not in (*OWNER, CLOSING, WAITS)}
    if waits is None:
        return {**back, "state": NEW, "nextrun": due_already(document, now)}
    return {**back, "state": NEW, "nextrun": iso(waits.until), WAITS: waits.document()}


def taken_over(
    document: Mapping[str, Any], outcome: Outcome, now: datetime | None, *, raises: bool
) -> JsonObject:
    """Return an item's whole document as it is to be popped again, at once, after its worker died.

    Args:
        document: as it is, in processing.
        outcome: with the evidence for the item.
        now: see ``due_already``.
        raises: whether it gets the number of a next attempt: who still works this run, and is late,
            has another then.
    """
    return {
        **handed_back(document, None, now),
        "retries": number(document.get("retries")) + raises,
        "errormessage": outcome.message,
        "errorsource": outcome.source,
        "errortype": APPLICATION,
    }


def due_already(document: Mapping[str, Any], now: datetime | None = None) -> str:
    """Return a time that is over by the server's clock, whatever this machine's says.

    That is when the server itself stamped the item's pop; its clock may have been set back since.

    Args:
        document: an item's, with its ``lastrun``.
        now: the server's time, or None where it is not known.
    """
    known = [one for one in (moment_of(document.get("lastrun")), now) if one is not None]
    return iso(min(known, default=LONG_AGO) - BEHIND)


def handing_back(workitem: Workitem, now: datetime | None = None) -> JsonObject:
    """Return the change of a conditional update that hands an item back at once.

    Args:
        workitem: as popped.
        now: see ``due_already``.
    """
    lastrun = None if workitem.lastrun is None else iso(workitem.lastrun)
    return {
        "$set": {"state": NEW, "nextrun": due_already({"lastrun": lastrun}, now)},
        "$unset": dict.fromkeys((*OWNER, CLOSING, WAITS), ""),
    }


def taking_over(
    workitem: Workitem, outcome: Outcome, now: datetime | None, *, raises: bool
) -> JsonObject:
    """Return the change of a conditional update that puts an item back after its worker died.

    Args:
        workitem: as popped.
        outcome, now, raises: see ``taken_over``.
    """
    change = handing_back(workitem, now)
    change["$set"] |= {
        "retries": workitem.retries + raises,
        "errormessage": outcome.message,
        "errorsource": outcome.source,
        "errortype": APPLICATION,
    }
    return change


def parking(waits: Waits) -> JsonObject:
    """Return the same as a change for a conditional update. Its dates are converted by OpenIAP,
    unlike those of the condition (openflow 1.5.10.62, ``DatabaseConnection.UpdateDocument``)."""
    return {
        "$set": {"state": NEW, "nextrun": iso(waits.until), WAITS: waits.document()},
        "$unset": dict.fromkeys((*OWNER, CLOSING), ""),
    }


def retried(document: Mapping[str, Any], outcome: Outcome, at: datetime) -> JsonObject:
    """Return an item's whole document as its next attempt begins with it: what the server makes of
    a retry with this outcome, but for the time.

    Args:
        document: as it is, in processing.
        outcome: an application error.
        at: when the item is to be popped again, UTC.
    """
    back: JsonObject = {
        **handed_back(document, None),
        "nextrun": iso(at),
        "retries": number(document.get("retries")) + 1,
        "errormessage": outcome.message,
        "errorsource": outcome.source,
        "errortype": outcome.errortype,
    }
    return back if outcome.payload is None else {**back, "payload": outcome.payload}
