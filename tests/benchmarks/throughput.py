"""1 and 2: items per second and CPU per item of no-op handlers, and the worker's share of them."""

from collections import defaultdict
from typing import Any, Final

from tests.benchmarks.figures import DASH, Section, Spread, Table, Target
from tests.benchmarks.peers import (
    PEERS,
    SLOTS,
    official_loop,
    run_peers,
    why_no_loop,
    why_no_peers,
)
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import fill, lane, local_server

ITEMS: Final = 10_000
QUICK: Final = 1_000
DEADLINE: Final = 300.0
LANES: Final = (
    ("worker", "native"),
    ("bare", "native"),
    ("worker", "official"),
    ("bare", "official"),
)
NAMES: Final = {
    "worker native": "the whole worker, native client",
    "worker official": "the whole worker, official client",
    "bare native": "bare loop, native client",
    "bare official": "bare loop, official client",
    "official loop": "loop of the official templates",
}


class _Seen:
    """What was measured, by lane."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, name: str, **figures: float) -> None:
        for figure, value in figures.items():
            self.figures[name][figure].append(value)

    def spread(self, name: str, figure: str) -> Spread:
        return Spread.of(self.figures[name][figure])

    def ratio(self, figure: str, one: str, other: str) -> float:
        """Return the median over the runs of one lane against another of the same run."""
        pairs = zip(self.figures[one][figure], self.figures[other][figure], strict=False)
        return Spread.of(a / b for a, b in pairs).median

    def row(self, name: str) -> tuple[str, ...]:
        return (
            NAMES.get(name, name),
            *(str(self.spread(name, f)) if self.figures[name][f] else DASH for f in _COLUMNS),
        )


_COLUMNS: Final = ("rate", "cpu", "server", "rss")


async def run(plan: Plan) -> list[Section]:
    """Measure all lanes, one after another, as often as the plan says."""
    items = plan.amount(ITEMS, QUICK)
    seen, peers = _Seen(), set[str]()
    no_loop, no_peers = why_no_loop(plan), why_no_peers(plan)
    for _ in range(plan.runs):
        for kind, client in LANES:
            await _lane(seen, kind, client, items)
        if not no_loop:
            async with local_server() as server:
                await fill(server, "noop", items)
                rate, cpu = await official_loop(plan, server, "noop", items)
                seen.add("official loop", rate=rate, cpu=cpu)
        if not no_peers:
            for name, (rate, cpu, rss) in (await run_peers(plan, items)).items():
                peers.add(name)
                seen.add(name, rate=rate, cpu=cpu, rss=rss)
    return [_first(seen, peers, items, no_loop, no_peers), _second(seen)]


async def _lane(seen: _Seen, kind: str, client: str, items: int) -> None:
    async with local_server() as server:
        await fill(server, "noop", items)
        before = server.cpu()
        told: dict[str, Any] = {"client": client, "slots": SLOTS, "items": items}
        told |= {"handler": "noop"} if kind == "worker" else {"queue": "noop"}
        found = await lane(server, kind, DEADLINE, **told)
        seen.add(
            f"{kind} {client}",
            rate=found["rate"],
            cpu=found["cpu"],
            rss=found["rss"],
            server=(server.cpu() - before) / found["items"] * 1e6,
        )


def _first(seen: _Seen, peers: set[str], items: int, no_loop: str, no_peers: str) -> Section:
    ours = ["worker native", "worker official", "official loop"]
    ranked = sorted(peers, key=lambda name: -seen.spread(name, "rate").median)
    table = Table(("", "items/s", "CPU µs/item", "server's CPU µs/item", "peak MB"))
    table.rows = [seen.row(name) for name in (*ours, *ranked)]
    missing = no_peers or "no result"
    table.rows += [(name, missing, DASH, DASH, DASH) for name in PEERS if name not in peers]
    section = Section(
        1,
        "Items per second and CPU per item",
        notes=[
            f"{items:,} items with a no-op handler, {SLOTS} slots, one worker process; the local"
            " server with a data file in its own process. The whole worker: outbox, presence,"
            " rescuer, wake-ups, payload validated by pydantic, no limit of messages per second;"
            " one pop in flight."
        ],
        tables=[table],
    )
    if no_loop:
        section.notes.append(f"The official loop: not run, {no_loop}.")
    loop = "official loop"
    section.targets = [
        Target("native, items/s against the official loop",
               seen.ratio("rate", "worker native", loop), 8, why_not=no_loop),
        Target("native, CPU per item against the official loop",
               seen.ratio("cpu", "worker native", loop), 1 / 6, at_least=False, why_not=no_loop),
        Target("worker with the official library, items/s against the official loop",
               seen.ratio("rate", "worker official", loop), 2, why_not=no_loop),
    ]  # fmt: skip
    fastest = ranked[0] if ranked else ""
    section.targets += [
        Target(f"native, items/s against the fastest peer {fastest}".rstrip(),
               seen.ratio("rate", "worker native", fastest), 2, why_not=no_peers),
        Target(f"native, CPU per item against the fastest peer {fastest}".rstrip(),
               seen.ratio("cpu", "worker native", fastest), 0.5, at_least=False, why_not=no_peers),
    ]  # fmt: skip
    return section


def _second(seen: _Seen) -> Section:
    table = Table(("", "items/s", "CPU µs/item", "server's CPU µs/item", "peak MB"))
    names = ("worker native", "bare native", "worker official", "bare official")
    table.rows = [seen.row(name) for name in names]
    native = seen.ratio("rate", "worker native", "bare native")
    official = seen.ratio("rate", "worker official", "bare official")
    return Section(
        2,
        "The worker's share",
        notes=[
            "The whole worker against a bare loop of the same client: one pop and as many updates"
            " in flight, no handler, outbox or policy. From the same runs."
            f" With the official client: {official:.2f}."
        ],
        tables=[table],
        targets=[Target("native, whole worker against the bare loop", native, 0.6)],
    )
