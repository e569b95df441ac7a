"""What an attack does and when: made from a seed alone, so that the seed repeats it.

Each kind of fault has a random source of its own: leaving one out changes none of the others.
"""

import random
from dataclasses import dataclass, field
from typing import Final

PER_MINUTE: Final = {
    "stops": 6.0,
    "disks": 3.0,
    "refusals": 5.0,
    "clocks": 4.0,
    "kills": 3.0,
    "restarts": 1.0,
    "links": 4.0,
    "documents": 30.0,
}
"""How often each kind strikes."""
KINDS: Final = (*PER_MINUTE, "children", "marks")
"""All that can be left out: the faults, and what the items themselves bring along."""
SERVER: Final = "server"
CALM: Final = 2.0
"""Seconds at the beginning in which nothing happens."""
LATEST: Final = 0.9
"""Of the time; what is left is for what lasts."""


@dataclass(frozen=True, slots=True)
class Attack:
    """How much of it.

    Attributes:
        client: of all workers; "both" lets them take turns. With the official one a write that is
            late enough overwrites: it has no condition for it (server.md, Conditional updates).
        seconds: for which items are pushed and faults strike.
        per_second: items pushed each second.
        dead_after: seconds; stops are planned around it.
        without: the kinds that are left out.
    """

    seed: int
    client: str = "native"
    workers: int = 4
    seconds: float = 300.0
    per_second: int = 6
    dead_after: float = 4.0
    without: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if unknown := self.without - set(KINDS):
            raise ValueError(
                f"without {', '.join(sorted(unknown))}: allowed are {', '.join(KINDS)}"
            )

    def chance(self, what: str) -> random.Random:
        """Return a random source for one purpose."""
        return random.Random(f"{self.seed}/{what}")

    def has(self, kind: str) -> bool:
        """Whether a kind was not left out."""
        return kind not in self.without


@dataclass(frozen=True, slots=True)
class Fault:
    """One accident.

    Attributes:
        at, lasts: seconds.
        whom: a worker's number, or ``SERVER``.
        size: of what the kind measures: a share of refused calls, seconds that a clock goes wrong.
        how: which form of it.
    """

    at: float
    kind: str
    whom: int | str
    lasts: float = 0.0
    size: float = 0.0
    how: str = ""

    def __str__(self) -> str:
        who = "the server" if self.whom == SERVER else f"w{self.whom}"
        return f"{self.at:.1f} s {self.kind} {self.how} {who} {self.lasts:.1f} s {self.size:+.2f}"


def planned(attack: Attack) -> list[Fault]:
    """Return all faults in order; pure."""
    found: list[Fault] = []
    for kind, per_minute in PER_MINUTE.items():
        if not attack.has(kind):
            continue
        chance = attack.chance(kind)
        # One of each at least, however short the run.
        count = max(1, round(per_minute * attack.seconds / 60))
        found += [_fault(attack, kind, chance) for _ in range(count)]
    return sorted(found, key=lambda fault: fault.at)


def _fault(attack: Attack, kind: str, chance: random.Random) -> Fault:
    at = chance.uniform(CALM, attack.seconds * LATEST)
    worker = chance.randrange(attack.workers)
    if kind == "stops":  # short of dead_after, right at it, beyond it
        lasts = attack.dead_after * chance.uniform(0.6, 1.8)
        return Fault(at, kind, worker, lasts, how=chance.choice(("alone", "with children")))
    if kind == "disks":
        return Fault(at, kind, worker, chance.uniform(2, 6), chance.choice((0, 16 * 1024)))
    if kind == "refusals":
        how = chance.choice(("rate limit", "database", "answered as refused", "no answer"))
        share = chance.uniform(0.1, 0.6) if how in ("rate limit", "database") else 0.15
        return Fault(at, kind, worker, chance.uniform(2, 6), share, how)
    if kind == "clocks":
        if chance.random() < 0.4:  # what the server puts off waits for as long as its clock leapt
            size = attack.dead_after * chance.uniform(0.5, 5) * chance.choice((-1, 1))
            return Fault(at, kind, SERVER, chance.uniform(2, 8), size)
        size = chance.choice((60, 3600, 90_000)) * chance.choice((-1, 1))
        return Fault(at, kind, worker, chance.uniform(2, 8), size)
    if kind == "links":
        how = chance.choice(("cut", "half-open", "stalled"))
        return Fault(at, kind, worker, attack.dead_after * chance.uniform(0.3, 1.8), how=how)
    return Fault(at, kind, SERVER if kind in ("restarts", "documents") else worker)
