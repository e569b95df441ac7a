"""``python -m tests.benchmarks.item_lines``: what the log line of each item costs.

The whole worker with the native client and a no-op handler, in two ways:

1. In alternating pairs of runs, ``item_log = "none"`` against ``"all"``: what a user would see.
   Runs differ by more than a line costs, so many pairs are needed, on a quiet machine.
2. Within one worker that says the items of every other stretch: what slows the machine down slows
   neighbours alike, so a few runs tell the processor's time for a line to a microsecond.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tests.benchmarks.figures import Spread, plain
from tests.benchmarks.stage import fill, lane, local_server
from worker.engine.delivery.delivery import Delivered
from worker.engine.in_flight import Running
from worker.engine.item_log import ItemLog
from worker.item.outcome import Outcome

FORMS: Final = ("json", "text")
DEADLINE: Final = 200.0
BOUND: Final = 0.03
"""What the lines may take of items per second."""
STRETCH: Final = 300
"""Items that are said, and then as many that are not."""


class EveryOtherStretch:
    """Stands in the place of ``ItemLog.finished``: passes every other stretch of items on."""

    def __init__(self) -> None:
        self.without: Final[list[float]] = []
        self.with_lines: Final[list[float]] = []
        self._passing = False
        self._count = 0
        self._since = time.process_time()

    def finished(
        self,
        log: ItemLog,
        running: Running,
        outcome: Outcome,
        delivered: Delivered,
        seconds: float,
    ) -> None:
        """Count an item, and say it or not."""
        if self._passing:
            PLAIN(log, running, outcome, delivered, seconds)
        self._count += 1
        if self._count == STRETCH:
            log._log.use(None)  # writes what waits: it belongs to this stretch
            now = time.process_time()
            (self.with_lines if self._passing else self.without).append(now - self._since)
            self._since, self._count, self._passing = now, 0, not self._passing

    def pairs(self) -> list[tuple[float, float]]:
        """Return microseconds of CPU per item, without and with lines, of neighbours; the first
        two are left out, since much is done for the first time there."""
        both = list(zip(self.without, self.with_lines, strict=False))[1:]
        return [(a / STRETCH * 1e6, b / STRETCH * 1e6) for a, b in both]


PLAIN: Final = ItemLog.finished


async def within(worker: Callable[[Mapping[str, Any]], Awaitable[Any]], spec: Any) -> Any:
    """Run the lane of the worker with every other stretch said."""
    stretches = EveryOtherStretch()

    def finished(log: ItemLog, *of_an_item: Any) -> None:
        stretches.finished(log, *of_an_item)

    ItemLog.finished = finished  # type: ignore[method-assign]
    await worker(spec)
    return {"pairs": stretches.pairs()}


async def once(kind: str, form: str, choice: str, items: int, slots: int) -> dict[str, Any]:
    """Work so many no-op items of a full queue; what the lane measured."""
    settings = {"item_log": choice, "log_format": form, "log_level": "info"}
    async with local_server() as server:
        await fill(server, "noop", items)
        more = {"client": "native", "slots": slots, "items": items, "handler": "noop"}
        found: dict[str, Any] = await lane(server, kind, DEADLINE, **more, settings=settings)
        return found


async def in_pairs(form: str, given: argparse.Namespace) -> None:
    """Measure pairs of runs, and print them."""
    found: dict[str, list[dict[str, Any]]] = {"none": [], "all": []}
    for number in range(given.pairs):
        for choice in ("none", "all") if number % 2 else ("all", "none"):
            found[choice].append(await once("worker", form, choice, given.items, given.slots))
    for figure, unit in (("rate", "items/s"), ("cpu", "µs of CPU per item")):
        without, with_lines = ([one[figure] for one in found[key]] for key in ("none", "all"))
        _say(f"{form}, {given.pairs} pairs of runs, {unit}", without, with_lines)


async def in_stretches(form: str, given: argparse.Namespace) -> bool:
    """Measure within workers, and print it; whether lines cost no more than they may."""
    pairs: list[tuple[float, float]] = []
    for _ in range(given.runs):
        pairs += (await once("item_lines", form, "all", given.items, given.slots))["pairs"]
    without, with_lines = [a for a, _ in pairs], [b for _, b in pairs]
    _say(f"{form}, {len(pairs)} pairs of stretches, µs of CPU per item", without, with_lines)
    line = statistics.median(b - a for a, b in pairs)
    share = line / statistics.median(without)
    print(f"{form}: {plain(line)} µs a line, {share:.1%} of an item", flush=True)
    return share <= BOUND


def _say(what: str, without: list[float], with_lines: list[float]) -> None:
    ratio = Spread.of(b / a for a, b in zip(without, with_lines, strict=True))
    print(
        f"{what}: without {Spread.of(without)}, with {Spread.of(with_lines)};"
        f" ratio {ratio.median:.3f} ({min(ratio.values):.3f} to {max(ratio.values):.3f})",
        flush=True,
    )


async def run(given: argparse.Namespace) -> bool:
    """Measure what was asked for; whether lines cost no more than they may."""
    well = True
    for form in [given.form] if given.form else FORMS:
        if given.pairs:
            await in_pairs(form, given)
        if given.runs:
            well = await in_stretches(form, given) and well
    return well


def main() -> int:
    """Read the command line, run, return 1 when lines cost more than 3 %."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.item_lines", description=__doc__
    )
    parser.add_argument("--pairs", type=int, default=8, help="of runs (default 8; 0: none)")
    parser.add_argument("--runs", type=int, default=3, help="in stretches (default 3; 0: none)")
    parser.add_argument("--items", type=int, default=12_000, help="in each run (default 12000)")
    parser.add_argument("--slots", type=int, default=32, help="of the handler (default 32)")
    parser.add_argument("--form", choices=FORMS, help="this one only")
    return 0 if asyncio.run(run(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
