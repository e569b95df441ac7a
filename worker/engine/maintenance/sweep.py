"""The sweep: what shared state leaves behind, deleted by one worker of the fleet once an hour.

1. Versions of a cell that were superseded, once they are older than ``KEPT``; the first one stays,
   as the sign that there is a cell, and the newest is the cell.
2. Unique keys whose item has ended and whose hold is over, guards and groups whose term is over,
   and values whose time is, are removed, which is a version like any other: who uses the key in
   that moment is not disturbed.
3. Cells that were removed more than ``KEPT`` ago go altogether. A use of such a key in the very
   milliseconds of the deletion is looked for afterwards and finds its first version put back.

An hour without anything to do costs two messages: the server's time, and one query. The server's
clock alone decides how old something is.

What says itself when it is to go (``cells.py``, 6) the database deletes without a worker, once it
has an index for that: where this user may, the first sweep of a process sees to it. Events of
streams do not say so: the newest of a room must stay, and nobody knows beforehand which that is.
"""

import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Final

from worker.engine.fleet.leadership import Fleet
from worker.engine.fleet.led_service import LedService
from worker.item.metadata import KEY
from worker.item.unique import ended, held_until
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey, OpenIAPError
from worker.openiap.fields import duration_of, object_of
from worker.openiap.reader import Reader
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject
from worker.producer.groups.record import KEY_KIND as GROUP_KEY
from worker.producer.groups.record import KIND as GROUP
from worker.producer.unique_push import ID_FIELD
from worker.producer.unique_push import KIND as UNIQUE
from worker.state.cells import (
    COLLECTION,
    EXPIRES,
    FIELDS,
    KEPT,
    TYPE,
    Cells,
    Version,
    document_id,
    version_of,
)
from worker.state.once import KIND as ONCE
from worker.state.retrying import passes
from worker.state.server_clock import ServerClock
from worker.state.values import KIND as VALUE
from worker.state.values import ends_at
from worker.telemetry.log import Log

FIRST: Final = 600.0
EVERY: Final = 3600.0
AGAIN: Final = 30.0
"""Seconds before a sweep that goes on where the last one stopped: a fleet with many keys leaves
more than one sweep takes."""
PAGE: Final = 250
MOST_PAGES: Final = 40
INDEX: Final = "openiap_worker_expires"
TERMED: Final = (ONCE, GROUP, GROUP_KEY)
"""Their content says for how many seconds they are kept; one that says nothing is kept."""
MARKED: Final = f"payload.{KEY}.{ID_FIELD}"
ENDED: Final[JsonObject] = {"state": 1, "_modified": 1}
PROJECTION: Final[JsonObject] = {**ENDED, MARKED: 1}


@dataclass(slots=True)
class Plan:
    """What of a page of old versions may go.

    Attributes:
        superseded: documents that a newer version of their cell has followed.
        dead: by cell, the versions of cells that seem to have been removed long ago.
        over: unique keys, guards and values that may be over.
    """

    superseded: list[str] = field(default_factory=list)
    dead: dict[str, list[Version]] = field(default_factory=dict)
    over: list[Version] = field(default_factory=list)


def planned(versions: Iterable[Version]) -> Plan:
    """Judge old versions, ordered by their ids; pure.

    A younger version of a cell, which is not among them, makes even less of it needed: the newest
    of the old ones is then a superseded one that a later sweep takes.
    """
    plan = Plan()
    for cell, group in groupby(versions, key=lambda version: version.id):
        known = list(group)
        newest = known[-1]
        if newest.removed:
            plan.dead[cell] = known
            continue
        plan.superseded += superseded(known)
        if newest.kind in (UNIQUE, VALUE, *TERMED):
            plan.over.append(newest)
    return plan


def superseded(known: Sequence[Version]) -> list[str]:
    """Return the documents of a cell's old versions that may go: all but the first and the last."""
    return [document_id(version) for version in known[:-1] if version.number > 1]


class Sweep(LedService):
    """Sweeps for a fleet, where this worker leads the first of its queues.

    Args:
        first, every, again: seconds; see the constants of these names.
    """

    def __init__(
        self,
        queues: Sequence[str],
        *,
        client: Client,
        fleet: Fleet,
        namespace: str,
        log: Log,
        chance: random.Random,
        first: float = FIRST,
        every: float = EVERY,
        again: float = AGAIN,
    ) -> None:
        super().__init__(
            "sweep",
            queues,
            fleet,
            first=first,
            pause=every,
            on_error=partial(log.failed, "shared state could not be swept"),
            chance=chance,
        )
        self._client = client
        self._cell_reader = Reader(client, "cell")
        self._items_reader = Reader(client, "work item")
        self._log = log
        self._cells = Cells(client, namespace)
        self._clock = ServerClock(client, namespace)
        self._again = again
        self._indexed = False
        self._after = ""
        """Where the last sweep ended that did not come to the end."""

    async def round(self) -> float | None:
        """Sweep, where this worker leads; returns when to go on with what is left."""
        if self.leads:
            await self.sweep()
            if self._after:
                return self._again
        return None

    async def sweep(self) -> int:
        """Sweep once; returns how many documents were deleted.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        now = await self._clock.now()
        await self._let_expire()
        gone = 0
        for _ in range(MOST_PAGES):
            page = await self._old(now - timedelta(seconds=KEPT))
            whole = len(page) == PAGE
            known = (version_of(document) for document in page)
            versions = [version for version in known if version is not None]
            if whole and versions:
                # The last cell may go on in the next page.
                last = versions[-1].id
                part = [version for version in versions if version.id != last]
                versions = part or versions
            gone += await self._swept(planned(versions), now)
            # Whatever stands in a page, the next one begins after it.
            ends = document_id(versions[-1]) if versions else ""
            self._after = (ends or page[-1]["_id"]) if whole else ""
            if not whole:
                break
        return gone

    async def _let_expire(self) -> None:
        """Have the database delete what is over by itself, where this user may say so."""
        if self._indexed:
            return
        self._indexed = True
        try:
            known = await self._client.get_indexes(COLLECTION)
            if not any(EXPIRES in object_of(index.get("key")) for index in known):
                after = {"expireAfterSeconds": 0}
                await self._client.create_index(COLLECTION, {EXPIRES: 1}, after, INDEX)
        except OpenIAPError as error:
            self._indexed = not passes(error)
            self._log.debug(f"{COLLECTION} gets no index over {EXPIRES}: {error}")

    async def _old(self, before: datetime) -> list[JsonObject]:
        query: JsonObject = {
            "_type": TYPE,
            "namespace": self._cells.namespace,
            "_created": {"$lt": iso(before)},
            "_id": {"$gt": self._after},  # text: whatever else stands there is nobody's version
        }
        return await self._cell_reader.query(COLLECTION, query, FIELDS, {"_id": 1}, top=PAGE)

    async def _swept(self, plan: Plan, now: datetime) -> int:
        gone = 0
        if plan.superseded:
            gone += await self._client.delete_many(COLLECTION, ids=plan.superseded)
        if plan.dead:
            gone += await self._bury(plan.dead)
        for version in await self._over(plan.over, now):
            await self._cells.remove(version)
        return gone

    async def _bury(self, dead: dict[str, list[Version]]) -> int:
        """Delete removed cells that nobody has used since."""
        used = await self._used(dead)
        ids: list[str] = []
        for cell, known in dead.items():
            ids += superseded(known) if cell in used else [document_id(one) for one in known]
        gone = await self._client.delete_many(COLLECTION, ids=ids) if ids else 0
        for cell in await self._used(dead) - used:
            await self._put_back(dead[cell][0])
        return gone

    async def _used(self, dead: dict[str, list[Version]]) -> set[str]:
        """Return the cells that have versions beside these."""
        ids = [document_id(version) for known in dead.values() for version in known]
        query: JsonObject = {
            "cell": {"$in": list(dead)},
            "cell.0": {"$exists": False},  # a list that names one may hold whatever else
            "_id": {"$nin": ids},
            "number": {"$gt": 1},
        }
        return set(await self._client.distinct(COLLECTION, "cell", query))

    async def _put_back(self, version: Version) -> None:
        """Say again that there is a cell, so that nobody makes a second one beside it."""
        first = replace(version, number=1, content={}, removed=True)
        with suppress(DuplicateKey):
            await self._client.insert_one(COLLECTION, self._cells.document(first))

    async def _over(self, versions: Sequence[Version], now: datetime) -> list[Version]:
        """Return those whose item has ended and whose hold or term is over."""
        over = []
        items = await self._items([version for version in versions if version.kind == UNIQUE])
        for version in versions:
            if version.kind == VALUE:
                ends = ends_at(version)
                if ends is not None and ends <= now:
                    over.append(version)
                continue
            if version.kind in TERMED:
                keep, at = version.content.get("keep"), version.stamped
                term = duration_of(keep)
                if term is None or at is None or at + timedelta(seconds=term) > now:
                    continue
                if version.kind != GROUP_KEY or await self._forgotten(version):
                    over.append(version)
                continue
            document = items.get(str(version.content.get("item")))
            if document is None:
                over.append(version)  # deleted, so there is no end to count a hold from
                continue
            held = held_until(document, version.content.get("hold"))
            if ended(document) and (held is None or held <= now):
                over.append(version)
        return over

    async def _forgotten(self, key: Version) -> bool:
        """Whether a key's group is not known any more: one that is open, or ended of late, is not
        to be pushed a second time."""
        return await self._cells.read(GROUP, str(key.content.get("id"))) is None

    async def _items(self, versions: Sequence[Version]) -> dict[str, JsonObject]:
        """Return the items of unique keys, by the id that their cells name."""
        ids = [str(version.content.get("item")) for version in versions]
        if not ids:
            return {}
        query: JsonObject = {"_id": {"$in": ids}}
        found = await self._items_reader.query(
            "workitems", query, PROJECTION, top=PAGE, needed=ENDED
        )
        items = {str(document["_id"]): document for document in found}
        missing = [id for id in ids if id not in items]
        if missing:
            queues = list({str(version.content.get("queue")) for version in versions})
            query = {"wiq": {"$in": queues}, MARKED: {"$in": missing}}
            for document in await self._items_reader.query(
                "workitems", query, PROJECTION, top=PAGE
            ):
                mark = object_of(object_of(document.get("payload")).get(KEY)).get(ID_FIELD)
                items[str(mark)] = document
        return items
