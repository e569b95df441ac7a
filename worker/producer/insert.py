"""An item put into its queue under the id that was chosen for it: each at most once.

1. It is inserted as a document. A repeat, after a lost answer or a crash, finds the id taken: that
   is the end of it, never a second item.
2. Where this user may not write documents, it is pushed the ordinary way with that id in its
   payload's metadata, and looked for there before a repeat. That is weaker: of two who do so in
   the same moment both may push.
3. Any other refusal is the caller's to wait out. A server whose database is away for a moment is no
   missing right: an item that was pushed the ordinary way then, its answer lost, would be inserted
   a second time by the repeat.
"""

import time
from dataclasses import dataclass
from typing import Final

from worker.item.metadata import KEY
from worker.item.new_item import NewItem
from worker.openiap.client import Client
from worker.openiap.errors import (
    AccessDenied,
    DuplicateKey,
    QueueNotFound,
    ServerError,
)
from worker.openiap.fields import id_of, number, object_of, objects_of
from worker.openiap.workitem import JsonObject

COLLECTION: Final = "workitems"
KNOWN_FOR: Final = 60.0
"""Seconds for which a queue's id and rights are remembered."""


@dataclass(frozen=True, slots=True)
class KnownQueue:
    """A queue as its items name it: its id and its rights; "" and () where they are not known.

    Attributes:
        initialdelay: seconds that an ordinary push without a time waits.
    """

    wiqid: str = ""
    acl: tuple[JsonObject, ...] = ()
    initialdelay: float = 0.0


@dataclass(frozen=True, slots=True)
class Inserted:
    """An item that is there.

    Attributes:
        id: the item's; another than the chosen one where it was pushed the ordinary way.
        fresh: put there now, and not by an earlier try.
    """

    id: str
    fresh: bool


class KnownQueues:
    """The queues that items are put into, looked up by name and remembered for a minute."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, tuple[float, KnownQueue]] = {}

    async def of(self, queue: str) -> KnownQueue:
        """Return a queue's id and rights; nothing where this user may not read them.

        Raises:
            QueueNotFound: no such queue.
            OpenIAPError: the server cannot say now.
        """
        until, known = self._known.get(queue, (0.0, KnownQueue()))
        if until > time.monotonic():
            return known
        query = {"_type": "workitemqueue", "name": queue}
        try:
            found = await self._client.query(
                "mq", query, {"name": 1, "_acl": 1, "initialdelay": 1}, top=1
            )
        except AccessDenied:
            return KnownQueue()
        if not found:
            raise QueueNotFound(
                f"queue {queue} does not exist, or this user has no rights on it", operation="push"
            )
        known = KnownQueue(
            id_of(found[0]),
            tuple(objects_of(found[0].get("_acl"))),
            number(found[0].get("initialdelay")),
        )
        self._known[queue] = (time.monotonic() + KNOWN_FOR, known)
        return known


async def insert(client: Client, item: NewItem, *, id_field: str) -> Inserted:
    """Put an item into its queue, once; safe to repeat.

    Args:
        item: with its queue's id and rights, see ``KnownQueues``; without them it is pushed.
        id_field: of the payload's metadata; there the id stands where the item is pushed.

    Raises:
        OpenIAPError: it may be there all the same where the error is ``maybe_done``.
    """
    try:
        if item.wiqid:
            await client.insert_one(COLLECTION, item.document())
            return Inserted(item.id, fresh=True)
    except DuplicateKey as error:
        if _of_another_index(error):
            raise ServerError(error.text, operation=error.operation) from error
        return Inserted(item.id, fresh=False)  # an earlier try, or an earlier life, did it
    except (AccessDenied, QueueNotFound):
        pass
    return await _pushed(client, item, id_field)


def _of_another_index(error: DuplicateKey) -> bool:
    """Whether it is not the id that is taken: an installation may have unique indexes of its own,
    and then the item is not there."""
    return "index:" in error.text and "_id_" not in error.text


async def _pushed(client: Client, item: NewItem, id_field: str) -> Inserted:
    # Under its own _id as well: rights may have been taken away since it was inserted.
    ids: list[JsonObject] = [{"_id": item.id}, {f"payload.{KEY}.{id_field}": item.id}]
    query: JsonObject = {"wiq": item.queue, "$or": ids}
    found = await client.query(COLLECTION, query, {"_id": 1}, top=1)
    if found:
        return Inserted(str(found[0]["_id"]), fresh=False)
    metadata = {**object_of(item.payload.get(KEY)), **item.marks(), id_field: item.id}
    pushed = await client.push_workitem(
        item.queue,
        {**item.payload, KEY: metadata},
        name=item.name,
        priority=item.priority,
        nextrun=item.nextrun,
    )
    return Inserted(pushed.id, fresh=True)
