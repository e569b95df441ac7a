"""An item to be, as data, under an id that is chosen before it is there.

Who knows the id can put the item into its queue again after a lost answer or a crash: an ``_id`` is
unique in MongoDB, in one atomic step, so there is never a second one.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

DEFAULT_NAME: Final = "New work item"
BEHIND: Final = timedelta(minutes=1)
"""An item that is due at once is due since then: the server's clock may be behind this one's."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to be.

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
    priority: int = 2
    nextrun: datetime | None = None
    wiqid: str = ""
    acl: tuple[JsonObject, ...] = ()

    def document(self, now: datetime) -> JsonObject:
        """Return the document of the new item (server.md, Documents)."""
        document: JsonObject = {
            "_id": self.id,
            "_type": "workitem",
            "name": self.name or DEFAULT_NAME,
            "payload": self.payload,
            "state": "new",
            "priority": self.priority,
            "retries": 0,
            "nextrun": iso(self.nextrun or now - BEHIND),
            "wiq": self.queue,
            "wiqid": self.wiqid,
            "files": [],
        }
        if self.acl:
            document["_acl"] = list(self.acl)
        return document


def chosen_id(seed: str, at: datetime) -> str:
    """Return an id: 24 hexadecimal digits, the first 8 the time, as MongoDB's own ids are.

    Args:
        seed: what the item is for; the same seed and time give the same id.
        at: from when the item counts, to the second.
    """
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{int(at.timestamp()) & 0xFFFFFFFF:08x}{digest[:16]}"
