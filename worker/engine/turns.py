"""Whose turn it is to pop, where pops at once on one queue disturb each other.

1. A new item in a queue that was empty: the server tells every worker of it. Each draws the same
   lots, so that the one with the lowest pops at once, and the others in its wake, unless they see
   the item taken.
2. A queue with more items than that: time goes by turns, some milliseconds each, and each belongs
   to one worker, round after round in the order of their names. In its turn a worker pops as often
   as it has room. All count by the server's time and know each other from their heartbeats, so
   nobody has to be told anything, no two pop at once, and the turn of one that is full, frozen or
   dead passes by itself.
   Where pops are long, it lets one of the turn before end first, and where pops of others are
   likely to jam it leaves the turn (``jam.py``).
   Where the watch tells of no item taken for a while, the turn's owner is full or dead: another
   goes, by lots too. And where only few want items, they share the turns among them.
   How long turns are the fleet tells, by what pops take (``fleet/turn_lengths.py``).
3. A worker whose pops take longer than a turn stays out of its next ones, the longer, the more such
   pops it had in a row. So a jam of pops clears by itself, whatever began it: no pop can be slow
   for long because of others, and nobody leaves the turns because pops are slow.
4. Turns pay where the workers together could take more than a small part of what the server gives.
   Elsewhere, and where it is the way to the server that takes the time, a worker pauses after a pop
   that found an item, the longer, the more workers want items (``pace.py``).

All are courtesies: who does not know the others pops, and a wrong guess costs a little time.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from worker.engine.fleet.turn_lengths import SMALL_FLEET
from worker.engine.jam import SILENCE, Jam
from worker.engine.pace import LONGEST_PAUSE, Pace
from worker.openiap.fields import moment_of

TURN: Final = 0.025
"""Seconds, as long as the fleet tells no other. A quick server pops four times in them."""
SHORT_TURN: Final = 0.014
"""The same in a small fleet: who has a slot free just after its turn waits for all the others'."""
TURN_OF_SLOT: Final = 0.008
"""Seconds for each slot, where a worker has few: who can take one item has no use for more."""
LATEST: Final = 0.4
"""A turn is still used with so much of a usual pop left of it: a pop that has found its item is not
disturbed by one that only begins to look."""
FITTING: Final = 3.0
"""Where fewer of the usual pops fit into a turn, one that began at its end is waited for."""
LONG: Final = 2.0
"""Unless the last item went so many usual pops before: then there is none."""
POPS: Final = 15
"""So many of the last pops tell what one takes."""
FAR: Final = 1.5
"""Where a pop that does not fit into a turn takes less than so many times what a write takes, it is
the way, or the machine, that is slow, and no other pop: to go one by one would not be quicker."""
OUT: Final = 0.5
"""After a pop that did not fit into a turn a worker stays out for so many times what it took, after
the next one for three times that, then seven times: a jam of pops takes about half as long to clear
as the longest of them took, once no more are begun."""
MOST_SLOW: Final = 10
LONGEST_OUT: Final = 5.0
"""Seconds: the longest time that a worker stays out of its turns."""
USUAL: Final = 4
QUICK: Final = 8
"""One of so many pops takes less; the rest, and one that met others above all, tell less of it."""
PAYS: Final = 0.3
PAYS_STILL: Final = 0.2
"""All workers together take so many times what the server gives to quick pops, where turns begin,
and go on, to pay: where they take less, few pops meet by chance."""
FEW_SLOTS: Final = 3
"""A worker has few where it has less: each that waits for a turn is much of what it takes."""
PAYS_WITH_FEW: Final = 0.9
PAYS_STILL_WITH_FEW: Final = 0.66
"""The same where workers have few slots."""
FASTER: Final = 0.2
SLOWER: Final = 0.1
"""The share of the last time in what is usual, where it was shorter and where it was longer."""
FEW: Final = 2
"""One of so many workers are few."""
UNUSED: Final = 5.0
"""Where no item went for as long as so many usual pops take, the turn is not used, …"""
NEXT: Final = 2.0
"""… and each further worker waits so many times as long: pops in flight are silent, too."""
MOST_RANKS: Final = 60
KNOWN: Final = 8
"""So many pops tell the fleet what a quick one takes: the first of a burst meet others."""
LEAST_CHANCE: Final = 0.5
MOST_CHANCE: Final = 1.5
"""The least and the most of it that a pause lasts, by chance."""
SAME: Final = 0.002
"""Seconds for which what was found for one new item holds for those behind it."""
NOTHING: Final = (float("-inf"), 0.0)
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
        slots: how many items it works at once, now.
        clock: the time that all workers share, seconds.
        others: the other living workers of the queue.
        chance: random numbers.
        wanting: those of them that had a free slot when they were last seen.
        length: how long a turn is, seconds, where the fleet tells it.
        compete: whether pops of theirs disturb this one's; where not, there is nothing to learn of
            them, and every item costs as little as can be.
    """

    def __init__(
        self,
        me: str,
        slots: Callable[[], int],
        *,
        clock: Callable[[], float],
        others: Callable[[], Sequence[str]] = tuple,
        wanting: Callable[[], Sequence[str]] = tuple,
        length: Callable[[], float | None] = lambda: None,
        chance: random.Random,
        compete: Callable[[], bool] = lambda: True,
    ) -> None:
        self._me = me
        self._slots = slots
        self._clock = clock
        self._told_of = others
        self._told_of_wanting = wanting
        self._length = length
        self._chance = chance
        self._ask_compete = compete
        self._compete = True
        """As it was at the last pop."""
        self._waiting: set[str] = set()
        """New items of which the server told, and not yet that they were taken."""
        self._bulk = NOTHING
        """When it was last found that an item of many has to wait for this worker's turn, and when
        that comes: the whole fleet hears of each item of a bulk, and hears all of them at once."""
        self._jam = Jam()
        self._ticket = ""
        """The item for which this worker need not wait for its turn."""
        self._early = False
        """Whether the last pop did not wait for its turn for that reason."""
        self._took = 0.0
        self._pops: deque[float] = deque(maxlen=POPS)
        """What the last pops took that found an item."""
        self._pop: float | None = None
        """What such a pop usually takes."""
        self._quick: float | None = None
        """What a quick one takes."""
        self._look: float | None = None
        """What a pop that finds none usually takes: the way to the server and half of a pop."""
        self._pace = Pace()
        self._paused = float("-inf")
        """Until when it leaves the queue to others, where there are no turns."""
        self._slow = 0
        """How many of its pops in a row took longer than a turn."""
        self._out = float("-inf")
        """Until when it stays out of its turns, so that a jam of pops clears."""
        self._hold: float | None = None
        self._share = 1.0
        """How much of what the server gives all workers together can take, as far as is known."""
        self._paid = True
        """Whether turns did pay when that was last asked."""

    @property
    def quick(self) -> float | None:
        """What a quick pop takes, seconds; None until there were enough to tell."""
        return self._quick if len(self._pops) >= KNOWN else None

    def new(self, item: str, due: float) -> float:
        """Return in how many seconds this worker is to look for a new item, unless it is taken.

        Args:
            due: in how many seconds it may be popped.
        """
        now = self._clock()
        asked, turn_at = self._bulk
        if due <= 0 and 0.0 <= now - asked < SAME:
            self._waiting.add(item)
            return max(0.0, turn_at - now)
        turns = due <= 0 and self._taking_turns()
        if turns and self._waiting and abs(now - self._jam.moved) < SILENCE:
            self._waiting.add(item)
            wait = self._until(now)
            self._bulk = now, now + wait
            return wait
        rank = rank_for(item, self._me, self._wanting())
        if not turns:
            return due + wait_for(rank, self._took)
        self._waiting = {item}
        self._jam.came(now)
        if not rank:
            self._ticket = item
        return wait_for(rank, self._took)

    def taken(self, item: str) -> None:
        """The server tells that an item was taken, by whomever."""
        self._gone(item, heard=True)
        if item == self._ticket:
            self._ticket = ""

    def found(self, item: str, took: float) -> None:
        """A pop of this worker found an item.

        Args:
            took: how long the server took for it, seconds; the wait for the limiter is none of it.
        """
        if not self._compete:
            return
        now = self._gone(item, heard=False)
        self._ticket = ""
        self._took = took
        pause = self._pace.found(took, 1 + len(self._wanting()))
        self._paused = now + pause * self._chance.uniform(LEAST_CHANCE, MOST_CHANCE)
        if not self._early:  # else the server still tells all of a bulk, and answers late for that
            self._stay_out(now, took)
        self._jam.found(now, quick=took <= self.turn())
        self._pops.append(took)
        ordered = sorted(self._pops)
        self._pop, self._quick = ordered[len(ordered) // USUAL], ordered[len(ordered) // QUICK]

    def wrote(self, took: float) -> None:
        """An outcome was written; see ``Pace.wrote``."""
        if self._compete:
            self._pace.wrote(took)

    def found_none(self, took: float) -> None:
        """A pop of this worker found no item; see ``found``."""
        if not self._compete:
            return
        self._ticket = ""
        self._waiting.clear()
        self._bulk = NOTHING
        self._look = _nearer(took if self._look is None else self._look, took)

    def held(self, seconds: float) -> None:
        """An item has left; it has filled a slot for so long."""
        if self._compete:
            self._hold = _nearer(seconds if self._hold is None else self._hold, seconds)

    def left(self) -> float:
        """Return in how many seconds this worker may pop; 0 is now."""
        self._compete = self._ask_compete()
        others = self._others()
        self._early = bool(others and self._ticket)
        if not others or self._ticket:
            return 0.0
        now = self._clock()
        if not self._taking_turns():
            return _ahead(self._paused, now, MOST_CHANCE * LONGEST_PAUSE)
        out = _ahead(self._out, now, LONGEST_OUT)
        left = max(0.0, out, min(self._until(now + out) + out, self._unused(now)))
        return left or self._before(now) or self._jammed(now)

    def _others(self) -> Sequence[str]:
        return self._told_of() if self._compete else ()

    def _wanting(self) -> Sequence[str]:
        return self._told_of_wanting() if self._compete else ()

    def _taking_turns(self) -> bool:
        """Whether turns pay. That pops are slow is no reason against them: they are so where many
        meet, and without turns they would go on to meet."""
        if not self._others() or self._far():
            return False
        # As long as none has left the server may give more than all can take, or less.
        if self._hold and self._quick is not None:
            slots = self._slots()
            takes = (1 + len(self._sharing())) * slots / self._hold
            begin, still = PAYS, PAYS_STILL
            if slots < FEW_SLOTS:
                begin, still = PAYS_WITH_FEW, PAYS_STILL_WITH_FEW
            self._share = takes * self._quick
            self._paid = self._share > (still if self._paid else begin)
        return self._paid

    def _far(self) -> bool:
        pop, write = self._pop or 0.0, self._pace.write
        return write is not None and self.untold() < pop < FAR * write

    def _stay_out(self, now: float, took: float) -> None:
        """Leave turns out after pops that did not fit into one: the longer, the more of them there
        were in a row. So however many are in flight at once, and whatever began it, they become
        fewer until those that are left are quick."""
        self._slow = min(MOST_SLOW, self._slow + 1) if took > self.turn() else 0
        times = min(1 + len(self._others()), OUT * (2**self._slow - 1))
        self._out = now + min(LONGEST_OUT, took * times)

    def _sharing(self) -> Sequence[str]:
        """Return with whom the turns are shared: with all others, since a full one soon wants items
        again, unless so few want them that most turns would be nobody's."""
        others, wanting = self._others(), self._wanting()
        return wanting if FEW * (1 + len(wanting)) <= 1 + len(others) else others

    def _before(self, now: float) -> float:
        """Return in how many seconds a pop that began at the end of the turn before has ended, most
        likely. Where only few fit into a turn it would meet this worker's pops again and again."""
        length, usual = self.turn(), self._pop
        if usual is None or usual * FITTING < length:
            return 0.0
        heard = self._jam.heard
        rest = int(now // length) * length - heard
        if not LATEST * usual < rest < LONG * usual:
            return 0.0  # who popped before had no time for another, or is full
        return max(0.0, heard + usual - now)

    def _jammed(self, now: float) -> float:
        """Return in how many seconds to ask again, where pops of others are likely to jam."""
        workers = 1 + len(self._others())
        length, usual = self.turn(), self._pop
        return self._jam.left(now, length=length, workers=workers, pop=usual, share=self._share)

    def _unused(self, now: float) -> float:
        """Return in how many seconds the turns of others count as unused, for this worker."""
        if self._pop is None or now - self._jam.heard > SILENCE:
            return SILENCE  # who is told nothing knows nothing of silence
        rank = rank_for(self._jam.last, self._me, self._wanting())
        return self._jam.moved + self._pop * UNUSED * NEXT ** min(MOST_RANKS, rank) - now

    def turn(self) -> float:
        """Return the seconds of a turn."""
        told = self._length()
        return self.untold() if told is None else told

    def untold(self) -> float:
        """Return the seconds of a turn where the fleet tells nothing of it."""
        small = 1 + len(self._others()) < SMALL_FLEET
        return min(SHORT_TURN if small else TURN, self._slots() * TURN_OF_SLOT)

    def _gone(self, item: str, *, heard: bool) -> float:
        """Note that an item went; returns the time."""
        now = self._clock()
        self._waiting.discard(item)
        self._bulk = NOTHING
        self._jam.went(item, now, heard=heard)
        return now

    def _until(self, now: float) -> float:
        others = self._sharing()
        workers, place = len(others) + 1, sum(other < self._me for other in others)
        length = self.turn()
        at = int(now // length)
        ahead = (place - at) % workers
        rest = (at + 1) * length - now
        usual = self._pop or self._look or 0.0
        if not ahead and rest >= LATEST * min(usual, length):
            return 0.0
        return (at + (ahead or workers)) * length - now


def due_in(document: Mapping[str, Any]) -> float:
    """Return in how many seconds a new item is due, by the server's own stamps; 0 is now."""
    nextrun, modified = document.get("nextrun"), document.get("_modified")
    if nextrun == modified:
        return 0.0  # as for each of a bulk that is due at once: nothing is to be reckoned
    due, stamped = moment_of(nextrun), moment_of(modified)
    if due is None or stamped is None:
        return 0.0
    ahead = (due - stamped).total_seconds()
    return ahead if ahead > NO_DELAY else 0.0


def _lot(item: str, worker: str) -> bytes:
    return blake2b(f"{item}/{worker}".encode(), digest_size=8).digest()


def _ahead(moment: float, now: float, most: float) -> float:
    """Return the seconds until a moment; 0 for one that is past, or so far ahead that the clock was
    set."""
    ahead = moment - now
    return ahead if 0.0 < ahead <= most + NO_DELAY else 0.0


def _nearer(usual: float, last: float) -> float:
    return usual + (last - usual) * (FASTER if last < usual else SLOWER)
