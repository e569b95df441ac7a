"""An item that is cancelled while a run of it ends does not come again.

What would put it back into its queue (an application error, a sleep, a hand-back, a take-over) is
written only where nobody has cancelled this very attempt; else the item fails for that. A success
and a failure for good are told as they are: there is nothing left to cancel.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from worker.engine.delivery.delivery import Delivery
from worker.item.cancelled import CODE, cancelled_because, mark_of
from worker.item.failure_facts import without_error
from worker.item.outcome import NOTHING_RAISED, Outcome
from worker.openiap.fields import number
from worker.openiap.workitem import JsonObject

COMES_BACK: Final = ("application", "released")


def comes_back(outcome: Outcome) -> bool:
    """Whether an outcome puts its item back into the queue, as far as the queue lets it."""
    return outcome.kind in COMES_BACK


def not_cancelled(retries: int) -> JsonObject:
    """Return the part of a condition that holds where this attempt is not cancelled."""
    return {"errorsource": {"$ne": mark_of(retries)}}


def end_if_cancelled(delivery: Delivery, document: Mapping[str, Any]) -> None:
    """Let a delivery fail its item for good where this attempt is cancelled.

    Args:
        document: the item's, which is still in this run; at least the fields of ``PROJECTION``.
    """
    outcome = delivery.outcome
    if not comes_back(outcome):
        return
    retries = number(document.get("retries"))
    reason = cancelled_because(document.get("errormessage"), document.get("errorsource"), retries)
    if reason:
        delivery.outcome = replace(
            outcome,
            kind="business",
            message=f"[{CODE}] {reason}",
            source=without_error(outcome.source) or NOTHING_RAISED,
            retry_at=None,
            allowed=None,
            waits=None,
            error_class="BusinessError",
        )
