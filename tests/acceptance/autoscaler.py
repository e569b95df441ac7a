"""An autoscaler as small as can be, and a race between it and fixed numbers of workers.

It follows ``/scale`` as KEDA and the HPA do, only faster: up at once, down by one at a time and
only when fewer were wished for a while (their stabilization window). Fixed numbers and the
autoscaler begin alike: the items wait, and no worker runs yet.
"""

import asyncio
import itertools
import json
import statistics
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.acceptance.processes import START_DEADLINE, WAIT, Worker, until
from tests.acceptance.results import table
from tests.acceptance.stage import PATIENT, Stage

ITEMS: Final = 5_000
MOST: Final = 8
SECONDS: Final = 0.01
"""What a handler takes."""
TARGET: Final = 4
"""Seconds that an item may wait; about what the best of them take for all."""
LOOK_EVERY: Final = 0.5
DOWN_AFTER: Final = 3.0
DEADLINE: Final = 400.0
QUEUE: Final = "items"
WANTED: Final = 1.3
"""Times the best fixed number that the autoscaler may take."""
PAIRS: Final = 3
"""In each round."""
FIXED_HEAD: Final = ["workers", "each round, s", "median, s"]
PAIRS_HEAD: Final = ["best number", "it, s", "autoscaled, s", "times"]


@dataclass
class Scaled:
    """What the autoscaler did."""

    seconds: float = 0.0
    most: int = 0
    codes: list[int] = field(default_factory=list)
    wished: list[int] = field(default_factory=list)


class Autoscaler:
    """Starts and stops workers, between one and eight."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.running: list[tuple[Worker, int]] = []
        self.stopping: list[Worker] = []
        self.told = Scaled()
        self._lately: deque[tuple[float, int]] = deque()

    async def add(self) -> None:
        """Start one more worker; returns at once."""
        port = self.stage.port()
        worker = self.stage.worker(
            f"w{len(self.stage.workers)}",
            QUEUE,
            proxy=None,
            url=f"ws://127.0.0.1:{self.stage.server.port}",
            health_port=port,
            # Nobody dies here: a worker that starts on a busy machine is no dead one.
            dead_after=60,
            unclaimed_after=0,
            # Nor does one give an item back that it could finish, or up a pop: nobody would see to
            # what that leaves.
            drain_timeout=60,
            **PATIENT,
        )
        # Compiled once, as an installation is: whether an environment forbids that is no matter of
        # scaling, and would be half of each start.
        worker.environment["PYTHONDONTWRITEBYTECODE"] = ""
        await worker.start()
        self.running.append((worker, port))
        self.told.most = max(self.told.most, len(self.running))

    async def remove(self) -> None:
        """Tell the youngest worker to stop, whatever it works on.

        One that starts yet is waited for: Python itself dies of the signal.
        """
        worker, _ = self.running[-1]
        await until(f"{worker.name} works", worker.ready, START_DEADLINE, tell=worker.tail)
        self.running.pop()
        worker.terminate()
        self.stopping.append(worker)

    async def follow(self) -> None:
        """Ask and act, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            wished = await asyncio.to_thread(ask, self.running[0][1])
            if wished is None:
                continue
            self.told.wished.append(wished)
            wanted = min(MOST, max(1, wished))
            while len(self.running) < wanted:
                await self.add()
            if len(self.running) > self._highest(wanted):
                await self.remove()

    def _highest(self, wanted: int) -> int:
        now = time.monotonic()
        self._lately.append((now, wanted))
        while now - self._lately[0][0] > DOWN_AFTER:
            self._lately.popleft()
        return max(number for _, number in self._lately)

    async def end(self) -> None:
        """Stop all and note how they ended."""
        while self.running:
            await self.remove()
        self.told.codes = [await worker.ended(2 * WAIT) for worker in self.stopping]


def ask(port: int) -> int | None:
    """Return the wished number of workers, or None where there is no answer."""
    url = f"http://127.0.0.1:{port}/scale?queue={QUEUE}&target={TARGET}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
    except OSError:
        return None
    return int(found["wished"])


async def work_off(folder: Path, fixed: int, count: int = ITEMS) -> Scaled:
    """Work all items off with a fixed number of workers, or autoscaled with 0.

    Args:
        count: of the items.

    Raises:
        AssertionError: an item was lost, left or done twice, or a worker did not end well.
    """
    folder.mkdir()
    async with Stage(folder, client="native") as stage:
        async with stage.outsider() as outsider:
            await outsider.queue(QUEUE, maxretries=1)
            pushed = await outsider.push(QUEUE, [{"seconds": SECONDS}] * count)
            scaler = Autoscaler(stage)
            began = time.monotonic()
            for _ in range(fixed or 1):
                await scaler.add()
            following = asyncio.create_task(scaler.follow()) if not fixed else None

            async def done() -> bool:
                return await outsider.count(QUEUE, "new", "processing") == 0

            await until("all is done", done, DEADLINE, every=0.1)
            scaler.told.seconds = time.monotonic() - began
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            await scaler.end()
        await account_for(stage, pushed)
        assert set(scaler.told.codes) == {0}
    return scaler.told


async def account_for(stage: Stage, pushed: Sequence[str]) -> None:
    """Hold the books to it that every item was done once.

    Raises:
        AssertionError: one was not.
    """
    books = await stage.account(QUEUE, pushed)
    assert (books.successful, books.lost, books.stuck) == (len(pushed), 0, 0)
    assert books.repeats == 0, "scale-down never kills an item"


@dataclass(frozen=True)
class Race:
    """What was measured.

    Attributes:
        fixed: seconds by number of workers, one for each round.
        pairs: the best number of a round once more, and the autoscaler right after it: number,
            its seconds, the autoscaler's.
        most: workers that the autoscaler had at once.
    """

    fixed: dict[int, list[float]]
    pairs: list[tuple[int, float, float]]
    most: int

    @property
    def ratio(self) -> float:
        """How many times as long the autoscaler takes: the median of the pairs."""
        return statistics.median(scaled / best for _, best, scaled in self.pairs)

    def text(self) -> str:
        """Return what the page of results says."""
        fixed: list[list[object]] = [
            [number, ", ".join(f"{one:.1f}" for one in times), f"{statistics.median(times):.1f}"]
            for number, times in self.fixed.items()
        ]
        pairs: list[list[object]] = [
            [number, f"{best:.1f}", f"{scaled:.1f}", f"{scaled / best:.2f}"]
            for number, best, scaled in self.pairs
        ]
        return (
            f"{ITEMS:,} items of {SECONDS * 1000:g} ms, four at once in each worker; at the start"
            f" nothing runs. The autoscaler follows `/scale?target={TARGET}`, looks every"
            f" {LOOK_EVERY:g} s, and has from 1 to at most {MOST} workers (it had {self.most})."
            f" It takes {self.ratio:.2f} times as long as the best fixed number ({WANTED:g} is"
            " the promise): each pair is the best number of its round, run again, and the"
            " autoscaler right after it.\n\n"
            + table(FIXED_HEAD, fixed)
            + "\n\n"
            + table(PAIRS_HEAD, pairs)
        )


async def race(folder: Path, rounds: int, *, tell: Callable[[str], None]) -> Race:
    """Measure each fixed number, then the best of them and the autoscaler in turn, several times.

    Args:
        tell: is given a line for each run.
    """
    runs = itertools.count()
    most = 0

    async def timed(number: int) -> float:
        nonlocal most
        told = await work_off(folder / f"{next(runs)}", number)
        most = max(most, 0 if number else told.most)
        tell(f"{number or 'autoscaled'}: {told.seconds:.1f} s, wished {told.wished}")
        return told.seconds

    await work_off(folder / "first", MOST)  # compiles
    fixed: dict[int, list[float]] = {number: [] for number in range(1, MOST + 1)}
    pairs = []
    for _ in range(rounds):
        for number, times in fixed.items():
            times.append(await timed(number))
        best = min(fixed, key=lambda number: fixed[number][-1])
        for _ in range(PAIRS):
            pairs.append((best, await timed(best), await timed(0)))
    return Race(fixed, pairs, most)
