"""The long forms: ``python -m tests.acceptance.long --seeds 10``, ``… --soak``, ``… --attacked``.

Each run is printed as it ends, and the tables go to the page of results. The exit code is 1 if a
run did not hold. ``--seed N`` repeats one run; a long attack's row takes the place of the seed's.

``--attacked --seeds 5 --minutes 5`` attacks workers with all that ``attacked/plan.py`` names, and
takes half an hour; ``--without stops,clocks`` leaves kinds out, ``--keep FOLDER`` keeps all files.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.acceptance.attacked.attack import HEAD as ATTACKED_HEAD
from tests.acceptance.attacked.attack import attacked
from tests.acceptance.attacked.attack import row as attacked_row
from tests.acceptance.attacked.plan import KINDS, Attack
from tests.acceptance.autoscaler import WANTED, race
from tests.acceptance.chaos import HEAD as CHAOS_HEAD
from tests.acceptance.chaos import Chaos, raise_chaos
from tests.acceptance.chaos import row as chaos_row
from tests.acceptance.figures import FIGURES, measured
from tests.acceptance.figures import HEAD as FIGURES_HEAD
from tests.acceptance.ordered.dying import Dying
from tests.acceptance.ordered.schedules import HEAD as SCHEDULES_HEAD
from tests.acceptance.ordered.schedules import row as schedules_row
from tests.acceptance.ordered.schedules import tick_while_dying
from tests.acceptance.ordered.uniques import HEAD as UNIQUES_HEAD
from tests.acceptance.ordered.uniques import push_while_dying
from tests.acceptance.ordered.uniques import row as uniques_row
from tests.acceptance.results import kept_rows, table, write_section
from tests.acceptance.soak import HEAD as SOAK_HEAD
from tests.acceptance.soak import row as soak_row
from tests.acceptance.soak import soak
from tests.acceptance.streams import HEAD as STREAMS_HEAD
from tests.acceptance.streams import row as streams_row
from tests.acceptance.streams import stream_under_cuts

ITEMS = 200_000
EARLY = 20_000
CHAOS = "Chaos, long form"
ATTACKED = "Attacked, long form"
SOAK = "Soak, long form"
SCHEDULES = "Schedules, long form"
UNIQUES = "Unique keys, long form"
AUTOSCALE = "Autoscaler"
STREAMS = "Streams, long form"
LONG_ATTACK = 300.0
"""Seconds; the page is for attacks that last so long."""
STREAMED = 100_000
CUTS = 20

out = Console(highlight=False)


async def chaos_runs(seeds: list[int], clients: list[str]) -> bool:
    """Run chaos for every seed and client; whether all held."""
    rows, well = [], True
    for client in clients:
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    after = await raise_chaos(Chaos(seed, client), Path(folder), deadline=180)
                except AssertionError as error:
                    out.print(f"chaos, {client}, seed {seed}: {error}", markup=False)
                    well = False
                    continue
            faults = after.faults()
            rows.append(chaos_row(after))
            well = well and not faults
            out.print(
                f"chaos, {client}, seed {seed}: {dict(after.done)} {after.books.outcomes} outcomes,"
                f" {after.books.repeats} repeats (bound {after.bound}), {after.took:.0f} s:"
                f" {'; '.join(faults) or 'holds'}",
                markup=False,
            )
    if len(seeds) > 1:
        rows = kept_rows(CHAOS, 0, [*clients]) + rows
        write_section(CHAOS, table(CHAOS_HEAD, rows))
    return well


async def attacked_runs(attacks: list[Attack], keep: Path | None) -> bool:
    """Attack workers by each plan; whether all held."""
    rows, well = [], True
    for attack in attacks:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) if keep is None else keep / f"seed-{attack.seed}"
            folder.mkdir(parents=True, exist_ok=True)
            after = await attacked(
                attack, folder, tell=lambda line: out.print(line, style="dim", markup=False)
            )
        faults = after.faults()
        well = well and not faults
        rows.append(attacked_row(after))
        out.print(
            f"attacked, seed {attack.seed}: {after.books.items} items, {after.books.runs} runs,"
            f" {dict(after.done)}, {after.took:.0f} s: {'; '.join(faults) or 'holds'}",
            *after.not_run,
            *after.histories,
            sep="\n",
            markup=False,
        )
    if all(attack.seconds >= LONG_ATTACK for attack in attacks):
        rows += kept_rows(ATTACKED, 0, [attack.seed for attack in attacks])
        rows.sort(key=lambda row: int(str(row[0])))
        write_section(ATTACKED, table(ATTACKED_HEAD, rows))
    return well


def attacks_of(given: argparse.Namespace) -> list[Attack]:
    """Return the attacks that the command line asks for.

    Raises:
        ValueError: a kind that there is none of.
    """
    seeds = [given.seed] if given.seed is not None else range(1, (given.seeds or 5) + 1)
    without = frozenset(filter(None, given.without.split(",")))
    client = given.client or "native"
    return [Attack(seed, client, seconds=given.minutes * 60, without=without) for seed in seeds]


async def soak_runs(clients: list[str], items: int) -> bool:
    """Run the soak for every client; whether all held."""
    rows, well = [], True
    for client in clients:
        with tempfile.TemporaryDirectory() as folder:
            soaked = await soak(client, items, min(EARLY, items // 3), Path(folder), deadline=1800)
        faults = soaked.faults()
        rows.append(soak_row(soaked))
        well = well and not faults
        out.print(
            f"soak, {client}: {soaked.items} items, {soaked.per_second:.0f}/s, memory"
            f" {soaked.megabytes:+.1f} MB, early {soaked.early}, late {soaked.late}:"
            f" {'; '.join(faults) or 'holds'}",
            markup=False,
        )
    if items == ITEMS:
        rows = kept_rows(SOAK, 0, [*clients]) + rows
        write_section(SOAK, table(SOAK_HEAD, rows))
    return well


async def schedule_runs(clients: list[str]) -> bool:
    """Let schedules tick for a minute while their workers die; whether none was lost or doubled."""
    rows, well = [], True
    for client in clients:
        dying = Dying(client, workers=4, seconds=60, restarts=2)
        with tempfile.TemporaryDirectory() as folder:
            books = await tick_while_dying(dying, Path(folder))
        rows.append(schedules_row(dying, books))
        well = well and not books.faults()
        out.print(
            f"schedules, {client}: {books.kills} kills, {books.restarts} server restarts,"
            f" {books.wanted} ticks, {books.items} items, at most {books.late:.1f} s late:"
            f" {'; '.join(books.faults()) or 'holds'}",
            markup=False,
        )
    write_section(SCHEDULES, table(SCHEDULES_HEAD, kept_rows(SCHEDULES, 0, [*clients]) + rows))
    return well


async def unique_runs(clients: list[str]) -> bool:
    """Push the same keys for a minute while the workers die; whether none had two items at once."""
    rows, well = [], True
    for client in clients:
        dying = Dying(client, workers=4, seconds=60, restarts=2)
        with tempfile.TemporaryDirectory() as folder:
            books = await push_while_dying(dying, Path(folder))
        rows.append(uniques_row(dying, books))
        well = well and not books.faults()
        out.print(
            f"unique keys, {client}: {books.kills} kills, {books.restarts} server restarts,"
            f" {books.pushes} pushes, {books.items} items: {'; '.join(books.faults()) or 'holds'}",
            markup=False,
        )
    write_section(UNIQUES, table(UNIQUES_HEAD, kept_rows(UNIQUES, 0, [*clients]) + rows))
    return well


async def stream_runs(clients: list[str]) -> bool:
    """Publish and subscribe under cuts; whether all came once and in order."""
    rows, well = [], True
    for client in clients:
        with tempfile.TemporaryDirectory() as folder:
            done = await stream_under_cuts(
                client, Path(folder), events=STREAMED, cuts=CUTS, deadline=3600
            )
        rows.append(streams_row(done))
        well = well and not done.faults()
        out.print(*rows[-1], "; ".join(done.faults()) or "holds", markup=False)
    write_section(STREAMS, table(STREAMS_HEAD, kept_rows(STREAMS, 0, [*clients]) + rows))
    return well


async def autoscale_runs(rounds: int) -> bool:
    """Race an autoscaler with fixed numbers of workers; whether it is quick enough."""
    with tempfile.TemporaryDirectory() as folder:
        raced = await race(
            Path(folder), rounds, tell=lambda line: out.print(line, markup=False, soft_wrap=True)
        )
    write_section(AUTOSCALE, raced.text())
    out.print(raced.text(), markup=False, soft_wrap=True)
    return raced.ratio <= WANTED


async def figure_runs(clients: list[str]) -> bool:
    """Measure what promises name in seconds; whether all are kept."""
    rows, well = [], True
    for client in clients:
        with tempfile.TemporaryDirectory() as folder:
            for figure in await measured(client, Path(folder)):
                rows.append(figure.row(client))
                well = well and figure.kept
                out.print(*figure.row(client), "holds" if figure.kept else "MISSED", markup=False)
    write_section(FIGURES, table(FIGURES_HEAD, kept_rows(FIGURES, 0, [*clients]) + rows))
    return well


async def run(given: argparse.Namespace) -> bool:
    """Run what was asked for; whether all held."""
    clients = ["official", "native"] if given.client in (None, "both") else [given.client]
    well = True
    if given.attacked:
        return await attacked_runs(attacks_of(given), given.keep)
    if given.seed is not None:
        well = await chaos_runs([given.seed], clients)
    elif given.seeds:
        well = await chaos_runs(list(range(1, given.seeds + 1)), clients)
    if given.autoscale:
        well = await autoscale_runs(given.rounds) and well
    if given.schedules:
        well = await schedule_runs(clients) and well
    if given.uniques:
        well = await unique_runs(clients) and well
    if given.streams:
        well = await stream_runs(clients) and well
    if given.figures:
        well = await figure_runs(clients) and well
    if given.soak:
        well = await soak_runs(clients, given.items) and well
    return well


def main() -> int:
    """Read the command line, run, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.long", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="chaos with the seeds 1 to N")
    parser.add_argument("--seed", type=int, help="chaos with this seed alone")
    parser.add_argument(
        "--attacked", action="store_true", help="workers under attack, with each of the seeds"
    )
    parser.add_argument("--minutes", type=float, default=5, help="how long each attack lasts")
    parser.add_argument(
        "--without", default="", metavar="KINDS", help=f"leave out some of {','.join(KINDS)}"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep an attack's files there")
    parser.add_argument("--soak", action="store_true", help="200,000 items through one worker")
    parser.add_argument(
        "--autoscale", action="store_true", help="an autoscaler against fixed numbers of workers"
    )
    parser.add_argument(
        "--schedules", action="store_true", help="schedules for a minute, a worker killed every 3 s"
    )
    parser.add_argument(
        "--uniques", action="store_true", help="unique keys for a minute, a worker killed every 3 s"
    )
    parser.add_argument(
        "--streams", action="store_true", help="100,000 events under 20 cuts of all links"
    )
    parser.add_argument(
        "--figures", action="store_true", help="what promises name in seconds; a quiet machine"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the autoscaler's race")
    parser.add_argument("--items", type=int, default=ITEMS, help="fewer items for the soak")
    parser.add_argument(
        "--client", choices=("official", "native", "both"), help="with one client only"
    )
    given = parser.parse_args()
    forms = (given.seeds, given.seed is not None, given.soak, given.autoscale)
    forms += (given.schedules, given.uniques, given.figures, given.attacked, given.streams)
    if not any(forms):
        parser.error("say what: --seeds N, --soak, --figures and so on; see --help")
    if given.attacked:
        try:
            attacks_of(given)
        except ValueError as error:
            parser.error(str(error))
    return 0 if asyncio.run(run(given)) else 1


if __name__ == "__main__":
    sys.exit(main())
