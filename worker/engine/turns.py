"""Whose turn it is to pop, where pops at once on one queue disturb each other.

1. A new item in a queue that was empty: the server tells every worker of it. Each draws the same
   lots, so that the one with the lowest pops at once, and the others in its wake, unless they see
   the item taken.
2. A queue with more items than that: time goes by turns, some milliseconds each, and each belongs
   to one worker, round after round in the order of their names. In its turn a worker pops as often
   as it has room. All count by the server's time and know each other from their heartbeats, so
   nobody has to be told anything, no two pop at once, and the turn of one that is full, frozen or
   dead passes by itself.
3. Turns cost waiting. Where all workers together can take fewer items than the server gives, nobody
   waits for them; whose pops are disturbed again and again rests a little, by lots.
4. A pop that fills more than a turn takes every second one of this worker, or every fourth, …

All are courtesies: who does not know the others pops, and a wrong guess costs a little time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from worker.openiap.fields import moment_of

TURN: Final = 0.025
"""Seconds. A real server pops once or twice in them, a quick one four times."""
TURN_OF_ONE: Final = TURN / 2
"""Of workers that take one item at a time."""
LATEST: Final = 0.2
"""A turn is still used with so much of a usual pop left of it: a pop that has found its item is not
disturbed by one that only begins to look."""
CALM: Final = 1.8
"""A pop that takes so many times as long as usual was disturbed by others."""
OFTEN: Final = 0.4
"""The share of disturbed pops from which on a worker rests: two in a row are more."""
WEIGHT: Final = 0.3
"""The share of the last pop in how many are disturbed."""
LATE: Final = 1.5
"""A pop that keeps the server busy for so many turns was no quick one."""
EARLY: Final = 0.3
"""One that does so for as few needs no more than half of them."""
FIRST: Final = 1.2
"""As long as none has found an item, one that found none tells: a pop asks the server's database
twice then, and once where it finds nothing."""
MOST_SKIPPED: Final = 8
"""Every so manieth turn is used at the least."""
FASTER: Final = 0.2
SLOWER: Final = 0.1
"""The share of the last time in what is usual, where it was shorter and where it was longer."""
LEAPS: Final = 2.0
"""Whatever a pop took, it counts as so many usual ones at most."""
SILENCE: Final = 1.0
"""Seconds in which no item came or went: what was known of the queue may be wrong."""
STEP: Final = 0.2
"""Seconds between the first and the second, the second and the third, …: a pop takes some ten
milliseconds, and that an item was taken is told some forty later."""
LONGEST_STEP: Final = 0.5
TAKING: Final = 4.0
"""On a slow server a step is so many times as long as a pop takes."""
NO_DELAY: Final = 0.05
"""Seconds: an item that is due within them is due now."""


def rank_for(item: str, me: str, others: Iterable[str]) -> int:
    """Return how many of the other workers come first for an item; each item mixes them anew."""
    mine = _lot(item, me)
    return sum(_lot(item, other) < mine for other in others)


def wait_for(rank: int, took: float) -> float:
    """Return for how many seconds a worker of a rank leaves an item to those who come first.

    Args:
        took: how long its last pop took, seconds.
    """
    return rank * min(LONGEST_STEP, max(STEP, took * TAKING))


class Turns:
    """The turns of one worker at one queue; the times are its own, so that no two need agree.

    Args:
        me: this worker.
        slots: how many items it works at once.
        clock: the time that all workers share, seconds.
        others: the other living workers of the queue, where their pops disturb this one's.
        wanting: those of them that had a free slot when they were last seen.
    """

    def __init__(
        self,
        me: str,
        slots: int,
        *,
        clock: Callable[[], float],
        others: Callable[[], Sequence[str]] = tuple,
        wanting: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._me = me
        self._slots = slots
        self._turn = TURN_OF_ONE if slots == 1 else TURN
        self._clock = clock
        self._others = others
        self._wanting = wanting
        self._waiting: set[str] = set()
        """New items of which the server told, and not yet that they were taken."""
        self._moved = float("-inf")
        """When an item came, to an empty queue, or went."""
        self._ticket = ""
        """The item for which this worker need not wait for its turn."""
        self._took = 0.0
        self._pop: float | None = None
        """What a pop that finds an item usually takes."""
        self._look: float | None = None
        """What a pop that finds none usually takes: the way to the server and half of a pop."""
        self._disturbed = 0.0
        """The share of its pops that were, of late."""
        self._rests = float("-inf")
        """Until when it leaves the queue to others, where nobody waits for turns."""
        self._hold: float | None = None
        self._every = 1

    def new(self, item: str, due: float) -> float:
        """Return in how many seconds this worker is to look for a new item, unless it is taken.

        Args:
            due: in how many seconds it may be popped.
        """
        rank = rank_for(item, self._me, self._wanting())
        if due > 0 or not self._others():
            return due + wait_for(rank, self._took)
        now = self._clock()
        if self._waiting and abs(now - self._moved) < SILENCE:
            self._waiting.add(item)
            return self._until(now)
        self._waiting = {item}
        self._moved = now
        if not rank:
            self._ticket = item
        return wait_for(rank, self._took)

    def taken(self, item: str) -> None:
        """The server tells that an item was taken, by whomever."""
        self._waiting.discard(item)
        self._moved = self._clock()
        if item == self._ticket:
            self._ticket = ""

    def found(self, item: str, took: float) -> None:
        """A pop of this worker found an item.

        Args:
            took: how long the server took for it, seconds; the wait for the limiter is none of it.
        """
        self.taken(item)
        self._ticket = ""
        self._took = took
        busy = 2 * (took - (self._look or 0.0))
        self._every = self._every_first()
        if busy > LATE * self._every * self._turn:
            self._every = min(MOST_SKIPPED, self._every * 2)
        elif self._every > 1 and busy < EARLY * self._every * self._turn:
            self._every //= 2
        usual = took if self._pop is None else self._pop
        self._disturbed += ((took > CALM * usual) - self._disturbed) * WEIGHT
        self._rests = self._clock()
        if self._disturbed > OFTEN:
            self._rests += min(took, usual) * rank_for(item, self._me, self._others())
        self._pop = _nearer(usual, min(took, LEAPS * usual))

    def found_none(self, took: float) -> None:
        """A pop of this worker found no item; see ``found``."""
        self._ticket = ""
        self._waiting.clear()
        self._look = _nearer(took if self._look is None else self._look, took)

    def held(self, seconds: float) -> None:
        """An item has left; it has filled a slot for so long."""
        self._hold = _nearer(seconds if self._hold is None else self._hold, seconds)

    def left(self) -> float:
        """Return in how many seconds this worker may pop; 0 is now."""
        others = self._others()
        if not others or self._ticket:
            return 0.0
        now = self._clock()
        if self._roomy(len(others) + 1):
            return min(LONGEST_STEP, max(0.0, self._rests - now))
        return self._until(now)

    def _roomy(self, workers: int) -> bool:
        """Whether the server gives more items than all workers can take."""
        if self._pop is None or self._hold is None:
            return False
        return workers * self._slots * self._pop <= self._hold

    def _every_first(self) -> int:
        """Return which of its turns it uses, as long as no pop has found an item."""
        every = self._every
        if self._pop is None and self._look is not None:
            while every < MOST_SKIPPED and self._look > FIRST * every * self._turn:
                every *= 2
        return every

    def _until(self, now: float) -> float:
        others = self._others()
        workers, place = len(others) + 1, sum(other < self._me for other in others)
        every, at = self._every_first(), int(now // self._turn)
        ahead = (place - at) % workers
        rest = (at + 1) * self._turn - now
        usual = self._pop or self._look or 0.0
        mine = not ahead and (at // workers + place) % every == 0
        if mine and (every > 1 or rest >= LATEST * min(usual, self._turn)):
            return 0.0
        turn = at + (ahead or workers)
        turn += workers * (-(turn // workers + place) % every)
        return turn * self._turn - now


def due_in(document: Mapping[str, Any]) -> float:
    """Return in how many seconds a new item is due, by the server's own stamps; 0 is now."""
    due, stamped = moment_of(document.get("nextrun")), moment_of(document.get("_modified"))
    if due is None or stamped is None:
        return 0.0
    ahead = (due - stamped).total_seconds()
    return ahead if ahead > NO_DELAY else 0.0


def _lot(item: str, worker: str) -> bytes:
    return blake2b(f"{item}/{worker}".encode(), digest_size=8).digest()


def _nearer(usual: float, last: float) -> float:
    return usual + (last - usual) * (FASTER if last < usual else SLOWER)
