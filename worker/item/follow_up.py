"""Follow-up items as data: what a handler asked to be pushed once its own item has succeeded.

Each carries the id of the item that it will be. The id is made once and is on disk with the
outcome, so a push that is repeated after a crash finds its item already there (a unique ``_id`` is
atomic in MongoDB) and makes no second one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from worker.item.new_item import NewItem, chosen_id
from worker.item.unique import Unique
from worker.openiap.values import parse_iso
from worker.openiap.workitem import JsonObject


@dataclass(frozen=True, slots=True)
class FollowUp(NewItem):
    """An item to be, asked for by another one.

    Attributes:
        parent: the id of the item that asked for it.
        unique: whether it is pushed only where its key is free.
    """

    parent: str = ""
    unique: Unique | None = None

    def document(self, now: datetime) -> JsonObject:
        """Return the document of the new item, with its parent's id."""
        return {**NewItem.document(self, now), "openiap_worker_parent": self.parent}

    def kept(self) -> JsonObject:
        """Return it as JSON, for the outbox."""
        return {
            "id": self.id,
            "queue": self.queue,
            "payload": self.payload,
            "name": self.name,
            "priority": self.priority,
            "nextrun": None if self.nextrun is None else self.nextrun.isoformat(),
            "wiqid": self.wiqid,
            "acl": list(self.acl),
            "parent": self.parent,
            "unique": None if self.unique is None else asdict(self.unique),
        }

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> "FollowUp":
        """Read what ``kept`` gave.

        Raises:
            TypeError, ValueError: it is something else.
        """
        if not isinstance(found, Mapping):
            raise TypeError(f"a {type(found).__name__} instead of a follow-up item")
        nextrun, unique = found.get("nextrun"), found.get("unique")
        return cls(
            id=str(found.get("id", "")),
            queue=str(found.get("queue", "")),
            payload=dict(found.get("payload") or {}),
            name=str(found.get("name", "")),
            priority=int(found.get("priority", 2)),
            nextrun=parse_iso(nextrun) if isinstance(nextrun, str) else None,
            wiqid=str(found.get("wiqid", "")),
            acl=tuple(dict(one) for one in found.get("acl") or ()),
            parent=str(found.get("parent", "")),
            unique=None if unique is None else Unique(**unique),
        )


def follow_up_id(item_id: str, retries: int, number: int, at: datetime) -> str:
    """Return the id of an attempt's follow-up."""
    return chosen_id(f"{item_id}/{retries}/{number}", at)
