"""What a change of many items makes of each of them. Pure.

Each action says which states it touches, which fields it has to see, and what it changes; how that
is written, so that an item which changed meanwhile is left alone, is in ``batch.py``.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from worker.engine.delivery.fence import CLOSING
from worker.engine.delivery.release import OWNER
from worker.item.cancelled import cancelling
from worker.item.metadata import KEY
from worker.item.new_item import Push
from worker.item.outcome import WAITS
from worker.item.push import ContractError
from worker.management.errors import AppError, ConflictError
from worker.openiap.fields import moment_of, number, objects_of, text_of
from worker.openiap.values import MAX_DEPTH, depth_of, iso, json_text
from worker.openiap.workitem import FAILED, NEW, PROCESSING, SUCCESSFUL, JsonObject
from worker.producer.producer import Checks

SEEN: Final[JsonObject] = {
    "_created": 1,
    "_modified": 1,
    "errormessage": 1,
    "errortype": 1,
    "files": 1,
    "lastrun": 1,
    "name": 1,
    "nextrun": 1,
    "priority": 1,
    "retries": 1,
    "state": 1,
    "username": 1,
    "wiq": 1,
}
"""What is read of each item, by every action."""


@dataclass(frozen=True, slots=True)
class Change:
    """Fields of an item's document that are set, and such that are taken away."""

    set: JsonObject
    unset: tuple[str, ...] = ()

    def update(self) -> JsonObject:
        """Return it as a conditional update carries it."""
        unset = {"$unset": dict.fromkeys(self.unset, "")} if self.unset else {}
        return {"$set": self.set, **unset}

    def on(self, document: Mapping[str, Any]) -> JsonObject:
        """Return a whole document with it."""
        kept = {name: value for name, value in document.items() if name not in self.unset}
        return {**kept, **self.set}

    def stands_on(self, document: Mapping[str, Any]) -> bool:
        """Say whether a document has it."""
        if any(document.get(name) is not None for name in self.unset):
            return False
        return all(_stands(document.get(name), name, value) for name, value in self.set.items())


class Action(Protocol):
    """What is to be done with items.

    Attributes:
        name: for people: "retry".
        states: that it touches.
        usual: those where nobody asks for any.
        projection: the fields that it sees.
        deletes: it is no change, but the end of the item.
    """

    @property
    def name(self) -> str: ...
    @property
    def states(self) -> tuple[str, ...]: ...
    @property
    def usual(self) -> tuple[str, ...]: ...
    @property
    def projection(self) -> JsonObject: ...
    @property
    def deletes(self) -> bool: ...

    def change(self, document: Mapping[str, Any]) -> Change:
        """Return what becomes of an item.

        Raises:
            AppError: it cannot be done with this one; the message says why.
        """


@dataclass(frozen=True, slots=True)
class Retry:
    """Items back to new, with one attempt at least.

    Args:
        due: when, by the server's clock.
        spread: seconds from then over which items are spread, each at a place of its own that does
            not depend on when it is asked for.
    """

    due: datetime
    spread: float = 0.0
    name: str = "retry"
    states: tuple[str, ...] = (FAILED, SUCCESSFUL)
    usual: tuple[str, ...] = (FAILED,)
    projection: JsonObject = field(default_factory=lambda: SEEN)
    deletes: bool = False

    def change(self, document: Mapping[str, Any]) -> Change:
        """Return the item as OpenIAP's own retry leaves it (server.md, Update)."""
        at = self.due + timedelta(seconds=self.spread * place_of(str(document["_id"])))
        return Change(
            {"state": NEW, "retries": number(document.get("retries")) + 1, "nextrun": iso(at)},
            (*OWNER, CLOSING, WAITS),
        )


@dataclass(frozen=True, slots=True)
class Cancel:
    """Items that fail where they wait, and are asked to end where they run.

    That is no change of a document: OpenIAP has to run the chain of what fails, and the worker of
    what runs has to be told (``cancelling.py``).
    """

    reason: str = ""
    name: str = "cancel"
    states: tuple[str, ...] = (NEW, PROCESSING)
    usual: tuple[str, ...] = (NEW, PROCESSING)
    projection: JsonObject = field(default_factory=lambda: SEEN)
    deletes: bool = False

    def change(self, document: Mapping[str, Any]) -> Change:
        """Return what stands on an item once it is cancelled."""
        return Change(cancelling(document, self.reason)[1])


@dataclass(frozen=True, slots=True)
class Delete:
    """Items with their files; none that somebody may be working."""

    name: str = "delete"
    states: tuple[str, ...] = (NEW, FAILED, SUCCESSFUL)
    usual: tuple[str, ...] = (NEW, FAILED, SUCCESSFUL)
    projection: JsonObject = field(default_factory=lambda: SEEN)
    deletes: bool = True

    def change(self, document: Mapping[str, Any]) -> Change:
        """Return nothing; the item goes."""
        return Change({})


@dataclass(frozen=True, slots=True)
class Move:
    """Items into another queue, under their ids and with that queue's rights.

    Args:
        acl: the queue's; None where this user does not see it.
    """

    to: str
    to_id: str
    acl: list[JsonObject] | None
    name: str = "move"
    states: tuple[str, ...] = (NEW, FAILED)
    usual: tuple[str, ...] = (NEW, FAILED)
    projection: JsonObject = field(default_factory=lambda: SEEN)
    deletes: bool = False

    def change(self, document: Mapping[str, Any]) -> Change:
        """Return the item in its new queue.

        Raises:
            ConflictError: it is there.
        """
        if document.get("wiq") == self.to:
            raise ConflictError(f"It is in queue {self.to} already.")
        rights: JsonObject = {} if self.acl is None else {"_acl": self.acl}
        return Change({"wiq": self.to, "wiqid": self.to_id, **rights})


@dataclass(frozen=True, slots=True)
class Update:
    """Another priority, or a merge patch for the payload.

    Args:
        checks: contracts that a patched payload is held to.
    """

    priority: int | None = None
    patch: JsonObject | None = None
    checks: Checks | None = None
    name: str = "change"
    states: tuple[str, ...] = (NEW, FAILED)
    usual: tuple[str, ...] = (NEW, FAILED)
    deletes: bool = False

    @property
    def projection(self) -> JsonObject:
        """The fields that it sees."""
        return SEEN if self.patch is None else {**SEEN, "payload": 1}

    def change(self, document: Mapping[str, Any]) -> Change:
        """Return the item with its new values.

        Raises:
            ConflictError: there would be nothing new.
            AppError: the payload would not fit its contract.
        """
        fields: JsonObject = {}
        if self.priority is not None:
            fields["priority"] = self.priority
        if self.patch is not None:
            payload = document.get("payload")
            fields["payload"] = merged(payload if isinstance(payload, dict) else {}, self.patch)
            self._check(document, fields["payload"])
        if all(_same(document.get(name), value) for name, value in fields.items()):
            raise ConflictError("It has these values already.")
        return Change(fields)

    def _check(self, document: Mapping[str, Any], payload: JsonObject) -> None:
        if self.checks is None:
            return
        files = tuple(text_of(one.get("name")) for one in objects_of(document.get("files")))
        try:
            self.checks.check(Push(text_of(document.get("wiq")), payload, files=files))
        except ContractError as error:
            raise AppError(str(error)) from error


def merged(target: JsonObject, patch: JsonObject) -> JsonObject:
    """Return an object with a JSON Merge Patch (RFC 7396): null takes a field away."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            inner = result.get(name)
            result[name] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            result[name] = value
    return result


def trouble_with_patch(patch: JsonObject) -> str:
    """Return what is wrong with a patch, as what is allowed; "" for nothing."""
    if KEY in patch:
        return f"every field but {KEY}, which is the worker's own"
    try:
        if depth_of(json_text(patch)) > MAX_DEPTH // 10:
            return f"at most {MAX_DEPTH // 10} objects and arrays in each other"
    except (TypeError, ValueError):
        return "a JSON object"
    return "" if patch else "at least one field"


def place_of(id: str) -> float:
    """Return a number from 0 to 1 for an id, always the same."""
    found = hashlib.sha256(id.encode("utf-8", "replace")).digest()
    return int.from_bytes(found[:4], "big") / 2**32


def still(document: Mapping[str, Any], *, to_the_moment: bool = True) -> JsonObject:
    """Return the condition under which an item is as it was seen.

    Dates in a condition are text to OpenIAP, which is never equal to a date; one that is made in
    MongoDB is. The alternatives of others stand inside ``$and`` as well; see ``fence.py``.

    Args:
        to_the_moment: whether it must not have been changed at all; a database that cannot compare
            moments tells the state and the attempt alone.
    """
    condition: JsonObject = {
        "_id": document["_id"],
        "state": document.get("state"),
        "retries": document.get("retries"),
    }
    changed = moment_of(document.get("_modified"))
    if to_the_moment and changed is not None:
        at = round(changed.timestamp() * 1000)
        condition["$and"] = [{"$expr": {"$eq": ["$_modified", {"$toDate": at}]}}]
    return condition


def as_seen(document: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Say whether an item is as it was seen."""
    return all(
        _same(document.get(name), now.get(name)) for name in ("state", "retries", "_modified")
    )


def attempts_left(document: Mapping[str, Any], most: object) -> int:
    """Return how many attempts a retry leaves an item.

    Args:
        most: the attempts that its queue gives an item; 3 where it says nothing.
    """
    return max(1, (number(most) or 3) - number(document.get("retries")) - 1)


def _stands(there: object, name: str, value: object) -> bool:
    """Say whether a field has a value; the worker's own marks may have become more."""
    if name == "payload" and isinstance(there, dict) and isinstance(value, dict):
        there, value = ({k: v for k, v in one.items() if k != KEY} for one in (there, value))
    return _same(there, value)


def _same(one: object, other: object) -> bool:
    if isinstance(one, str) and isinstance(other, str) and one != other:
        first, second = moment_of(one), moment_of(other)
        return first is not None and first == second
    return one == other and isinstance(one, bool) is isinstance(other, bool)
