"""From the journal to intervals, and from those to how many of a key ran at once."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.app.rate import Rate


@dataclass(frozen=True)
class Run:
    """One run of an item, from begin to end; in seconds since 1970."""

    key: str
    item: str
    n: int
    begin: float
    end: float


def runs_of(notes: Iterable[dict[str, Any]], killed: Mapping[int, float]) -> list[Run]:
    """Return the runs of a queue's notes, in the order of their begins.

    Args:
        killed: when a process was killed, by its pid: runs that it had end there.
    """
    begun: dict[tuple[int, str, int], dict[str, Any]] = {}
    found: list[Run] = []
    for note in notes:
        which = (note["pid"], note["item"], note["attempt"])
        if note["event"] == "start":
            begun[which] = note
        else:
            start = begun.pop(which)
            found.append(Run(note["key"], note["item"], note["n"], start["at"], note["at"]))
    for (pid, item, _), note in begun.items():
        found.append(Run(note["key"], item, note["n"], note["at"], max(note["at"], killed[pid])))
    return sorted(found, key=lambda run: run.begin)


def most_at_once(runs: Sequence[Run]) -> int:
    """Return how many runs of one key there were at one time, at most."""
    most = 0
    by_key: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_key[run.key].append(run)
    for those in by_key.values():
        moments = [(r.begin, 1) for r in those] + [(r.end, -1) for r in those]
        now = 0
        for _, step in sorted(moments, key=lambda moment: (moment[0], moment[1])):
            now += step
            most = max(most, now)
    return most


def overtaken(runs: Sequence[Run]) -> int:
    """Return how many items began for the first time before one of their key that is older."""
    count = 0
    last: dict[str, int] = {}
    seen: set[str] = set()
    for run in runs:
        if run.item in seen:
            continue
        seen.add(run.item)
        count += run.n < last.get(run.key, -1)
        last[run.key] = max(run.n, last.get(run.key, -1))
    return count


def most_in_a_window(runs: Sequence[Run], rate: Rate) -> int:
    """Return how many runs began in one window of the clock, at most."""
    windows = Counter(rate.window(datetime.fromtimestamp(run.begin, UTC)) for run in runs)
    return max(windows.values(), default=0)
