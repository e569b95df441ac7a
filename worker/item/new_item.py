"""An item to be, as data: as it is pushed, and under an id that is chosen before it is there.

Who knows the id can put the item into its queue again after a lost answer or a crash: an ``_id`` is
unique in MongoDB, in one atomic step, so there is never a second one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from worker.item.cancelled import Cancelling
from worker.item.group_desk import GroupDesk
from worker.item.unique import Unique
from worker.kinds import kind_of
from worker.openiap.fields import duration_of, number, object_of, objects_of, text_of
from worker.openiap.values import iso, parse_iso
from worker.openiap.workitem import JsonObject

DEFAULT_NAME: Final = "New work item"
DEFAULT_PRIORITY: Final = 2
PARENT_FIELD: Final = "openiap_worker_parent"
SCHEDULE_FIELD: Final = "openiap_worker_schedule"
PARENT: Final = "parent"
SCHEDULE: Final = "schedule"
DUE_AT_ONCE: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""When an item is due that waits for nothing. No clock has a part in it: an item of a machine whose
clock is ahead of the server's would wait for as long."""


@dataclass(frozen=True, slots=True)
class Push:
    """An item to be, as it is asked for.

    Attributes:
        payload: as it is stored.
        nextrun: not before; UTC.
        files: local paths.
        unique: whether it is pushed only where its key is free.
    """

    queue: str
    payload: JsonObject
    name: str = ""
    priority: int = DEFAULT_PRIORITY
    nextrun: datetime | None = None
    files: tuple[str, ...] = ()
    unique: Unique | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a push.

    Attributes:
        id: of the item.
        existing: it was there already, under the push's unique key.
        updated: it waited, and took what the push brought.
    """

    id: str
    existing: bool = False
    updated: bool = False


class Sender(Protocol):
    """Who carries pushes: a client, or the pipe to the worker."""

    @property
    def groups(self) -> GroupDesk:
        """Who pushes groups, and looks at them."""

    async def send(self, pushes: Sequence[Push]) -> list[Sent]:
        """Push all and return what came of each, in order."""

    async def ended(self, item_id: str, queue: str, timeout: float | None) -> JsonObject:
        """Return an item's document once it is successful or failed.

        Raises:
            ResultTimeout: not within ``timeout`` seconds.
        """

    async def look(self, item_id: str) -> JsonObject:
        """Return an item's state, and its payload's metadata.

        Raises:
            ItemNotFound: there is none, or no rights.
        """

    async def cancel(self, item_id: str, reason: str) -> Cancelling:
        """Cancel an item; see ``worker.item.cancelled``.

        Raises:
            ItemNotFound: there is none, or no rights.
        """

    async def signal(self, item_id: str, name: str, text: str, key: str) -> str:
        """Tell an item something; returns the signal's id.

        Args:
            text: the value as JSON text; see ``worker.item.signals.text_of_value``.
            key: see ``Pushed.signal``.

        Raises:
            ItemNotFound: there is none, or no rights.
            SignalRefused: it has ended.
        """


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to be, under its id.

    Attributes:
        id: the ``_id`` that it will have; see ``chosen_id``.
        wiqid: the queue's id; acl: the queue's rights, which its items share. Both are "" and ()
            where the queue's document cannot be read.
        nextrun: not before; UTC.
    """

    id: str
    queue: str
    payload: JsonObject
    name: str = ""
    priority: int = DEFAULT_PRIORITY
    nextrun: datetime | None = None
    wiqid: str = ""
    acl: tuple[JsonObject, ...] = ()

    def document(self) -> JsonObject:
        """Return the document of the new item (server.md, Documents)."""
        document: JsonObject = {
            "_id": self.id,
            "_type": "workitem",
            "name": self.name or DEFAULT_NAME,
            "payload": self.payload,
            "state": "new",
            "priority": self.priority,
            "retries": 0,
            "nextrun": iso(self.nextrun or DUE_AT_ONCE),
            "wiq": self.queue,
            "wiqid": self.wiqid,
            "files": [],
        }
        if self.acl:
            document["_acl"] = list(self.acl)
        return document

    def marks(self) -> JsonObject:
        """Return what of it stands in the payload where its document cannot be written."""
        return {}


@dataclass(frozen=True, slots=True)
class TickItem(NewItem):
    """An item to be, of a tick of a schedule.

    Attributes:
        schedule: its name.
        tick: UTC.
    """

    schedule: str = ""
    tick: datetime = DUE_AT_ONCE

    def document(self) -> JsonObject:
        """Return the document of the new item, with whose it is."""
        return {**NewItem.document(self), SCHEDULE_FIELD: self._mark()}

    def marks(self) -> JsonObject:
        """Return whose it is."""
        return {SCHEDULE: self._mark()}

    def _mark(self) -> JsonObject:
        return {"name": self.schedule, "tick": round(self.tick.timestamp() * 1000)}


@dataclass(frozen=True, slots=True)
class FollowUp(NewItem):
    """An item to be, asked for by another one and pushed once that one has succeeded.

    Its id is made once and is on disk with the outcome, so a push that is repeated after a crash
    finds its item already there.

    Attributes:
        parent: the id of the item that asked for it; "" for a group's that a program pushed.
        unique: whether it is pushed only where its key is free.
    """

    parent: str = ""
    unique: Unique | None = None

    def document(self) -> JsonObject:
        """Return the document of the new item, with its parent's id."""
        document = NewItem.document(self)
        return {**document, PARENT_FIELD: self.parent} if self.parent else document

    def marks(self) -> JsonObject:
        """Return its parent's id."""
        return {PARENT: self.parent} if self.parent else {}

    def kept(self) -> JsonObject:
        """Return it as JSON, for the outbox."""
        nextrun = None if self.nextrun is None else self.nextrun.isoformat()
        return asdict(self) | {"nextrun": nextrun, "acl": list(self.acl)}

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> "FollowUp":
        """Read what ``kept`` gave.

        Raises:
            TypeError, ValueError: it is something else, or cannot be pushed exactly once.
        """
        if not isinstance(found, Mapping):
            raise TypeError(f"{kind_of(found)} instead of a follow-up item")
        id, queue = text_of(found.get("id")), text_of(found.get("queue"))
        if not id or not queue:
            raise ValueError("a follow-up item without id or queue")
        nextrun, unique = found.get("nextrun"), found.get("unique")
        return cls(
            id=id,
            queue=queue,
            payload=object_of(found.get("payload")),
            name=text_of(found.get("name")),
            priority=number(found.get("priority", DEFAULT_PRIORITY)),
            nextrun=parse_iso(nextrun) if isinstance(nextrun, str) else None,
            wiqid=text_of(found.get("wiqid")),
            acl=tuple(objects_of(found.get("acl"))),
            parent=text_of(found.get("parent")),
            unique=None if unique is None else _unique(unique),
        )


def _unique(found: object) -> Unique:
    """Read a stored key; fields of a newer version are ignored.

    Raises:
        ValueError: it has no key, so the item might be pushed a second time.
    """
    stored = object_of(found)
    key, hold = text_of(stored.get("key")), duration_of(stored.get("hold", 0.0))
    if not key or hold is None:
        raise ValueError("a follow-up item whose unique key cannot be read")
    return Unique(
        key,
        hold,
        stored.get("update") is True,
        text_of(stored.get("namespace")),
        stored.get("waiting") is True,
    )


def chosen_id(seed: str, at: datetime) -> str:
    """Return an id: 24 hexadecimal digits, the first 8 the time, as MongoDB's own ids are.

    Args:
        seed: what the item is for; the same seed and time give the same id.
        at: from when the item counts, to the second.
    """
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{int(at.timestamp()) & 0xFFFFFFFF:08x}{digest[:16]}"


def follow_up_id(item_id: str, retries: int, number: int, at: datetime) -> str:
    """Return the id of an attempt's follow-up."""
    return chosen_id(f"{item_id}/{retries}/{number}", at)
