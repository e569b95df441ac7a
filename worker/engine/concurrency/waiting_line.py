"""The line of a key: the items that wait for it, in order, as documents of their own.

A place's ``_id`` begins with its line and goes on with priority and item, so the head of a line is
the least ``_id`` in a range of the primary index, however many items and lines there are. Items'
ids begin with the time of their making, so among equal priorities the oldest comes first, and an
item that comes back to the line (after a retry) finds its old place in it. A place outlives what it
stands for where a worker dies in between; who finds that out takes it away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from worker.engine.concurrency.key import queue_name
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey
from worker.openiap.values import moment_of, number
from worker.openiap.workitem import JsonObject, Workitem
from worker.state.cells import COLLECTION, cell_id

KIND: Final = "line"
TYPE: Final = "place"
BOUND: Final = "$"
"""Comes right after ``#`` in the order of texts."""
AFTER_SLASH: Final = "0"
PAGE: Final = 100
MAX_PRIORITY: Final = 10**9


@dataclass(frozen=True, slots=True)
class Place:
    """An item in a line.

    Attributes:
        line: its line's name.
        key: for people.
        since: when it was taken, in the server's time.
    """

    id: str
    line: str
    key: str
    item: str
    retries: int
    since: datetime | None = None


class Lines:
    """The lines of one queue's keys.

    Args:
        client: waits for a link and for its turn.
        namespace: see the setting of that name.
        rights: who may see places, as OpenIAP writes rights; () is this user.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        queue: str,
        rights: Callable[[], Sequence[JsonObject]] = tuple,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._queue = queue
        self._rights = rights

    def place(self, line: str, key: str, workitem: Workitem) -> Place:
        """Return the place that an item has in a line, taken or not."""
        priority = min(max(workitem.priority, 0), MAX_PRIORITY)
        id = f"{self._prefix(line)}#{priority:010}/{workitem.id}/{workitem.retries}"
        return Place(id, line, key, workitem.id, workitem.retries)

    async def join(self, place: Place) -> None:
        """Take a place; one that is taken already stays as it is.

        Raises:
            OpenIAPError: it cannot be stored.
        """
        document: JsonObject = {
            "_id": place.id,
            "_type": TYPE,
            "name": place.key,
            "kind": KIND,
            "namespace": self._namespace,
            "queue": self._queue,
            "line": place.line,
            "item": place.item,
            "retries": place.retries,
        }
        if rights := self._rights():
            document["_acl"] = list(rights)
        try:
            await self._client.insert_one(COLLECTION, document)
        except DuplicateKey:
            return

    async def leave(self, place: Place) -> None:
        """Give a place up; one that nobody has is no error.

        Raises:
            OpenIAPError: it cannot be deleted.
        """
        await self._client.delete_one(COLLECTION, place.id)

    async def clear(self, places: Sequence[Place]) -> None:
        """Take away places that stand for nothing any more.

        Raises:
            OpenIAPError: they cannot be deleted.
        """
        await self._client.delete_many(COLLECTION, ids=[place.id for place in places])

    async def read(self, id: str) -> Place | None:
        """Return a place that is taken, or None.

        Raises:
            OpenIAPError: the server could not be asked.
        """
        found = await self._client.query(COLLECTION, {"_id": id}, top=1)
        return place_of(found[0]) if found else None

    async def first(self, line: str, most: int) -> list[Place]:
        """Return the first in a line, in order.

        Raises:
            OpenIAPError: the server could not be asked.
        """
        prefix = self._prefix(line)
        found = await self._client.query(
            COLLECTION,
            {"_id": {"$gt": f"{prefix}#", "$lt": f"{prefix}{BOUND}"}},
            orderby={"_id": 1},
            top=most,
        )
        return [place_of(document) for document in found]

    async def heads(self, after: str, *, most: int) -> list[Place]:
        """Return the heads of the queue's lines, in the order of the lines' names.

        Args:
            after: the name of the line to go on after; "" begins with the first one.
            most: how many at most.
        """
        queue = cell_id(self._namespace, KIND, f"{queue_name(self._queue)}/")
        end = f"{queue[:-1]}{AFTER_SLASH}"
        found: dict[str, Place] = {}
        start = f"{self._prefix(after)}{BOUND}" if after else queue
        while len(found) < most:
            page = await self._client.query(
                COLLECTION, {"_id": {"$gt": start, "$lt": end}}, orderby={"_id": 1}, top=PAGE
            )
            for place in map(place_of, page):
                found.setdefault(place.line, place)
            if len(page) < PAGE:
                break
            # A long line is jumped over.
            start = f"{self._prefix(str(page[-1].get('line', '')))}{BOUND}"
        return list(found.values())[:most]

    def _prefix(self, line: str) -> str:
        return cell_id(self._namespace, KIND, line)


def place_of(document: Mapping[str, Any]) -> Place:
    """Read a stored place."""
    return Place(
        id=str(document.get("_id", "")),
        line=str(document.get("line", "")),
        key=str(document.get("name", "")),
        item=str(document.get("item", "")),
        retries=number(document.get("retries")),
        since=moment_of(document.get("_created")),
    )
