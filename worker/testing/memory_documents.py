"""Documents in memory, for shared state in a test without a server: one process, nothing kept.

It answers the calls that ``worker/state/`` makes of a client as OpenIAP does: an ``_id`` that is
taken is refused, the newest write is stamped, and a watch is told of what is inserted.
"""

import asyncio
import itertools
import json
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from worker.openiap.client import Client
from worker.openiap.counted import counted
from worker.openiap.errors import DocumentNotFound, DuplicateKey
from worker.openiap.types import WatchEvent
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$eq": operator.eq,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$in": lambda value, others: value in others,
}


class MemoryDocuments:
    """The few calls of ``Client`` that shared state makes.

    Args:
        now: the time that writes are stamped with; another in tests.
    """

    user = None
    connected = True
    sign_ins = 1

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._documents: dict[str, dict[str, JsonObject]] = {}
        self._watches: dict[str, tuple[str, Callable[[WatchEvent], Any]]] = {}
        self._numbers = itertools.count(1)
        self._telling: set[asyncio.Future[Any]] = set()
        self._now: Final = now

    async def query(
        self,
        collectionname: str,
        query: Mapping[str, Any],
        projection: object = None,
        orderby: Mapping[str, int] | None = None,
        *,
        top: int = 100,
        skip: int = 0,
        timeout: float | None = None,
    ) -> list[JsonObject]:
        """Return copies of what matches; whole documents, whatever the projection."""
        found = self._matching(collectionname, query)
        for field, direction in reversed(list((orderby or {}).items())):
            found.sort(key=lambda document: document[field], reverse=direction < 0)
        return [_copy(document) for document in found[skip : skip + top]]

    async def insert_one(
        self, collectionname: str, item: JsonObject, *, timeout: float | None = None
    ) -> JsonObject:
        """Insert a document whose ``_id`` is not taken."""
        await asyncio.sleep(0)  # others may come first, as they may at a server
        documents = self._documents.setdefault(collectionname, {})
        if item["_id"] in documents:
            raise DuplicateKey(f"E11000 duplicate key: {item['_id']}", operation="insert_one")
        stored = documents[item["_id"]] = self._stamped(item)
        self._told(collectionname, stored)
        return _copy(stored)

    async def update_one(
        self, collectionname: str, item: JsonObject, *, timeout: float | None = None
    ) -> JsonObject:
        """Replace a document."""
        documents = self._documents.setdefault(collectionname, {})
        if item["_id"] not in documents:
            raise DocumentNotFound(f"{item['_id']} not found", operation="update_one")
        stored = documents[item["_id"]] = self._stamped(item)
        return _copy(stored)

    async def delete_one(
        self, collectionname: str, id: str, *, timeout: float | None = None
    ) -> int:
        """Delete a document; 1, or 0 where there is none."""
        return int(self._documents.get(collectionname, {}).pop(id, None) is not None)

    async def delete_many(
        self,
        collectionname: str,
        query: Mapping[str, Any] | None = None,
        ids: Any = (),
        *,
        timeout: float | None = None,
    ) -> int:
        """Delete what matches, or has one of the ids."""
        wanted = query if query else {"_id": {"$in": list(ids)}}
        gone = [document["_id"] for document in self._matching(collectionname, wanted)]
        for id in gone:
            del self._documents[collectionname][id]
        return len(gone)

    async def watch(
        self,
        collectionname: str,
        paths: object = (),
        callback: Callable[..., Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> str:
        """Tell of every insertion into a collection, whatever the paths."""
        id = f"watch-{next(self._numbers)}"
        if callback is not None:
            self._watches[id] = (collectionname, counted(callback))
        return id

    async def unwatch(self, watchid: str, *, timeout: float | None = None) -> None:
        """End a watch."""
        self._watches.pop(watchid, None)

    def on_client_event(self, callback: object) -> str:
        """Nothing happens to a connection that there is not."""
        return "event"

    def off_client_event(self, eventid: str) -> None:
        """There is nothing to forget."""

    def _matching(self, collection: str, query: Mapping[str, Any]) -> list[JsonObject]:
        documents = self._documents.get(collection, {})
        return [one for one in documents.values() if _fits(one, query)]

    def _stamped(self, item: JsonObject) -> JsonObject:
        now = iso(self._now())
        return {**_copy(item), "_created": now, "_modified": now}

    def _told(self, collection: str, document: JsonObject) -> None:
        for id, (watched, callback) in list(self._watches.items()):
            if watched == collection:
                result = callback(WatchEvent(id, "insert", _copy(document)))
                if asyncio.iscoroutine(result):
                    task = asyncio.ensure_future(result)
                    self._telling.add(task)
                    task.add_done_callback(self._telling.discard)


def _fits(document: JsonObject, query: Mapping[str, Any]) -> bool:
    """Whether a document fits; moments are texts of one form here, so they compare as they are."""
    for field, wanted in query.items():
        conditions = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
        if field not in document:
            return False
        if not all(COMPARED[name](document[field], other) for name, other in conditions.items()):
            return False
    return True


def _copy(document: JsonObject) -> JsonObject:
    found: JsonObject = json.loads(json.dumps(document))
    return found


def memory_client() -> Client:
    """Return documents in memory in the place of a client, for ``State``."""
    return cast(Client, MemoryDocuments())
