"""How long the turns of a queue are, so that all of a fleet count the same ones (``turns.py``).

1. With its heartbeat each worker tells how long its quick pops take.
2. The first of the living, in the order of their names, tells how long a turn is: as long as a few
   of those pops. Another length is told so long before it counts that all have read of it.
3. Everybody goes by the first who tells one, and by what was told last once nobody does; where
   nothing was told, by what all know without a word.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Protocol

from worker.openiap.fields import duration_of, object_of
from worker.openiap.workitem import JsonObject

LEAST: Final = 0.008
MOST: Final = 0.3
"""Seconds: the shortest and the longest turn."""
POPS: Final = 3
"""So many pops fit into a turn, where workers have slots for them. Who is full before its turn is
over leaves the rest of it to nobody: as a rule there are four slots, and one more than pops."""
POPS_OF_FEW: Final = 2
"""The same in a small fleet: who has a slot free just after its turn waits for all the others'."""
SMALL_FLEET: Final = 8
"""So many workers are none."""
QUICK: Final = 1.35
"""A usual pop takes so many times as long as a quick one."""
MARGIN: Final = 0.5
"""Of a pop, for the way to the first and back from the last."""
LONGER: Final = 1.5
SHORTER: Final = 1.4
"""A length is told anew once it should be so many times as long, or as short."""
KEPT: Final = 1.0
"""Seconds for which what was found is relied upon."""


@dataclass(frozen=True, slots=True)
class TurnLength:
    """What one worker tells of a queue.

    Attributes:
        seconds: the length of a turn.
        since: from when on, by the time that all share.
        before: the length until then; None for what all know without a word.
    """

    seconds: float
    since: float
    before: float | None = None

    def at(self, now: float) -> float | None:
        """Return the length at a moment; None for what all know without a word."""
        return self.seconds if now >= self.since else self.before

    def document(self) -> JsonObject:
        """Return what is written of it."""
        return {"seconds": self.seconds, "since": self.since, "before": self.before}


def turn_length_of(value: object) -> TurnLength | None:
    """Read what another worker wrote; None for what is none."""
    fields = object_of(value)
    seconds, since = duration_of(fields.get("seconds")), duration_of(fields.get("since"))
    if seconds is None or since is None:
        return None
    before = duration_of(fields.get("before"))
    return TurnLength(_bounded(seconds), since, None if before is None else _bounded(before))


def next_length(
    told: TurnLength | None,
    pops: Sequence[float],
    *,
    default: float,
    slots: int,
    workers: int,
    now: float,
    notice: float,
) -> TurnLength | None:
    """Return what the first of a queue tells.

    Args:
        told: what was told so far, by whomever.
        pops: how many seconds the quick pops of each worker take, as far as they are known.
        default: the length that all know without a word, seconds.
        slots: how many items a worker works at once.
        workers: how many there are.
        notice: for how many seconds a new length is known before it counts.
    """
    if not pops or (told is not None and now < told.since <= now + notice):
        return told  # one after the other
    fitting = min(POPS_OF_FEW if workers < SMALL_FLEET else POPS, max(1, slots))
    wanted = _bounded(median(pops) * QUICK * (fitting + MARGIN))
    present = (told.at(now) if told is not None else None) or default
    if present / SHORTER < wanted < present * LONGER:
        return told
    return TurnLength(round(wanted, 4), round(now + notice, 3), present)


class Worker(Protocol):
    """Another living worker, as its document tells; see ``Peer``."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def pops(self) -> Mapping[str, float]:
        """By queue, how many seconds its quick pops take."""

    @property
    def turns(self) -> Mapping[str, TurnLength]:
        """By queue, what it tells of turns."""


class TurnLengths:
    """The lengths of one worker's queues.

    Args:
        me: this worker.
        others: the other living workers of a queue, as they were last seen.
        clock: the time that all share, seconds.
        notice: seconds in which each worker reads the others' documents for certain.
    """

    def __init__(
        self,
        me: str,
        others: Callable[[str], Iterable[Worker]],
        *,
        clock: Callable[[], float],
        notice: float,
    ) -> None:
        self._me = me
        self._others = others
        self._clock = clock
        self._notice = notice
        self._mine: dict[str, TurnLength] = {}
        """What this worker tells, where it is the first."""
        self._last: dict[str, TurnLength] = {}
        """What was told last: it counts on when who told it has gone."""
        self._kept: dict[str, tuple[float, TurnLength | None]] = {}

    def of(self, queue: str) -> float | None:
        """Return the length of a queue's turns now; None for what all know without a word."""
        now = self._clock()
        at, told = self._kept.get(queue, (float("-inf"), None))
        if not 0.0 <= now - at < KEPT:
            told = self.told(queue)
            self._kept[queue] = now, told
        return None if told is None else told.at(now)

    def tell(self, queue: str, pop: float | None, *, default: float, slots: int) -> None:
        """Decide on a queue's turns, where this worker is the first of several; see ``document``.

        Args:
            pop: how many seconds its own quick pops take, if there were any.
            default, slots: see ``next_length``.
        """
        others, told = list(self._others(queue)), self.told(queue)
        self._mine.pop(queue, None)
        if not others or min(other.id for other in others) < self._me:
            return
        pops = [other.pops[queue] for other in others if queue in other.pops]
        decided = next_length(
            told,
            pops if pop is None else [*pops, pop],
            default=default,
            slots=slots,
            workers=1 + len(others),
            now=self._clock(),
            notice=self._notice,
        )
        if decided is not None:
            self._mine[queue] = decided
        self._kept.pop(queue, None)

    def document(self) -> JsonObject:
        """Return what this worker tells with its heartbeat."""
        return {queue: length.document() for queue, length in self._mine.items()}

    def told(self, queue: str) -> TurnLength | None:
        """Return what the first who tells of a queue's turns told, or None."""
        tellers = {o.id: o.turns[queue] for o in self._others(queue) if queue in o.turns}
        if queue in self._mine:
            tellers[self._me] = self._mine[queue]
        if tellers:
            self._last[queue] = tellers[min(tellers)]
        return self._last.get(queue)


def _bounded(seconds: float) -> float:
    return min(MOST, max(LEAST, seconds))
