"""A fleet in one loop over an OpenIAP in memory: every call may be overtaken by every other one.

Workers are tasks that pop, run and write back as the engine does, with the real ``KeyLock``, and
that die wherever they are. Time does not pass: an item that is parked is popped when it was woken.
"""

import asyncio
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.engine.concurrency.key_lock import KeyLock
from worker.engine.concurrency.waiting_line import WaitingLines
from worker.engine.concurrency.waker import Waker
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey
from worker.openiap.types import Capabilities, UpdateResult
from worker.openiap.values import iso, parse_iso
from worker.openiap.workitem import Workitem
from worker.state.cells import Cells

QUEUE = "q"
FAR = timedelta(days=1)


class Memory:
    """As much of OpenIAP as keys need; each call is one step, with others before and after it."""

    def __init__(self, chance: random.Random) -> None:
        self.collections: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.calls: Counter[str] = Counter()
        self._chance = chance

    async def _others(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)

    async def _step(self, name: str, step: Callable[[], Any]) -> Any:
        self.calls[name] += 1
        await self._others()
        done = step()
        await self._others()
        return done

    async def insert_one(
        self, collection: str, item: dict[str, Any], *, timeout: float | None = None
    ) -> dict[str, Any]:
        def step() -> dict[str, Any] | None:
            if item["_id"] in self.collections[collection]:
                return None
            stored = {**item, "_created": iso(datetime.now(UTC))}
            self.collections[collection][item["_id"]] = stored
            return dict(stored)

        stored: dict[str, Any] | None = await self._step("insert_one", step)
        if stored is None:
            raise DuplicateKey(f"E11000 {item['_id']}")
        return stored

    async def query(
        self,
        collection: str,
        query: dict[str, Any],
        projection: Any = None,
        orderby: Any = None,
        *,
        top: int = 100,
        skip: int = 0,
        timeout: float | None = None,
    ) -> list[dict[str, Any]]:
        def step() -> list[dict[str, Any]]:
            found = [d for d in self.collections[collection].values() if _matches(d, query)]
            found.sort(key=lambda d: d["_id"], reverse=bool(orderby) and orderby["_id"] < 0)
            return [dict(d) for d in found[skip : skip + top]]

        found: list[dict[str, Any]] = await self._step("query", step)
        return found

    async def delete_one(self, collection: str, id: str, *, timeout: float | None = None) -> int:
        def step() -> int:
            return 0 if self.collections[collection].pop(id, None) is None else 1

        gone: int = await self._step("delete_one", step)
        return gone

    async def delete_many(self, collection: str, ids: Sequence[str]) -> int:
        def step() -> int:
            return sum(self.collections[collection].pop(id, None) is not None for id in ids)

        gone: int = await self._step("delete_many", step)
        return gone

    async def update_one(self, collection: str, item: dict[str, Any]) -> dict[str, Any]:
        def step() -> None:
            if item["_id"] in self.collections[collection]:
                self.collections[collection][item["_id"]] = dict(item)

        await self._step("update_one", step)
        return item

    async def update_document(
        self, collection: str, query: dict[str, Any], change: dict[str, Any]
    ) -> UpdateResult:
        def step() -> int:
            found = [d for d in self.collections[collection].values() if _matches(d, query)]
            for document in found:
                document.update(change["$set"])
            return len(found)

        count: int = await self._step("update_document", step)
        return UpdateResult(count, count)

    async def pop(self) -> Workitem | None:
        """Take what is due, the oldest first."""

        def step() -> Workitem | None:
            now = datetime.now(UTC)
            for item in sorted(self.collections["workitems"].values(), key=lambda d: d["_id"]):
                if item["state"] == "new" and parse_iso(item["nextrun"]) <= now:
                    item["state"] = "processing"
                    return Workitem(id=item["_id"], retries=item["retries"], wiq=QUEUE)
            return None

        popped: Workitem | None = await self._step("pop", step)
        return popped


def _matches(document: dict[str, Any], query: dict[str, Any]) -> bool:
    compared = {
        "$gt": lambda a, b: a > b,
        "$gte": lambda a, b: a >= b,
        "$lt": lambda a, b: a < b,
        "$lte": lambda a, b: a <= b,
        "$in": lambda a, b: a in b,
    }
    for field, wanted in query.items():
        found = document.get(field)
        if isinstance(wanted, dict):
            if not all(compared[op](found, value) for op, value in wanted.items()):
                return False
        elif found != wanted:
            return False
    return True


class Door:
    """What one worker has of it: the official client's abilities, or the native one's."""

    def __init__(self, memory: Memory, *, native: bool) -> None:
        self._memory = memory
        self.capabilities = Capabilities("memory", conditional_updates=native)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)


class Link:
    """One client in the place of a pool."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def wait_ready(self) -> None: ...

    async def call(self, operation: Callable[[Client], Awaitable[Any]], *, turn: str = "") -> Any:
        return await operation(self._client)


class Fleet:
    """Workers, the rescuer, and who counts."""

    def __init__(self, seed: int, *, clients: Sequence[bool], per_key: int = 1) -> None:
        """Make one whose workers have these clients in turn; True is the native one."""
        self.chance = random.Random(seed)
        self.memory = Memory(self.chance)
        self._clients = itertools.cycle(clients)
        self.items = self.memory.collections["workitems"]
        self.per_key = per_key
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.began: dict[str, list[str]] = defaultdict(list)
        self._numbers = itertools.count()
        self._parked_by_hand: set[str] = set()

    def push(self, key: str) -> str:
        """Add an item."""
        id = f"{next(self._numbers):024}"
        past = iso(datetime.now(UTC) - timedelta(minutes=1))
        self.items[id] = {
            "_id": id, "wiq": QUEUE, "state": "new", "retries": 0, "nextrun": past, "key": key,
            "payload": {},
        }  # fmt: skip
        return id

    def key_lock(self) -> KeyLock:
        """Return one worker's."""
        client: Any = Door(self.memory, native=next(self._clients))
        link: Any = Link(client)
        return KeyLock(
            self.per_key,
            cells=Cells(client),
            lines=WaitingLines(client, namespace="", queue=QUEUE),
            waker=Waker(link, queue=QUEUE),
            wake=lambda: None,
            now=lambda: datetime.now(UTC) + timedelta(seconds=60),  # nobody is given time to wake
        )

    @property
    def done(self) -> bool:
        """Whether every item has ended."""
        return all(item["state"] == "successful" for item in self.items.values())

    async def worker(self, *, slots: int, fails: float = 0.0) -> None:
        """Work until nothing is left; whoever cancels this kills a worker."""
        lock = self.key_lock()
        lines = WaitingLines(self.memory, namespace="", queue=QUEUE)  # type: ignore[arg-type]
        tasks: set[asyncio.Task[None]] = set()
        try:
            while not self.done:
                for task in [one for one in tasks if one.done()]:
                    tasks.discard(task)
                    task.result()  # what a worker itself fails on ends it
                workitem = await self.memory.pop() if len(tasks) < slots else None
                if workitem is None:
                    await asyncio.sleep(0)
                    continue
                tasks.add(asyncio.create_task(self._work(lock, lines, workitem, fails)))
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(
        self, lock: KeyLock, lines: WaitingLines, workitem: Workitem, fails: float
    ) -> None:
        id = workitem.id
        key = str(self.items[id]["key"])
        line = f"{QUEUE}/{key}"
        hold = await lock.acquire(line, key, workitem)
        if hold is None:
            waiter = lines.waiter(line, key, workitem)
            await lines.join(waiter)
            if await self._write_back(workitem, state="new", nextrun=iso(datetime.now(UTC) + FAR)):
                if not lock.busy(line):
                    await lock.refill(line, waiter)
            else:
                await lines.leave(waiter)
            return
        try:
            self.began[key].append(id)
            self.running[key] += 1
            self.most[key] = max(self.most[key], self.running[key])
            try:
                for _ in range(self.chance.randrange(12)):
                    await asyncio.sleep(0)
            finally:
                self.running[key] -= 1
            past = iso(datetime.now(UTC) - timedelta(minutes=1))
            failed = self.chance.random() < fails
            change: dict[str, Any] = {"state": "successful"}
            if failed:
                change = {"state": "new", "retries": workitem.retries + 1, "nextrun": past}
            written = await self._write_back(workitem, **change)
        finally:
            lock.stopped(hold)
        await (lock.release(hold) if written else lock.refill(line))

    async def _write_back(self, workitem: Workitem, **change: Any) -> bool:
        condition = {"_id": workitem.id, "state": "processing", "retries": workitem.retries}
        done = await self.memory.update_document("workitems", condition, {"$set": change})
        return done.matched == 1

    def rescue(self, alive: set[str]) -> None:
        """End the attempts whose worker is dead."""
        past = iso(datetime.now(UTC) - timedelta(minutes=1))
        for item in self.items.values():
            if item["state"] == "processing" and item["_id"] not in alive:
                item.update(state="new", retries=item["retries"] + 1, nextrun=past)
