"""The attack: items of every make, and meanwhile all that the plan holds; then the books.

1. Workers sign in as users of their own, so that the ledger tells who wrote.
2. They are started again whenever they end, as systemd does; whose end no fault explains is told.
3. At the end everything is whole again, and what was promised has to come true in time: each item
   has its outcome, each success its successor, each schedule its ticks, each worker its heartbeat.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tests.acceptance.accounting import Journal
from tests.acceptance.attacked.clocks import MISSING, Clock, library
from tests.acceptance.attacked.deeds import (
    AFTER,
    CHAINED,
    FORKED,
    KEYED,
    PLAIN,
    PUSHED,
    QUEUES,
    THREADED,
    TICKED,
    WAYS,
)
from tests.acceptance.attacked.documents import ITEMS, KEYS, ODD, WORKERS, Writer
from tests.acceptance.attacked.faults import Faults
from tests.acceptance.attacked.guest import Guest
from tests.acceptance.attacked.history import histories
from tests.acceptance.attacked.ledger import Books, begin_ledger, judged, read_ledger
from tests.acceptance.attacked.plan import SERVER, Attack, planned
from tests.acceptance.outsider import Outsider
from tests.acceptance.processes import PASSWORD, WAIT, Overdue, Worker, until
from tests.acceptance.proxy import Proxy
from tests.acceptance.stage import Stage

MODULE: Final = "tests.acceptance.attacked.deeds"
SHARES: Final = ((PLAIN, 6), (CHAINED, 2), (KEYED, 2), (THREADED, 1), (FORKED, 2))
HOW: Final = ("", "", "", "fails", "bad", "file", "follow", "follow", "late")
MARK: Final = "openiap_worker"
MAXRETRIES: Final = 100
WITHIN: Final = 120.0
PACE_OF_ENDS: Final = 1.0
"""Seconds; a worker that ends at its start is told about so often, and not a hundred times."""
"""Seconds for each promise to come true."""
Documents = list[dict[str, Any]]


@dataclass
class Aftermath:
    """What was done, and what came of it."""

    attack: Attack
    books: Books = field(default_factory=Books)
    done: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """Promises beside the books that were not kept."""
    histories: list[str] = field(default_factory=list)
    """Of some of the items that are not as they should be."""
    not_run: list[str] = field(default_factory=list)
    took: float = 0.0

    def faults(self) -> list[str]:
        """Return what does not hold."""
        return [*self.books.faults(), *self.broken]


async def attacked(
    attack: Attack, folder: Path, *, tell: Callable[[str], None] = lambda line: None
) -> Aftermath:
    """Run it.

    Args:
        folder: where all files go; logs of workers, too.
        tell: hears of each fault as it begins.
    """
    after = Aftermath(attack)
    began = time.monotonic()
    faked = attack.has("clocks") and bool(library())
    if attack.has("clocks") and not faked:
        after.not_run.append(MISSING)
        attack = replace(attack, without=attack.without | {"clocks"})
        tell(MISSING)
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(_journal(folder / "journal"))
        users = [f"w{number}" for number in range(attack.workers)]
        stage = Stage(folder, *(o for u in users for o in ("--user", f"{u}:{PASSWORD}")))
        begin_ledger(stage.server.data)
        clocks: dict[int | str, Clock] = {
            who: Clock(folder / f"clock-{who}", faked=faked)
            for who in (SERVER, *range(attack.workers))
        }
        stage.server.environment = clocks[SERVER].environment
        await stack.enter_async_context(stage)
        proxies = [
            await stack.enter_async_context(Proxy(stage.server.port)) for _ in range(attack.workers)
        ]
        workers = [
            _worker(stage, attack, number, proxy, clocks[number])
            for number, proxy in enumerate(proxies)
        ]
        guest = Guest(stage.server.port)
        await guest.does(_queues)
        writing = attack.chance("what others write")
        writers: Counter[str] = Counter()

        async def write() -> None:
            async def odd(outsider: Outsider) -> None:
                writer = Writer(outsider, writing, users)
                await writer.write()
                writers["documents written"] += writer.written

            await guest.does(odd)

        faults = Faults(attack, stage.server, workers, proxies, clocks, write)
        living = [asyncio.create_task(_live(one, faults, after)) for one in workers]
        try:
            await until(
                "all work", lambda: all(one.alive and one.ready() for one in workers), 2 * WAIT
            )
            pushed = await _under_attack(attack, guest, faults, tell)
            faults.calm()
            await _settle(guest, workers, after)
        finally:
            for task in living:
                task.cancel()
            ends = await asyncio.gather(*living, return_exceptions=True)
            after.broken += [repr(end) for end in ends if isinstance(end, Exception)]
        await _stop(workers, after)
        stage.server.terminate()
        await stage.server.ended(WAIT)
        await asyncio.sleep(0)
        ledger, notes = read_ledger(stage.server.data), journal()
        after.books = judged(ledger, notes, pushed)
        faults.done["hung children"] = after.books.hung
        after.histories = histories(after.books.faults(), ledger, notes, folder)
    after.done = faults.done + writers
    after.took = time.monotonic() - began
    return after


def _worker(stage: Stage, attack: Attack, number: int, proxy: Proxy, clock: Clock) -> Worker:
    """Return one of the workers; every other one has the other client."""
    client = ("native", "official")[number % 2] if attack.client == "both" else attack.client
    worker = stage.worker(
        f"w{number}",
        *QUEUES,
        proxy=proxy,
        plan={"module": MODULE},
        client=client,
        username=f"w{number}",
        dead_after=attack.dead_after,
        unclaimed_after=attack.dead_after + 2,
        max_deaths=50,  # a kill that the plan holds is no item's fault
    )
    worker.environment |= clock.environment
    return worker


@asynccontextmanager
async def _journal(path: Path) -> AsyncIterator[Callable[[], Documents]]:
    """Make the pipe that handlers write to, and read it; gives what returns the notes so far."""
    os.mkfifo(path, 0o600)
    # Opened for writing, too, so that it never ends.
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    kept = path.with_suffix(".read")
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(BlockingIOError), kept.open("ab") as file:
            while data := os.read(descriptor, 65536):
                file.write(data)

    def notes() -> Documents:
        read()
        return Journal(kept).notes()

    loop.add_reader(descriptor, read)
    try:
        yield notes
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _queues(outsider: Outsider) -> None:
    """Make the queues; one of them is the first of a chain."""
    known = {one["name"] for one in await outsider.query("mq", {"_type": "workitemqueue"})}
    for name in QUEUES:
        if name not in known:
            await outsider.queue(name, maxretries=MAXRETRIES)
    found = {one["name"]: one for one in await outsider.query("mq", {"_type": "workitemqueue"})}
    await outsider.replace(
        "mq", {**found[CHAINED], "success_wiq": AFTER, "success_wiqid": found[AFTER]["_id"]}
    )


async def _live(worker: Worker, faults: Faults, after: Aftermath) -> None:
    """Start a worker, and again whenever it has ended."""
    while True:
        await worker.start()
        pid = worker.pid
        code = await worker.gone()
        if pid not in faults.killed:
            after.broken.append(f"{worker.name} ended with {code}: {worker.tail(12)}")
            await asyncio.sleep(PACE_OF_ENDS)


async def _under_attack(
    attack: Attack, guest: Guest, faults: Faults, tell: Callable[[str], None]
) -> list[int]:
    """Push items and let the faults happen; returns the numbers of the items."""
    begun = time.monotonic()
    chance = attack.chance("items")
    pushed: list[int] = []

    async def push() -> None:
        for second in range(int(attack.seconds)):
            await asyncio.sleep(max(0.0, begun + second - time.monotonic()))
            numbers = range(len(pushed), len(pushed) + attack.per_second)
            await guest.does(_batch([_payload(attack, chance, n) for n in numbers]))
            pushed.extend(numbers)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(push())
        for fault in planned(attack):
            await asyncio.sleep(max(0.0, begun + fault.at - time.monotonic()))
            if fault.kind != "documents":
                tell(str(fault))
            tasks.create_task(faults.strike(fault))
    return pushed


def _payload(attack: Attack, chance: Any, number: int) -> tuple[str, dict[str, Any]]:
    """Return one item's queue and payload."""
    queue = chance.choices([q for q, _ in SHARES], [weight for _, weight in SHARES])[0]
    payload: dict[str, Any] = {"n": number, "seconds": round(chance.uniform(0.02, 1.0), 3)}
    mark, way = chance.choice(ODD), chance.choice(WAYS)
    if chance.random() < 0.1:
        payload["seconds"] = attack.dead_after * chance.uniform(0.5, 1.5)
    how, key = chance.choice(HOW), chance.randrange(KEYS)
    if queue in (THREADED, FORKED):
        payload["code"] = None
        if attack.has("children"):
            payload |= dict(zip(("way", "end", "code"), way, strict=True))
    elif queue == KEYED:
        payload["key"] = f"key-{key}"
    else:
        payload["how"] = how
    if attack.has("marks") and number % 5 == 0:
        payload[MARK] = mark if number % 2 else {"checkpoint": mark, "progress": mark}
    return queue, payload


def _batch(items: Sequence[tuple[str, dict[str, Any]]]) -> Callable[[Outsider], Awaitable[None]]:
    async def push(outsider: Outsider) -> None:
        for queue in PUSHED:
            if those := [payload for of, payload in items if of == queue]:
                await outsider.push(queue, those)

    return push


async def _settle(guest: Guest, workers: Sequence[Worker], after: Aftermath) -> None:
    """Wait for what has to come true once all is whole again; notes what does not."""
    queues = {"wiq": {"$in": [*PUSHED, AFTER]}, "payload.n": {"$exists": True}}

    async def count(query: dict[str, Any]) -> int:
        return await guest.does(lambda outsider: outsider.count_of(ITEMS, query))

    async def done() -> bool:
        return await count({**queues, "state": {"$in": ["new", "processing"]}}) == 0

    async def followed() -> bool:
        won = {"state": "successful", "wiq": {"$ne": AFTER}}
        due = await count({**queues, **won, "$or": [{"payload.how": "follow"}, {"wiq": CHAINED}]})
        both = await count({**won, "wiq": CHAINED, "payload.how": "follow"})
        return await count({"wiq": AFTER, "payload.n": {"$exists": True}}) >= due + both

    ticked = {"wiq": TICKED, "state": "successful"}
    ticks = await count(ticked)
    stamps: dict[str, set[str]] = {worker.name: set() for worker in workers}

    async def beating() -> bool:
        found = await guest.does(lambda outsider: outsider.query(WORKERS, {"_type": "worker"}))
        for one in found:
            if one["_id"] in stamps:
                stamps[one["_id"]].add(str(one.get("_modified")))
        return all(len(seen) > 2 for seen in stamps.values())

    async def ticking() -> bool:
        return await count(ticked) > ticks + 2

    promises: dict[str, Callable[[], Awaitable[bool]]] = {
        "each worker has a heartbeat": beating,
        "each item has an outcome": done,
        "each success has its successor": followed,
        "schedules tick": ticking,
    }
    for what, kept in promises.items():
        try:
            await until(what, kept, WITHIN, every=0.3)
        except Overdue as error:
            after.broken.append(str(error))
    with contextlib.suppress(Overdue):
        await until("what follows is done", done, WAIT, every=0.3)


async def _stop(workers: Sequence[Worker], after: Aftermath) -> None:
    """Stop all workers as a platform does."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            async with asyncio.timeout(WAIT):
                code = await worker.gone()
        except TimeoutError:
            after.broken.append(f"{worker.name} did not stop within {WAIT:g} s: {worker.tail(12)}")
        else:
            if code:
                after.broken.append(f"{worker.name} stopped with {code}: {worker.tail(12)}")


HEAD: Final = [
    "seed",
    "client",
    "workers",
    "seconds",
    "items",
    "runs",
    "successors",
    "kills",
    "server restarts",
    "stops",
    "full disks",
    "refused calls",
    "clock leaps",
    "links hurt",
    "documents of others",
    "lost",
    "stuck",
    "overwritten",
    "failed wrongly",
    "attempts charged wrongly",
    "left out",
]


def row(after: Aftermath) -> list[object]:
    """Return one line of the table."""
    attack, books, done = after.attack, after.books, after.done
    left_out = [*sorted(attack.without), *after.not_run]
    return [
        attack.seed,
        attack.client,
        attack.workers,
        f"{attack.seconds:g}",
        books.items,
        books.runs,
        books.followed,
        done["kills"],
        done["restarts"],
        done["stops"],
        done["disks"],
        done["refused calls"],
        done["clocks"],
        done["links"],
        done["documents written"],
        len(books.lost),
        len(books.stuck),
        len(books.overwritten),
        len(books.failed_wrongly),
        len(books.charged),
        ", ".join(left_out) or "nothing",
    ]
