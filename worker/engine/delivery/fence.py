"""Whose attempt is it? Pure judgements over an item's document, before anything is written.

OpenIAP has no lease and no fence: the last writer wins (server.md, The cycle). Every retry and
every take-over raises ``retries``, so state ``processing`` with the same ``retries`` (and the same
``lastrun``, where both are known) names one attempt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from worker.engine.delivery.queue_rules import CHAINS
from worker.item.outcome import Outcome
from worker.openiap.fields import moment_of, number, text_of
from worker.openiap.values import parse_iso
from worker.openiap.workitem import FAILED, NEW, PROCESSING, SUCCESSFUL, JsonObject, Workitem

# The official client carries lastrun in whole seconds.
SAME_LASTRUN: Final = 1.001
MAX_SHOWN: Final = 300
CLOSING: Final = "openiap_worker_closing"
ENDS: Final = "ends"
WORKER: Final = "openiap_worker_name"
"""Under which an item shows who worked its last attempt, for people."""
PROJECTION: Final[JsonObject] = {
    "state": 1,
    "retries": 1,
    "lastrun": 1,
    "username": 1,
    "errormessage": 1,
    "errorsource": 1,
    "files": 1,
    **{field: 1 for fields in CHAINS.values() for field in fields},
    CLOSING: 1,
    WORKER: 1,
}

NEEDED: Final[JsonObject] = {"state": 1, "retries": 1, "lastrun": 1}
"""What tells whose attempt it is."""

Verdict = Literal["ours", "applied", "lost"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether an attempt may still be written back, and in words who has the item now."""

    verdict: Verdict
    holder: str = ""


def judge(
    document: Mapping[str, Any], workitem: Workitem, outcome: Outcome, *, sent: bool
) -> Judgement:
    """Compare an item's document with the attempt that is about to be written back.

    Args:
        document: the item as it is now, at least the fields of ``PROJECTION``.
        workitem: as it was popped.
        outcome: what is to be written.
        sent: whether it may have been written already (a timeout, a dropped link, a crash).
    """
    state = str(document.get("state", ""))
    retries = number(document.get("retries"))
    same = same_run(document.get("lastrun"), workitem.lastrun)
    if state == PROCESSING and retries == workitem.retries and same:
        return Judgement("ours")
    if sent and _applied(document, state, retries, workitem, outcome):
        return Judgement("applied")
    return Judgement("lost", holder_of(document))


def _applied(
    document: Mapping[str, Any], state: str, retries: int, workitem: Workitem, outcome: Outcome
) -> bool:
    if outcome.kind == "successful":
        if state != SUCCESSFUL or retries != workitem.retries:
            return False
        return same_run(document.get("lastrun"), workitem.lastrun)  # or it is the next owner's
    if outcome.kind == "released":
        if state == NEW and retries == workitem.retries:
            return True
        # After a death it bears the words; it may have been popped again since.
        said = bool(outcome.source) and document.get("errormessage") == outcome.message
        return said and retries in (workitem.retries, workitem.retries + 1)
    if state == FAILED and retries == workitem.retries:
        return str(document.get("errormessage", "")) == outcome.message
    if outcome.kind == "application" and retries == workitem.retries + 1:
        # Put back by us; it may have been popped again since.
        return str(document.get("errormessage", "")) == outcome.message
    return False


def same_run(stored: object, popped: datetime | None) -> bool:
    """Whether two readings of lastrun can be the same moment; an unknown one counts as the same."""
    if popped is None or not isinstance(stored, str) or not stored:
        return True
    try:
        moment = parse_iso(stored)
    except ValueError:
        return True
    return abs((moment - popped).total_seconds()) < SAME_LASTRUN


def holder_of(document: Mapping[str, Any]) -> str:
    """Say who has the item now, for a log line."""
    state = document.get("state") or "unknown"
    user = document.get("username")
    attempt = number(document.get("retries")) + 1
    by = closer_of(document, attempt - 1)
    who = f", closed by {by}" if by else f", user {user}" if user else ""
    if not by and (worker := text_of(document.get(WORKER))):
        who += f", worker {worker}"
    # A take-over leaves the names of both workers in the item's message.
    message = str(document.get("errormessage") or "")[:MAX_SHOWN]
    said = f'; its message: "{message}"' if message else ""
    return f"state {state}, attempt {attempt}{who}{said}"


def run_of(document: Mapping[str, Any]) -> int:
    """Return when an item was popped, in milliseconds since 1970; 0 where that is not known.

    ``retries`` alone does not name a run: an item that was handed back without costing an attempt,
    or put back to new by hand, is popped again under the same number. A number and not a date,
    since a server may turn the text of a date into something that it never compares equal to.
    """
    return run_at(moment_of(document.get("lastrun")))


def run_at(popped: datetime | None) -> int:
    """Return the same of a work item's ``lastrun``."""
    return 0 if popped is None else round(popped.timestamp() * 1000)


def closer_of(document: Mapping[str, Any], retries: int) -> str:
    """Return who claimed the right to close this very run, or ""."""
    closing = document.get(CLOSING)
    if (
        isinstance(closing, Mapping)
        and closing.get("retries") == retries
        and closing.get("run") == run_of(document)
    ):
        return str(closing.get("by", ""))
    return ""


def decided_of(document: Mapping[str, Any], retries: int) -> str:
    """Return the state in which this very run is decided to end, or "": its outcome stands on the
    item already, and only OpenIAP's own update for that state is left to be sent."""
    if not closer_of(document, retries):
        return ""
    ends = document[CLOSING].get(ENDS)
    return ends if ends in CHAINS else ""


def still_open(
    item_id: str, retries: int, run: int, by: str, over: Sequence[str] = ()
) -> JsonObject:
    """Return the condition under which a write still meets the run that it is meant for.

    Matching and changing are one atomic step in MongoDB (server.md, Conditional updates), so of a
    late writer and a rescuer just one gets a run. ``run`` is ``run_of`` the item, 0 where it is not
    known. The claim of one worker keeps all others out of its run: one that an earlier run left
    counts as none, and so do those of ``over``, which names dead workers. A run that is decided is
    closed to all. ``$ne`` holds for a missing field too, and so does null.

    Dates in a condition are text to OpenIAP, which is never equal to a date; one that is made in
    MongoDB is.

    The alternatives stand inside ``$and``: OpenIAP puts an ``$or`` of its own in the place of one
    that stands beside an ``_id`` of 24 digits, so a claim would match whoever had made it (openflow
    1.5.10.62, ``DatabaseConnection.UpdateDocument``).
    """
    parts: list[JsonObject] = [
        {
            "$or": [
                {f"{CLOSING}.retries": {"$ne": retries}},
                {f"{CLOSING}.run": {"$ne": run}},
                {f"{CLOSING}.by": {"$in": [by, *over]}, f"{CLOSING}.{ENDS}": None},
            ]
        }
    ]
    if run:
        parts.append({"$expr": {"$eq": ["$lastrun", {"$toDate": run}]}})
    return {"_id": item_id, "state": PROCESSING, "retries": retries, "$and": parts}


def closing(retries: int, run: int, by: str, ends: str = "") -> JsonObject:
    """Return what a claim leaves on the item: who closes which run, and in which state it is
    decided to end, where it is."""
    claim: JsonObject = {"retries": retries, "run": run, "by": by}
    return {**claim, ENDS: ends} if ends else claim


def closing_claim(
    item_id: str, retries: int, run: int, by: str, over: Sequence[str] = ()
) -> tuple[JsonObject, JsonObject]:
    """Return the condition and the change that claim the right to close one run."""
    condition = still_open(item_id, retries, run, by, over)
    return condition, {"$set": {CLOSING: closing(retries, run, by)}}
