"""``python -m tests.benchmarks``: runs them and writes ``RESULTS.md`` beside this file.

A part that breaks or takes too long is noted on the page with its reason; the others go on.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.benchmarks import (
    growth,
    idle,
    latency,
    machine,
    memory,
    ordered_keys,
    ordered_schedules,
    outofbox,
    scale,
    throughput,
)
from tests.benchmarks.figures import Section, Table
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import ROOT

RESULTS: Final = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark: the numbers of its sections, what runs it, and its bound in seconds."""

    numbers: tuple[int, ...]
    title: str
    run: Callable[[Plan], Awaitable[list[Section]]]
    bound: float


PARTS: Final = (
    Part((1, 2), "Items per second, CPU per item, the worker's share", throughput.run, 2400),
    Part((3,), "From push to handler start", latency.run, 600),
    Part((4,), "Idle", idle.run, 400),
    Part((5,), "More processes", scale.run, 900),
    Part((6,), "Memory", memory.run, 900),
    Part((7,), "How the cost grows", growth.run, 1500),
    Part((9,), "Schedules", ordered_schedules.run, 1500),
    Part((10,), "Keys and rates", ordered_keys.run, 2400),
    Part((11,), "Out of the box", outofbox.run, 6000),
)
"""In the order of the page; a new benchmark is a module with ``run`` and a line here."""


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--quick", action="store_true", help="one run of small amounts")
    parser.add_argument("--only", default="", help="numbers, such as 1,3; 1 and 2 go together")
    parser.add_argument("--runs", type=int, default=0, help="runs of each (default 5, quick 1)")
    parser.add_argument("--no-peers", action="store_true", help="leave out the peers on Redis")
    parser.add_argument(
        "--bench-dir",
        type=Path,
        default=Path(os.environ.get("OPENIAP_BENCH_DIR", ROOT.parent / "shared" / "bench")),
        help="holds official_loop.py and run_peers (default ../shared/bench)",
    )
    parser.add_argument(
        "--peers-dir",
        type=Path,
        default=Path(tempfile.gettempdir()) / "openiap-worker-peers",
        help="keeps the peers' environments between runs",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="PATH",
        help="another checkout of this project: the tree before, for what 11 compares with it",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file to write")
    found = parser.parse_args(given)
    if found.against and not (found.against / "worker" / "__main__.py").is_file():
        parser.error(f"--against {found.against}: no checkout of this project, no worker/ in it")
    return found


async def _run(plan: Plan, only: frozenset[int], results: Path) -> bool:
    """Run what was asked for; whether all of it ran to its end."""
    began, load = datetime.now(UTC), machine.load()
    sections: list[Section] = []
    well = True
    for part in PARTS:
        if only and not only & set(part.numbers):
            continue
        numbers = " and ".join(map(str, part.numbers))
        print(f"{datetime.now(UTC):%H:%M:%S} {numbers}: {part.title} …", flush=True)
        start = time.monotonic()
        found, fault = await _bounded(part, plan)
        if fault:
            found = [Section(part.numbers[0], part.title, [f"**Not measured:** {fault}"])]
        well = well and not fault and not any(section.fault for section in found)
        found[-1].notes.append(f"Took {time.monotonic() - start:.0f} s.")
        for section in found:
            sections.append(section)
            print("\n".join(section.lines()), flush=True)
        # After each: a run that is ended early keeps what it has.
        results.write_text(_page(plan, sections, began, load), encoding="utf-8")
    return well


async def _bounded(part: Part, plan: Plan) -> tuple[list[Section], str]:
    """Run one part; returns its sections, or why there are none."""
    try:
        async with asyncio.timeout(part.bound):
            return await part.run(plan), ""
    except TimeoutError:
        return [], f"it took longer than {part.bound:g} s."
    except Exception as error:  # whatever it is, the other parts go on
        return [], f"{type(error).__name__}: {error}"


def _page(plan: Plan, sections: Sequence[Section], began: datetime, load: str) -> str:
    kind = "**A quick run, not for figures.** " if plan.quick else ""
    lines = [
        "# How fast the worker is and what it costs",
        "",
        f"{kind}Written by `python -m tests.benchmarks`. Medians of {plan.runs}, with the lowest"
        " and the highest; everything on loopback and one machine. Absolute figures move with the"
        " machine; compare within one run. How to read it: [README](README.md).",
        "",
        *machine.table(began, load).lines(),
        "",
    ]
    targets = [(section.number, target) for section in sections for target in section.targets]
    if targets:
        table = Table(("", "target", "bound", "measured", ""))
        table.rows = [(str(number), *target.row()) for number, target in targets]
        lines += ["## Targets", "", *table.lines(), ""]
    for section in sections:
        lines += section.lines()
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Run what was asked for and return the exit code: 1 where a part did not run to its end."""
    given = _arguments(sys.argv[1:])
    only = frozenset(int(number) for number in given.only.split(",") if number)
    plan = Plan(
        runs=given.runs or (1 if given.quick else 5),
        quick=given.quick,
        bench_dir=given.bench_dir,
        peers_dir=given.peers_dir,
        peers=not given.no_peers,
        before=given.against and given.against.resolve(),
    )
    # As Ctrl-C does: who is asked to end still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    return 0 if asyncio.run(_run(plan, only, given.results)) else 1


if __name__ == "__main__":
    sys.exit(main())
