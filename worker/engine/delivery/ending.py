"""What one conditional update makes of an item: its outcome whole, or all of it but the last step.

OpenIAP's own update of an item has no condition, so one that is held up on its way and arrives
after the item was taken over overwrites the successor. A conditional one finds its run ended and
changes nothing. It runs no retry rule and no chain, so the retry rule is reckoned here, with every
field that OpenIAP would write; an item that is to be copied into another queue is *decided*: all
but the state is written, and the run is closed to everybody. What then is sent for the chain is the
same whoever sends it, however often and however late. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from worker.engine.delivery.cancellation import comes_back, not_cancelled
from worker.engine.delivery.fence import CLOSING, WORKER, closing, still_open
from worker.engine.delivery.queue_rules import CHAINS, QueueRules
from worker.engine.delivery.release import handing_back, parking, taking_over
from worker.item.metadata import KEY, ORIGIN, STEPS
from worker.item.origin import mark_of, marked
from worker.item.outcome import WAITS, Outcome
from worker.item.steps import FIELD, holds_any, is_apart, moved_apart, together
from worker.openiap.fields import object_of
from worker.openiap.values import iso
from worker.openiap.workitem import (
    APPLICATION,
    FAILED,
    NEW,
    SUCCESSFUL,
    JsonObject,
    Workitem,
    WorkitemFile,
)

ERROR: Final = ("errormessage", "errorsource", "errortype")
"""Of an earlier attempt: an item that succeeds has none any more. OpenIAP's own update cannot take
them away (server.md, Update)."""
STEPS_STORED: Final[JsonObject] = {FIELD: 1, f"payload.{KEY}.{STEPS}": 1}
GONE: Final = {"$in": [None, ""]}
"""Matches a field that is not there as well."""


@dataclass(slots=True)  # not frozen: one for each item, and freezing makes it twice as dear
class Run:
    """The run that ends.

    Attributes:
        lastrun: ``run_of`` the item.
        by: the worker that ends it.
        over: dead workers, whose claims to it count no more.
        files: the item's, as they were seen last; None where it has none at all.
        chained: the states for which the item itself names a queue; None where that is not known.
    """

    workitem: Workitem
    lastrun: int
    by: str
    over: Sequence[str] = ()
    files: Sequence[str] | None = ()
    chained: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run is to end.

    Attributes:
        state: the item's, afterwards.
        condition, change: of the conditional update.
        decided: whether OpenIAP's own update for that state is still to be sent.
        at: when the item is tried again, by this machine's clock.
    """

    state: str
    condition: JsonObject
    change: JsonObject
    decided: bool = False
    at: datetime | None = None


def state_after(outcome: Outcome, retries: int, rules: QueueRules) -> str:
    """Return the state that OpenIAP gives an item for an outcome (server.md, Update)."""
    if outcome.kind == "successful":
        return SUCCESSFUL
    if outcome.kind == "released":
        return NEW
    if outcome.kind == "application" and retries + 1 < rules.maxretries:
        return NEW
    return FAILED


def release_of(run: Run, outcome: Outcome, server_time: datetime | None, *, raises: bool) -> Ending:
    """Return how an item is handed back without costing an attempt: at once, parked, or after its
    worker died.

    Args:
        raises: see ``Delivery``.
    """
    workitem = run.workitem
    condition = still_open(workitem.id, workitem.retries, run.lastrun, run.by, run.over)
    condition |= not_cancelled(workitem.retries)
    if outcome.waits is not None:
        change = parking(outcome.waits)
    elif outcome.source:
        change = taking_over(workitem, outcome, server_time, raises=raises)
    else:
        change = handing_back(workitem, server_time)
    return Ending(NEW, condition, change)


def ending_of(
    run: Run,
    outcome: Outcome,
    rules: QueueRules,
    *,
    due: datetime,
    at: datetime,
    files: Sequence[WorkitemFile] = (),
) -> Ending | None:
    """Return how a run ends with an outcome that is no release.

    Args:
        rules: of the item's queue.
        due, at: when it is tried again, if it is; by the server's clock, and by this machine's.
        files: stored ones, to be attached.

    Returns:
        None where an item has several files of a name that is attached.
    """
    workitem, retries = run.workitem, run.workitem.retries
    state = state_after(outcome, retries, rules)
    decided = state in rules.chained or (run.chained is not None and state in run.chained)
    condition = still_open(workitem.id, retries, run.lastrun, run.by, run.over)
    if comes_back(outcome):
        condition |= not_cancelled(retries)
    fields: JsonObject = {
        **_told(outcome),
        "wiq": rules.name,
        "wiqid": rules.id,
        "_version": 0,
        WORKER: run.over[-1] if run.over else run.by,
    }
    if rules.acl:
        fields["_acl"] = list(rules.acl)
    unset: JsonObject = {"nextrun": ""}
    if state == SUCCESSFUL:
        unset |= dict.fromkeys(ERROR, "")
        if FAILED in rules.chained:  # where a dead letter was made of it, its steps were moved here
            unset[FIELD] = ""
    if decided:
        _mark(fields, workitem, outcome)
        fields[CLOSING] = closing(retries, run.lastrun, run.by, state)
    else:
        fields["state"] = state
        if state in CHAINS and run.chained is None:
            condition |= dict.fromkeys(CHAINS[state], GONE)
    if state == NEW:
        fields |= {"retries": retries + 1, "nextrun": iso(due), "userid": None, "username": None}
        unset = {CLOSING: "", WAITS: ""}
    if files:
        placed = _placed(run.files, files)
        if placed is None:
            return None
        condition |= placed[0]
        fields |= placed[1]
    return Ending(
        state, condition, {"$set": fields, "$unset": unset}, decided, at if state == NEW else None
    )


def with_steps_apart(ending: Ending, item_id: str, document: Mapping[str, Any]) -> Ending:
    """Return an ending whose copy has none of the item's steps, where no payload is written.

    Args:
        document: the item's, with the fields of ``STEPS_STORED``.
    """
    kept = object_of(object_of(object_of(document.get("payload")).get(KEY)).get(STEPS))
    if not holds_any(item_id, kept):
        return ending
    if is_apart(kept):
        kept = together(item_id, kept, document.get(FIELD))
    change = dict(ending.change)
    change["$set"] = {
        **change["$set"],
        FIELD: kept,
        f"payload.{KEY}.{STEPS}": moved_apart(item_id),
    }
    return replace(ending, change=change)


def _told(outcome: Outcome) -> JsonObject:
    """Return what an outcome says; what is empty keeps what is stored."""
    told: JsonObject = {}
    if outcome.payload is not None:
        told["payload"] = outcome.payload
    if outcome.kind != "successful" and outcome.message:
        told |= {"errormessage": outcome.message, "errortype": outcome.errortype or APPLICATION}
    if outcome.source:
        told["errorsource"] = outcome.source
    return told


def _mark(fields: JsonObject, workitem: Workitem, outcome: Outcome) -> None:
    """Let the copy of an item say whose it is. A payload that is not read here keeps the rest of
    its marks; which item it comes from itself is lost then, and only to an item that is put back by
    hand."""
    mark = mark_of(workitem, outcome)
    if "payload" in fields:
        kept = object_of(fields["payload"].get(KEY))
        if kept.get(STEPS):  # they are this item's, and the copy's readers may be others
            fields[FIELD] = kept[STEPS]
            kept[STEPS] = moved_apart(workitem.id)
            fields["payload"] = {**fields["payload"], KEY: kept}
        fields["payload"] = marked(fields["payload"], mark)
    else:
        fields[f"payload.{KEY}.{ORIGIN}"] = mark


def _placed(
    present: Sequence[str] | None, files: Sequence[WorkitemFile]
) -> tuple[JsonObject, JsonObject] | None:
    """Return the condition and the fields that attach files, each in the place of the one of its
    name, or behind all others."""
    entries = {
        file.filename: {"name": file.filename, "filename": file.filename, "_id": file.id}
        for file in files
    }
    if present is None:
        return {"files": None}, {"files": list(entries.values())}
    condition: JsonObject = {"files": {"$size": len(present)}}
    fields: JsonObject = {}
    behind = len(present)
    for name, entry in entries.items():
        places = [place for place, one in enumerate(present) if one == name]
        if len(places) > 1:
            return None
        if places:
            condition[f"files.{places[0]}.name"] = name
            fields[f"files.{places[0]}"] = entry
        else:
            fields[f"files.{behind}"] = entry
            behind += 1
    return condition, fields
