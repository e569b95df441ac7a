"""Documents that somebody else writes meanwhile: odd, hostile, of another version, misplaced."""

import json
import random
from collections.abc import Sequence
from typing import Any, Final

from tests.acceptance.attacked.deeds import KEYED, PLAIN, QUEUES, TICKED
from tests.acceptance.outsider import Outsider
from worker.openiap.wire import openiap_pb2 as pb

WORKERS: Final = "openiap_workers"
STATE: Final = "openiap_worker_state"
ITEMS: Final = "workitems"
KEYS: Final = 6
CLOSING: Final = "openiap_worker_closing"
ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    2**53,
    1e308,
    "",
    "x" * 20_000,
    "NaN",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    [],
    [None, 5, [[]]],
    {},
    {"a": {"b": None}},
)
FAR: Final = "2999-01-01T00:00:00.000Z"
Document = dict[str, Any]


class Writer:
    """Writes some of them each time; which ones follows from its random source.

    Args:
        workers: the ids of those that are real.
    """

    def __init__(self, outsider: Outsider, chance: random.Random, workers: Sequence[str]) -> None:
        self._outsider = outsider
        self._chance = chance
        self._workers = workers
        self._made = 0
        self.written = 0

    async def write(self) -> None:
        """Write one of each kind; what the server refuses is no matter."""
        query = {"wiq": {"$in": list(QUEUES)}, "state": "processing"}
        held = await self._outsider.query(ITEMS, query, {"_id": 1, "wiq": 1, "retries": 1})
        for act in (self._worker, self._own, self._deaths, self._state, self._item, self._queue):
            await act(held)
        if held:
            await self._mark(held)

    def _odd(self) -> Any:
        return self._chance.choice(ODD)

    def _id(self, name: str) -> str:
        self._made += 1
        return f"{name}-{self._made:06}"

    async def _worker(self, held: Sequence[Document]) -> None:
        """Somebody who says that he is a worker, and comes first in every order."""
        claims: list[Any] = [self._odd(), {"id": self._odd(), "retries": self._odd()}]
        if held and self._chance.random() < 0.3:
            one = self._chance.choice(held)
            claims.append({"id": one["_id"], "queue": one["wiq"], "retries": one["retries"]})
        document = {
            "_id": self._id("!somebody"),
            "_type": "worker",
            "queues": self._chance.choice(([*QUEUES], [*QUEUES, None, 5], self._odd())),
            "heartbeat": self._chance.choice((FAR, self._odd())),
            "rounds": self._chance.choice((1, self._odd())),
            "items": self._chance.choice((claims, self._odd())),
            "host": self._odd(),
            "pid": self._odd(),
            "namespace": self._chance.choice(("", self._odd())),
            "version": self._odd(),
        }
        await self._insert(WORKERS, document)
        # One that stays alive all the time, and does nothing.
        idle = {"_id": "!idle", "_type": "worker", "queues": [*QUEUES], "items": [], "rounds": 1}
        if not await self._replace(WORKERS, idle):
            await self._insert(WORKERS, idle)

    async def _own(self, held: Sequence[Document]) -> None:
        """A real worker's own document, spoiled or deleted."""
        name = self._chance.choice(self._workers)
        if self._chance.random() < 0.3:
            await self._outsider.delete(WORKERS, [name])
            return
        found = await self._outsider.query(WORKERS, {"_id": name})
        for document in found:
            own = ("items", "queues", "rounds", "pid", "heartbeat", "schema", "host")
            field = self._chance.choice((*own, *document))
            await self._replace(WORKERS, {**document, field: self._odd(), "_id": name})

    async def _deaths(self, held: Sequence[Document]) -> None:
        """A count of deaths of a real item that cannot be read."""
        item = self._chance.choice(held)["_id"] if held else "nobody"
        document = {"_id": f"deaths-{item}", "_type": "deaths", "name": "x", "item": item}
        odd = {"attempts": self._odd(), "workers": self._odd(), "at": self._odd()}
        await self._insert(WORKERS, {**document, **odd})

    async def _state(self, held: Sequence[Document]) -> None:
        """Cells, places in a line, and records of schedules."""
        key = f"{KEYED}/key-{self._chance.randrange(KEYS)}"
        number = self._chance.randrange(1, 2000)
        cell = {"_id": f"/key/{key}#{number:010}", "_type": "cell", "content": self._odd()}
        place = {
            "_id": f"/line/{key}#{self._chance.choice((0, 2)):010}/{self._id('zz')}/0",
            "_type": self._chance.choice(("place", self._odd())),
            "line": self._chance.choice((key, self._odd())),
            "item": self._chance.choice(("nobody", self._odd())),
            "retries": self._chance.choice((0, self._odd())),
        }
        record = {
            "_id": f"/schedule/{TICKED}/two",
            "_type": "schedule",
            "queue": TICKED,
            "schedule": "two",
            "since": self._odd(),
            "last": self._chance.choice((None, FAR, self._odd())),
        }
        for document in (cell, place, {**record, "_id": self._id("/schedule/elsewhere")}):
            await self._insert(STATE, document)
        await self._replace(STATE, record)
        switch = {**record, "_id": f"/schedule_switch/{TICKED}/two", "_type": "schedule_switch"}
        await self._insert(
            STATE, {**switch, "paused": self._chance.choice((None, 1, "x", [5], {}))}
        )

    async def _item(self, held: Sequence[Document]) -> None:
        """An item that nobody pushed, in a state that nothing leads to."""
        document = {
            "_id": self._id("item"),
            "_type": "workitem",
            "wiq": PLAIN,
            "state": self._chance.choice(("processing", "new", "retry", self._odd())),
            "name": self._odd(),
            "payload": self._odd(),
            "retries": self._odd(),
            "priority": self._odd(),
            "lastrun": self._chance.choice((FAR, self._odd())),
            "nextrun": self._odd(),
            "files": self._odd(),
            CLOSING: self._odd(),
        }
        await self._insert(ITEMS, document)

    async def _queue(self, held: Sequence[Document]) -> None:
        """A queue that nobody made so."""
        document = {"_id": self._id("queue"), "_type": "workitemqueue", "name": self._id("q")}
        odd = {"maxretries": self._odd(), "retrydelay": self._odd(), "amqpqueue": self._odd()}
        await self._insert("mq", {**document, **odd})

    async def _mark(self, held: Sequence[Document]) -> None:
        """A mark on a real item: as if somebody were about to close its run."""
        one = self._chance.choice(held)
        ghost = {"by": "!somebody", "retries": one["retries"], "run": self._odd()}
        change = {"$set": {CLOSING: self._chance.choice((ghost, self._odd()))}}
        request = pb.UpdateDocumentRequest(
            collectionname=ITEMS,
            query=json.dumps({"_id": one["_id"], "state": "processing"}),
            document=json.dumps(change),
        )
        await self._try("updatedocument", request, pb.UpdateDocumentResponse)

    async def _insert(self, collection: str, document: Document) -> None:
        request = pb.InsertOneRequest(collectionname=collection, item=json.dumps(document))
        await self._try("insertone", request, pb.InsertOneResponse)

    async def _replace(self, collection: str, document: Document) -> bool:
        request = pb.UpdateOneRequest(collectionname=collection, item=json.dumps(document))
        return await self._try("updateone", request, pb.UpdateOneResponse)

    async def _try(self, command: str, request: Any, kind: Any) -> bool:
        try:
            await self._outsider.call(command, request, kind)
        except RuntimeError:  # refused
            return False
        self.written += 1
        return True
