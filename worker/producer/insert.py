"""Placing: an item put into its queue under the id that was chosen for it, each at most once.

1. It is inserted as a document. A repeat, after a lost answer or a crash, finds the id taken: that
   is the end of it, never a second item.
2. Where this user may not write documents, it is pushed the ordinary way with that id as a mark in
   its payload, and the mark is looked for before a repeat. That is weaker: of two who do so in the
   same moment both may push.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from worker.item.metadata import KEY
from worker.item.new_item import NewItem
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, DuplicateKey, QueueNotFound, ServerError
from worker.openiap.values import number
from worker.openiap.workitem import JsonObject

COLLECTION: Final = "workitems"
KNOWN_FOR: Final = 60.0
"""Seconds for which a queue's id and rights are remembered."""


@dataclass(frozen=True, slots=True)
class Place:
    """A queue as its items name it: its id and its rights; "" and () where they are not known.

    Attributes:
        initialdelay: seconds that an ordinary push without a time waits.
    """

    wiqid: str = ""
    acl: tuple[JsonObject, ...] = ()
    initialdelay: float = 0.0


@dataclass(frozen=True, slots=True)
class Placed:
    """An item that is there.

    Attributes:
        id: the item's; another than the chosen one where it was pushed the ordinary way.
        fresh: put there now, and not by an earlier try.
    """

    id: str
    fresh: bool


class Places:
    """The queues that items are put into, looked up by name and remembered for a minute."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, tuple[float, Place]] = {}

    async def of(self, queue: str) -> Place:
        """Return a queue's id and rights; nothing where this user may not read them.

        Raises:
            QueueNotFound: no such queue.
        """
        until, place = self._known.get(queue, (0.0, Place()))
        if until > time.monotonic():
            return place
        query = {"_type": "workitemqueue", "name": queue}
        try:
            found = await self._client.query(
                "mq", query, {"name": 1, "_acl": 1, "initialdelay": 1}, top=1
            )
        except (AccessDenied, ServerError):
            return Place()
        if not found:
            raise QueueNotFound(
                f"queue {queue} does not exist, or this user has no rights on it", operation="push"
            )
        place = Place(
            str(found[0].get("_id", "")),
            tuple(found[0].get("_acl") or ()),
            number(found[0].get("initialdelay")),
        )
        self._known[queue] = (time.monotonic() + KNOWN_FOR, place)
        return place


async def place(client: Client, item: NewItem, *, mark: str) -> Placed:
    """Put an item into its queue, once; safe to repeat.

    Args:
        item: with its queue's id and rights, see ``Places``; without them it is pushed.
        mark: the name under which a pushed item's payload carries the id.

    Raises:
        OpenIAPError: it may be there all the same where the error is ``maybe_done``.
    """
    try:
        if item.wiqid:
            await client.insert_one(COLLECTION, item.document(datetime.now(UTC)))
            return Placed(item.id, fresh=True)
    except DuplicateKey:
        return Placed(item.id, fresh=False)  # an earlier try, or an earlier life, did it
    except (AccessDenied, ServerError, QueueNotFound):
        pass
    return await _pushed(client, item, mark)


async def _pushed(client: Client, item: NewItem, mark: str) -> Placed:
    query = {"wiq": item.queue, f"payload.{KEY}.{mark}": item.id}
    found = await client.query(COLLECTION, query, {"_id": 1}, top=1)
    if found:
        return Placed(str(found[0]["_id"]), fresh=False)
    marked = {**item.payload.get(KEY, {}), mark: item.id}
    pushed = await client.push_workitem(
        item.queue,
        {**item.payload, KEY: marked},
        name=item.name,
        priority=item.priority,
        nextrun=item.nextrun,
    )
    return Placed(pushed.id, fresh=True)
