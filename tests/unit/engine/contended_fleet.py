"""A fleet at a queue whose pops disturb each other, in a time of its own.

The server's side is the pop loop of a real one (``localserver/operations/contention.py``): a
database that works off one call after the other, pops at once that read the same item, of which one
takes it. The workers' side is ``Turns`` and as much of a consumer as asks it.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final

from worker.engine.turns import Turns

CALL: Final = (0.001, 0.003)
"""Seconds that the database takes for one call."""
WAY: Final = (0.0006, 0.0014)
"""Seconds to the server, and back from it."""
EVENT: Final = (0.0008, 0.002)
"""Seconds until a watch tells."""
LATE: Final = 0.0005
"""Seconds that a timer of a worker is late in the mean."""
OVERHEAD: Final = 0.005
"""Seconds for which an item has a slot beside its handler."""
UNEVEN: Final = (0.9, 1.1)
"""No two items take exactly as long."""
SINCE: Final = 1_780_000_000.0


@dataclass(frozen=True, slots=True)
class Pop:
    """One pop: whose, when it began, what it took, and how many rounds it lost."""

    worker: str
    at: float
    took: float
    lost: int
    found: bool


@dataclass(slots=True)
class Worker:
    """One worker: its turns, and what its consumer does now."""

    name: str
    turns: Turns
    slots: int
    state: str = "idle"
    running: int = 0
    woken: bool = False
    asked: int = 0
    """Tells a timer that something else has come before it."""
    dead: bool = False
    told_until: float = 0.0
    """Events come in their order."""


@dataclass(slots=True)
class Rules:
    """What is told apart.

    Attributes:
        work: seconds that an item takes.
        call, way, event: see above.
        watch: whether workers are told of items.
        clocks: by how many seconds the time that all share differs, at most.
        length: the length of turns that the fleet tells.
    """

    work: float = 0.15
    slots: int = 4
    call: tuple[float, float] = CALL
    way: tuple[float, float] = WAY
    event: tuple[float, float] = EVENT
    watch: bool = True
    clocks: float = 0.002
    length: Callable[[], float | None] = field(default=lambda: None)


class Server:
    """The time, and a database that works off one call after the other, of whichever queue.

    Attributes:
        now: seconds from the beginning on.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._free_at = 0.0
        """When the database has worked off what was asked of it."""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def at(self, moment: float, what: Callable[[], None]) -> None:
        """Have something happen."""
        heapq.heappush(self._events, (moment, next(self._number), what))

    def call(self, seconds: float, what: Callable[[], None]) -> None:
        """Keep the database for so long, once it has worked off what came before."""
        self.stall(seconds)
        self.at(self._free_at, what)

    def stall(self, seconds: float) -> None:
        """Have the server answer nothing for so long."""
        self._free_at = max(self._free_at, self.now) + seconds

    def run(self, goes_on: Callable[[], bool], until: float = 300.0) -> None:
        """Go on as long as is asked for, or until it is so late."""
        while self._events and self.now < until and goes_on():
            self.now, _, what = heapq.heappop(self._events)
            what()


class Fleet:
    """Workers ``w00``, ``w01``, … of one queue, that know each other.

    Attributes:
        pops: in the order in which they ended.
    """

    def __init__(
        self,
        workers: int,
        rules: Rules | None = None,
        *,
        seed: int = 1,
        turns: type[Turns] = Turns,
        server: Server | None = None,
    ) -> None:
        self.rules: Final = rules or Rules()
        self.server: Final = server or Server()
        self.pops: list[Pop] = []
        self.done = 0
        self._turns = turns
        self._chance = random.Random(seed)
        self._items: deque[str] = deque()
        self.workers: dict[str, Worker] = {}
        self.known: dict[str, list[str]] = {}
        """By worker, the others that it knows."""
        for _ in range(workers):
            self.join()
        for name in self.workers:
            self.look(name)

    def join(self) -> str:
        """Add a worker, that knows nobody yet and whom nobody knows; returns its name."""
        name = f"w{len(self.workers):02}"
        off = self._chance.uniform(-self.rules.clocks, self.rules.clocks)
        turns = self._turns(
            name,
            lambda: self.rules.slots,
            clock=lambda: SINCE + self.now + off,
            others=lambda: self.known[name],
            wanting=lambda: self.known[name],
            length=self.rules.length,
            chance=random.Random(name),
        )
        turns.found_none(sum(self.rules.way) + sum(self.rules.call) / 2)
        self.known[name] = []
        self.workers[name] = Worker(name, turns, self.rules.slots)
        return name

    def look(self, name: str) -> None:
        """Have a worker see who is there."""
        self.known[name] = [w.name for w in self.workers.values() if w.name != name and not w.dead]

    @property
    def now(self) -> float:
        """The server's."""
        return self.server.now

    def at(self, moment: float, what: Callable[[], None]) -> None:
        """Have something happen."""
        self.server.at(moment, what)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Have something happen later."""
        self.server.at(self.now + seconds, what)

    def push(self, items: int) -> None:
        """Push items at once."""
        for _ in range(items):
            item = f"{self._chance.getrandbits(96):024x}"
            self._items.append(item)
            self._tell(partial(self._hears_of, item=item))
        if not self.rules.watch:
            for worker in self.workers.values():
                self._wake(worker)

    def stall(self, seconds: float) -> None:
        """Have the server answer nothing for so long."""
        self.server.stall(seconds)

    def run(self, items: int, until: float = 300.0) -> None:
        """Go on until so many items were worked, or it is so late."""
        self.server.run(lambda: self.done < items, until)

    def rate(self, since: float = 0.0) -> float:
        """Return the items per second that were taken, to the last of them."""
        taken = [pop.at + pop.took for pop in self.pops if pop.found and pop.at >= since]
        return len(taken) / max(1e-9, max(taken, default=0.0) - since)

    def lost(self, since: float = 0.0, until: float = float("inf")) -> float:
        """Return the rounds lost for each pop that began then."""
        found = [pop.lost for pop in self.pops if since <= pop.at < until]
        return sum(found) / max(1, len(found))

    def longest(self, since: float = 0.0) -> float:
        """Return the seconds of the longest pop that began then."""
        return max((pop.took for pop in self.pops if pop.at >= since), default=0.0)

    def _between(self, least_most: tuple[float, float]) -> float:
        return self._chance.uniform(*least_most)

    def _call(self, what: Callable[[], None]) -> None:
        self.server.call(self._between(self.rules.call), what)

    def _tell(self, what: Callable[[Worker], None]) -> None:
        if not self.rules.watch:
            return
        for worker in self.workers.values():
            at = max(worker.told_until, self.now + self._between(self.rules.event))
            worker.told_until = at + 1e-6
            self.at(at, partial(what, worker))

    def _hears_of(self, worker: Worker, item: str) -> None:
        if worker.dead:
            return
        wait = worker.turns.new(item, 0.0)
        if wait <= 0:
            self._wake(worker)
        else:
            self.after(wait, partial(self._alarm, worker, item))

    def _alarm(self, worker: Worker, item: str) -> None:
        if item in self._items:
            self._wake(worker)

    def _wake(self, worker: Worker) -> None:
        worker.woken = True
        if worker.state in ("idle", "waits"):
            self._goes_on(worker)

    def _waited(self, worker: Worker, asked: int) -> None:
        if asked == worker.asked:
            self._goes_on(worker)

    def _goes_on(self, worker: Worker) -> None:
        """As ``Consumer._pop_on``."""
        worker.asked += 1
        if worker.dead:
            return
        if worker.running >= worker.slots:
            worker.state = "full"
            return
        if (left := worker.turns.left()) > 0:
            worker.state, asked = "waits", worker.asked
            late = self._chance.expovariate(1 / LATE)
            self.after(left + late, partial(self._waited, worker, asked))
            return
        worker.woken, worker.state = False, "pops"
        began, lost = self.now, 0

        def reads() -> None:
            if not self._items:
                self.after(self._between(self.rules.way), lambda: answered(None))
                return
            item = self._items[0]
            self._call(lambda: takes(item))

        def takes(item: str) -> None:
            nonlocal lost
            if item not in self._items:
                lost += 1
                self._call(reads)
                return
            self._items.remove(item)
            self._tell(lambda other: other.turns.taken(item))
            self.after(self._between(self.rules.way), lambda: answered(item))

        def answered(item: str | None) -> None:
            took = self.now - began
            self.pops.append(Pop(worker.name, began, took, lost, item is not None))
            if item is None:
                worker.turns.found_none(took)
                worker.state = "idle"
                if worker.woken:
                    self._goes_on(worker)
                return
            worker.turns.found(item, took)
            worker.running += 1
            held = self.rules.work * self._between(UNEVEN) + OVERHEAD
            self.after(held, lambda: self._ends(worker, held))
            self._goes_on(worker)

        self.after(self._between(self.rules.way), lambda: self._call(reads))

    def _ends(self, worker: Worker, held: float) -> None:
        if worker.dead:
            return
        worker.turns.held(held)
        worker.turns.wrote(sum(self._between(self.rules.way) for _ in range(2)) + 0.001)
        worker.running -= 1
        self.done += 1
        if worker.state == "full":
            self._goes_on(worker)

    def kill(self, name: str) -> None:
        """Have a worker gone without a word; what it held is lost to this fleet."""
        worker = self.workers[name]
        worker.dead = True
        self.done += worker.running
