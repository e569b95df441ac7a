"""Figures and how they are written down: spreads over runs, tables, targets."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

DASH: Final = "-"


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several runs."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of some values."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The middle one; not a number when there are none."""
        return statistics.median(self.values) if self.values else float("nan")

    def __str__(self) -> str:
        if not self.values:
            return "not measured"
        if len(self.values) == 1:
            return plain(self.median)
        return f"{plain(self.median)} ({plain(min(self.values))} to {plain(max(self.values))})"


def plain(value: float) -> str:
    """Return a number with as many digits as mean something."""
    if value != value:  # not a number
        return "not measured"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached, and what was.

    Attributes:
        at_least: the bound is a lower one.
        why_not: why there is no figure, where there is none.
    """

    text: str
    figure: float
    bound: float
    at_least: bool = True
    why_not: str = ""

    @property
    def verdict(self) -> str:
        """Reached, missed by how much, or not measured."""
        if self.figure != self.figure:
            return self.why_not or "not measured"
        if (self.figure >= self.bound) if self.at_least else (self.figure <= self.bound):
            return "reached"
        off = abs(self.figure - self.bound) / self.bound * 100 if self.bound else 0.0
        return f"**missed** by {off:.0f} %"

    def row(self) -> tuple[str, ...]:
        """Return it as a row of the table of targets."""
        sign = "≥" if self.at_least else "≤"
        return (self.text, f"{sign} {plain(self.bound)}", plain(self.figure), self.verdict)


@dataclass(slots=True)
class Table:
    """Rows under a head; written as Markdown."""

    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return its lines."""
        out = [f"| {' | '.join(self.head)} |", f"| {' | '.join('---' for _ in self.head)} |"]
        return out + [f"| {' | '.join(row)} |" for row in self.rows]


@dataclass(slots=True)
class Section:
    """What one benchmark found; its targets stand at the top of the page, with all others.

    Attributes:
        fault: why it did not run to its end, or "".
    """

    number: int
    title: str
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    fault: str = ""

    def lines(self) -> list[str]:
        """Return it as Markdown."""
        out = [f"## {self.number}. {self.title}", ""]
        for note in self.notes:
            out += [note, ""]
        for table in self.tables:
            out += [*table.lines(), ""]
        return out
