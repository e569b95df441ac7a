"""11: the worker as it comes out of the box, with payloads of several sizes, beside its peers.

Every setting is at its default but the client, which each row names.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.benchmarks import boxed, latency, start
from tests.benchmarks.figures import DASH, Section, Spread, Table, Target, plain
from tests.benchmarks.peers import PEERS, Peer, run_peers, why_no_loop, why_no_peers
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import ROOT

ITEMS: Final = 8000
FEW: Final = 50
SIZES: Final = ((1_000, 5000, 1.0), (100_000, 1000, 0.7), (1_000_000, 150, 0.7))
"""Bytes of payload, how many items, and what is to be reached against the fastest peer."""
BEFORE: Final = ((100_000, 400), (5_000_000, 20))
PAIRS: Final = 10
"""Pairs against the tree before, at least: small differences are told by many."""
SHARE: Final = 0.4
"""Of the CPU per item of the tree before."""
STARTS: Final = 5
DEFAULTS: Final = {"rate_limit": None, "log_level": None}
LOOP: Final = "loop of the official templates"
CLIENTS: Final = ("native", "official")
SMALL: Final = "Out of the box"
PAYLOADS: Final = "Payloads of JSON, beside the peers"
LARGE: Final = "Large payloads, and the tree before"
MOMENTS: Final = "Short handlers, wake-up and start"


@dataclass(slots=True)
class _Seen:
    """What was measured: by row, then by figure, one value for each run."""

    figures: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, row: str, **figures: float) -> None:
        for figure, value in figures.items():
            self.figures[row][figure].append(value)

    def worked(self, row: str, found: boxed.Worked) -> None:
        self.add(row, rate=found.rate, fresh=found.fresh, cpu=found.cpu, server=found.server)

    def spread(self, row: str, figure: str) -> Spread:
        return Spread.of(self.figures[row][figure])

    def ratios(self, one: str, other: str, figure: str, against: str = "") -> Spread:
        """Return one row against another, by run."""
        pairs = zip(self.figures[one][figure], self.figures[other][against or figure], strict=False)
        return Spread.of(a / b for a, b in pairs if b)

    def fastest(self, names: set[str]) -> str:
        """Return the one with the most items per second, or ""."""
        return max(names, key=lambda name: self.spread(name, "rate").median, default="")

    def lines(self, names: list[str], columns: tuple[str, ...]) -> list[tuple[str, ...]]:
        return [
            (n, *(str(self.spread(n, c)) if self.figures[n][c] else DASH for c in columns))
            for n in names
        ]


async def run(plan: Plan) -> list[Section]:
    """Measure all of it; what cannot be measured costs its own section alone."""
    parts = {
        SMALL: _no_ops,
        PAYLOADS: _payloads,
        LARGE: _before,
        MOMENTS: _moments,
    }
    return [await _measured(title, part, plan) for title, part in parts.items()]


async def _measured(title: str, part: Callable[[Plan], Awaitable[Section]], plan: Plan) -> Section:
    try:
        return await part(plan)
    except Exception as error:  # whatever it is, the other sections go on
        fault = f"{type(error).__name__}: {error}"
        return Section(11, title, notes=[f"**Not measured:** {fault}"], fault=fault)


async def _no_ops(plan: Plan) -> Section:
    """A run has every row, so that rows of one moment are compared."""
    seen, peers = _Seen(), set[str]()
    no_loop, no_peers = why_no_loop(plan), why_no_peers(plan)
    items = plan.amount(ITEMS, 800)
    for client in CLIENTS:
        await boxed.worked(client, boxed.NOOP, FEW)  # its start compiles the modules
    for _ in range(plan.runs):
        for client in CLIENTS:
            seen.worked(client, await boxed.worked(client, boxed.NOOP, items))
        seen.add("library", cpu=await boxed.library_alone(items))
        if not no_loop:
            rate, cpu = await boxed.looped(plan, items)
            seen.add(LOOP, rate=rate, cpu=cpu)
        if not no_peers:
            peers |= _add(seen, await run_peers(plan, items))
    return _small(seen, peers, items, no_loop, no_peers)


async def _payloads(plan: Plan) -> Section:
    """As above, by size."""
    sized = {size: _Seen() for size, _, _ in SIZES}
    peers: dict[int, set[str]] = defaultdict(set)
    no_peers = why_no_peers(plan)
    for _ in range(plan.runs):
        for size, count, _ in SIZES:
            few = plan.amount(count, count // 10)
            seen = sized[size]
            seen.worked("native", await boxed.worked("native", boxed.ROWS, few, size=size))
            if not no_peers:
                peers[size] |= _add(seen, await run_peers(plan, few, payload=size))
    return _sizes(sized, peers, no_peers)


def _add(seen: _Seen, found: Mapping[str, Peer]) -> set[str]:
    for name, (rate, cpu, _) in found.items():
        seen.add(name, rate=rate, cpu=cpu)
    return set(found)


def _small(seen: _Seen, peers: set[str], items: int, no_loop: str, no_peers: str) -> Section:
    table = Table(("", "items/s", "with its start", "CPU µs/item", "server's CPU µs/item"))
    ranked = sorted(peers, key=lambda name: -seen.spread(name, "rate").median)
    columns = ("rate", "fresh", "cpu", "server")
    table.rows = [*seen.lines([*CLIENTS, LOOP, *ranked], columns)]
    table.rows += [
        (name, no_peers or "no result", *[DASH] * 3) for name in PEERS if name not in peers
    ]
    fastest = ranked[0] if ranked else "peer"
    library = seen.spread("library", "cpu").median
    whole = seen.spread("official", "cpu").median
    none = no_peers or "no peer gave a result"
    return Section(
        11,
        SMALL,
        notes=[
            f"`openiap-worker run` with {items:,} no-op items of a full queue, a handler of 32"
            " slots, on a state directory of its own that is empty. Every setting is at its"
            " default, the limiter included, but the client; modules are compiled. From the first"
            " pop to the last outcome; with its start: from the start of the process. The loop's"
            " clock runs from when it is connected.",
            f"Of the official client's {plain(whole)} µs per item its library takes"
            f" {plain(library)}: pops and updates of the same queue, and nothing else.",
        ],
        tables=[table],
        targets=[
            Target("native, no-op, items/s against the official loop",
                   seen.ratios("native", LOOP, "rate").median, 5, why_not=no_loop),
            Target(f"native, no-op, items/s against the fastest peer, {fastest}",
                   seen.ratios("native", fastest, "rate").median, 2, why_not=none),
            Target(f"native, no-op, CPU per item against {fastest}",
                   seen.ratios("native", fastest, "cpu").median, 0.45, at_least=False,
                   why_not=none),
            Target(f"native, first {items:,} items with the start, against the official loop",
                   seen.ratios("native", LOOP, "fresh", "rate").median, 3, why_not=no_loop),
            Target("official client, whole worker, items/s against the official loop",
                   seen.ratios("official", LOOP, "rate").median, 1.3, why_not=no_loop),
        ],
    )  # fmt: skip


def _sizes(seen: dict[int, _Seen], peers: dict[int, set[str]], no_peers: str) -> Section:
    table = Table(("payload", "", "items/s", "CPU µs/item", "server's CPU µs/item"))
    section = Section(
        11,
        PAYLOADS,
        notes=[
            "Rows of a number and a text, about so many bytes in all; the worker validates each row"
            " with a pydantic model, the peers read theirs and validate nothing."
        ],
        tables=[table],
    )
    for size, _, bound in SIZES:
        one = seen[size]
        ranked = sorted(peers[size], key=lambda name: -one.spread(name, "rate").median)
        lines = one.lines(["native", *ranked], ("rate", "cpu", "server"))
        table.rows += [(_bytes(size), *line) for line in lines]
        fastest = one.fastest(peers[size]) or "peer"
        section.targets.append(
            Target(
                f"native, {_bytes(size)}, items/s against the fastest peer, {fastest}",
                one.ratios("native", fastest, "rate").median,
                bound,
                why_not=no_peers or "no peer gave a result",
            )
        )
    return section


def _bytes(size: int) -> str:
    return f"{size // 1000} kB" if size < 1_000_000 else f"{size // 1_000_000} MB"


async def _before(plan: Plan) -> Section:
    """CPU per item with large payloads, of this tree and the one before, in turns."""
    table = Table(("payload", "tree", "items/s", "CPU µs/item", "server's CPU µs/item"))
    pairs = max(plan.runs, PAIRS) if plan.before and not plan.quick else plan.runs
    section = Section(
        11,
        LARGE,
        notes=[
            "As above, native client. Pairs of this tree and the one before, in turns, both on this"
            f" tree's server: {pairs}. The target is the median of the ratios of the pairs."
        ],
        tables=[table],
    )
    for size, count in BEFORE:
        seen, items = _Seen(), plan.amount(count, count // 4)
        for number in range(pairs):
            trees = [("this", ROOT)] + ([("before", plan.before)] if plan.before else [])
            for name, tree in trees if number % 2 else reversed(trees):
                found = await boxed.worked("native", boxed.ROWS, items, size=size, tree=tree)
                seen.worked(name, found)
        lines = seen.lines(
            ["this", *(["before"] if plan.before else [])], ("rate", "cpu", "server")
        )
        table.rows += [(_bytes(size), *line) for line in lines]
        ratios = seen.ratios("this", "before", "cpu")
        if plan.before:
            section.notes.append(f"{_bytes(size)}: ratios of CPU per item {ratios}.")
        section.targets.append(
            Target(
                f"native, {_bytes(size)}, CPU per item against the tree before",
                ratios.median,
                SHARE,
                at_least=False,
                why_not="no tree before (--against)",
            )
        )
    return section


async def _moments(plan: Plan) -> Section:
    """Ten slots of 5 ms, by watch, and the start."""
    items, slots = plan.amount(ITEMS, 800), _Seen()
    for _ in range(plan.runs):
        slots.worked("native", await boxed.worked("native", boxed.WAIT5, items))
    rate = slots.spread("native", "rate")
    watch = Spread.of(
        [
            latency.p99_of(await latency.pushed(plan, "watch", DEFAULTS)) * 1000
            for _ in range(plan.runs)
        ]
    )
    table = Table(("", "measured"))
    table.rows = [
        (f"ten slots of 5 ms, {items:,} items: items/s", str(rate)),
        ("the same: CPU µs/item", str(slots.spread("native", "cpu"))),
        ("the same: server's CPU µs/item", str(slots.spread("native", "server"))),
        ("by watch, push to handler, p99 in ms", str(watch)),
    ]
    targets = [
        Target("native, ten slots of 5 ms, items/s", rate.median, 1500),
        Target("native, by watch, p99 in ms", watch.median, 5, at_least=False),
    ]
    for client in CLIENTS:
        found = await start.measure(client, max(plan.runs, plan.amount(STARTS, 1)))
        popped = Spread.of(one.popped for one in found)
        table.rows.append((f"{client}, start to first pop, s", str(popped)))
        targets.append(
            Target(f"{client}, start to first pop, s", popped.median, 0.6, at_least=False)
        )
    return Section(
        11,
        MOMENTS,
        notes=[
            "Native client where none is named, every other setting at its default. The start is"
            " that of a transient machine (`SF_VMID`), modules compiled, as `start.py` measures it."
        ],
        tables=[table],
        targets=targets,
    )
