"""Whether pops of others are likely to be in flight still when a turn begins (``turns.py``).

Each worker begins its pops in its own turn. Where those of the turns before have not ended, as when
the server tells a whole fleet of a bulk, each turn adds one, each one more makes all the others
longer, and the more queues a server has, the sooner that goes on by itself. Nobody is told what is
in flight; what has ended the watch tells, to all alike:

1. Two items that went within the length of a turn: pops end as they should, and it is used.
2. With fewer, who had a quick pop of late gives the pop of the turn before some time to end.
3. Where nothing went for longer than a turn, one of those turns is used that come after 3, 7, 15, …
   of them, and no other before something goes; the same is true of who had no quick pop of late,
   as all have had none when a bulk comes to an empty queue. So however long a server stands still,
   few pops wait for it.

That nothing goes tells nothing where the watch does not tell, or where most workers are full.
"""

from typing import Final

NEVER: Final = float("-inf")
SILENCE: Final = 1.0
"""Seconds in which no item came or went: what was known of the queue may be wrong."""
SMALL: Final = 4
"""So few workers cannot jam."""
FULL: Final = 0.7
"""Where the workers take less than so many times what the server gives, some are always full."""
OF_LATE: Final = 0.5
ROUNDS: Final = 2
"""A pop was of late when it ended within so many seconds, or rounds of turns."""
TIME_TO_END: Final = 1.5
"""A pop of the turn before is given so many usual ones from the last that ended on, …"""
PART: Final = 0.4
"""… and no more than this part of the turn."""
LOOK: Final = 0.005
"""Seconds after which it is asked again whether something went."""


class Jam:
    """What one worker knows of the pops of all at one queue; the times are what all share, seconds.

    Attributes:
        moved: when an item came, to an empty queue, or went.
        heard: when the server last told that one went.
        last: the item that went last.
    """

    def __init__(self) -> None:
        self.moved = self.heard = NEVER
        self.last = ""
        self._told = NEVER
        """When the server last told of anything."""
        self._went = self._went_before = NEVER
        """When the last item went, and the one before."""
        self._quick = NEVER
        """When the last pop of this worker ended that took no longer than a turn, or NEVER where
        there was a longer one since."""

    def came(self, now: float) -> None:
        """The server tells of an item that came to an empty queue."""
        self.moved = self._told = now

    def went(self, item: str, now: float, *, heard: bool) -> None:
        """An item went.

        Args:
            heard: whether the server tells of it; else a pop of this worker has found it.
        """
        if item != self.last:
            self._went, self._went_before = now, self._went
        self.moved, self.last = now, item
        if heard:
            self.heard = self._told = now

    def found(self, now: float, *, quick: bool) -> None:
        """A pop of this worker has ended; whether it took no longer than a turn."""
        self._quick = now if quick else NEVER

    def left(
        self, now: float, *, length: float, workers: int, pop: float | None, share: float
    ) -> float:
        """Return in how many seconds a worker may use its turn, as far as others are in flight; or
        is to ask again.

        Args:
            length: of a turn, seconds.
            workers: how many take turns.
            pop: what one usually takes, seconds.
            share: how much of what the server gives all of them can take.
        """
        if workers <= SMALL or share < FULL:
            return 0.0
        if not (0.0 <= now - self.moved < SILENCE and 0.0 <= now - self._told < SILENCE):
            return 0.0
        if now - self._went_before < length:
            return 0.0
        turn = int(now // length)
        silent = turn - int(self.moved // length)
        if silent <= 1 and now - self._quick < max(OF_LATE, ROUNDS * workers * length):
            usual = min(pop or length, length / 2)
            return max(0.0, min((turn + PART) * length, self._went + TIME_TO_END * usual) - now)
        if silent > 1 and silent & (silent + 1) == 0:
            return 0.0
        return min((turn + 1) * length - now, LOOK)
