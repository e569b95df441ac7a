"""The line of a key: the items that wait for it, in order, as documents of their own.

The ``_id`` of an item's place begins with its line and goes on with priority and item, so the head
of a line is the least ``_id`` in a range of the primary index, however many items and lines there
are. Items' ids begin with the time of their making, so among equal priorities the oldest comes
first, and an item that comes back to the line (after a retry) comes to where it was. A place is one
run's: who wakes an item, and is frozen before it takes the place away, takes nothing away from a
later run, which may wait under the same ``retries``. A place outlives what it stands for where a
worker dies in between; who finds that out takes it away.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from worker.engine.concurrency.key import queue_name
from worker.engine.delivery.fence import run_at
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey
from worker.openiap.fields import Misfit, Told, ignored, moment_of, text_of, whole
from worker.openiap.reader import Reader
from worker.openiap.workitem import JsonObject, Workitem
from worker.state.cells import COLLECTION, cell_id

KIND: Final = "line"
TYPE: Final = "place"
BOUND: Final = "$"
"""Comes right after ``#`` in the order of texts."""
AFTER_SLASH: Final = "0"
PLACE: Final = "place in a waiting line"
FIELDS: Final[JsonObject] = {"line": 1, "name": 1, "item": 1, "retries": 1, "_created": 1}
PAGE: Final = 100
MAX_PRIORITY: Final = 10**9


@dataclass(frozen=True, slots=True)
class Waiter:
    """An item in a line.

    Attributes:
        id: of its place.
        line: its line's name.
        key: for people.
        since: when it took its place, in the server's time.
    """

    id: str
    line: str
    key: str
    item: str
    retries: int
    since: datetime | None = None


class WaitingLines:
    """The lines of one queue's keys.

    Args:
        client: waits for a link and for its turn.
        namespace: see the setting of that name.
        rights: who may see places, as OpenIAP writes rights; () is this user.
        misfits: hears of documents that are no places.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        queue: str,
        rights: Callable[[], Sequence[JsonObject]] = tuple,
        misfits: Told = ignored,
    ) -> None:
        self._client = client
        self._reader = Reader(client, PLACE, misfits)
        self._misfits = misfits
        self._namespace = namespace
        self._queue = queue
        self._rights = rights

    def waiter(self, line: str, key: str, workitem: Workitem) -> Waiter:
        """Return an item as it waits in a line, whether or not it does."""
        priority = min(max(workitem.priority, 0), MAX_PRIORITY)
        run = run_at(workitem.lastrun)
        id = f"{self._prefix(line)}#{priority:010}/{workitem.id}/{workitem.retries}/{run}"
        return Waiter(id, line, key, workitem.id, workitem.retries)

    async def join(self, waiter: Waiter) -> None:
        """Take a place in the line; one that is taken already stays as it is.

        Raises:
            OpenIAPError: it cannot be stored.
        """
        document: JsonObject = {
            "_id": waiter.id,
            "_type": TYPE,
            "name": waiter.key,
            "kind": KIND,
            "namespace": self._namespace,
            "queue": self._queue,
            "line": waiter.line,
            "item": waiter.item,
            "retries": waiter.retries,
        }
        if rights := self._rights():
            document["_acl"] = list(rights)
        try:
            await self._client.insert_one(COLLECTION, document)
        except DuplicateKey:
            return

    async def leave(self, waiter: Waiter) -> None:
        """Give the place up; one that nobody has is no error.

        Raises:
            OpenIAPError: it cannot be deleted.
        """
        await self._client.delete_one(COLLECTION, waiter.id)

    async def clear(self, waiters: Sequence[Waiter]) -> None:
        """Take places away that stand for nothing any more.

        Raises:
            OpenIAPError: they cannot be deleted.
        """
        await self._client.delete_many(COLLECTION, ids=[waiter.id for waiter in waiters])

    async def read(self, id: str) -> Waiter | None:
        """Return who has a place, or None where it is not taken.

        Raises:
            OpenIAPError: the server could not be asked.
        """
        found = await self._reader.query(COLLECTION, {"_id": id}, FIELDS, top=1, about=id)
        return waiter_of(found[0], self._misfits) if found else None

    async def first(self, line: str, most: int) -> list[Waiter]:
        """Return the first in a line, in order.

        Raises:
            OpenIAPError: the server could not be asked.
        """
        prefix = self._prefix(line)
        found: list[Waiter] = []
        start = f"{prefix}#"
        while len(found) < most:
            page = await self._reader.query(
                COLLECTION,
                {"_id": {"$gt": start, "$lt": f"{prefix}{BOUND}"}},
                FIELDS,
                {"_id": 1},
                top=most,
                about=line,
            )
            waiters = (waiter_of(document, self._misfits) for document in page)
            found += [one for one in waiters if one is not None and one.line == line]
            if len(page) < most:
                break
            start = page[-1]["_id"]
        return found[:most]

    async def heads(self, after: str, *, most: int) -> list[Waiter]:
        """Return the heads of the queue's lines, in the order of the lines' names.

        Args:
            after: the name of the line to go on after; "" begins with the first one.
            most: how many at most.
        """
        queue = cell_id(self._namespace, KIND, f"{queue_name(self._queue)}/")
        end = f"{queue[:-1]}{AFTER_SLASH}"
        found: dict[str, Waiter] = {}
        start = f"{self._prefix(after)}{BOUND}" if after else queue
        while len(found) < most:
            query = {"_id": {"$gt": start, "$lt": end}}
            page = await self._reader.query(COLLECTION, query, FIELDS, {"_id": 1}, top=PAGE)
            for waiter in (waiter_of(document, self._misfits) for document in page):
                if waiter is not None:
                    found.setdefault(waiter.line, waiter)
            if len(page) < PAGE:
                break
            # A long line is jumped over; whatever somebody else wrote there, this goes on.
            last: str = page[-1]["_id"]
            start = f"{last.partition('#')[0]}{BOUND}" if "#" in last else last
        return list(found.values())[:most]

    def _prefix(self, line: str) -> str:
        return cell_id(self._namespace, KIND, line)


@dataclass(slots=True, eq=False)
class _Entrance:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class JoinOrder:
    """Items of one key join its line in the order in which this process popped them.

    An entrance per line is kept as long as somebody is at it or on the way from it to the line.
    """

    def __init__(self) -> None:
        self._entrances: dict[str, _Entrance] = {}
        self._joining: dict[str, int] = {}

    @asynccontextmanager
    async def entering(self, line: str) -> AsyncIterator[bool]:
        """Enter alone, in order; gives whether an earlier one is still on its way into the line."""
        entrance = self._entrances.setdefault(line, _Entrance())
        entrance.users += 1
        try:
            async with entrance.lock:
                yield line in self._joining
        finally:
            entrance.users -= 1
            if not entrance.users:
                del self._entrances[line]

    def joining(self, line: str) -> None:
        """An item has a place, and is being parked."""
        self._joining[line] = self._joining.get(line, 0) + 1

    def joined(self, line: str) -> None:
        """It is parked, and the holders were looked at."""
        left = self._joining.pop(line, 0) - 1
        if left > 0:
            self._joining[line] = left


def waiter_of(document: Mapping[str, Any], told: Told = ignored) -> Waiter | None:
    """Read a stored place; None for a document that stands for no item in a line."""
    id, line, item = (text_of(document.get(name)) for name in ("_id", "line", "item"))
    retries = whole(document.get("retries", 0))
    if not (id and line and item) or retries is None:
        told(Misfit("place in a line", id, "it names no item, or no line"))
        return None
    key = text_of(document.get("name"))
    return Waiter(id, line, key, item, retries, moment_of(document.get("_created")))
