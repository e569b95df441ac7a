"""How long a worker leaves a queue to the others after a pop, where there are no turns.

So long that only a few pops are in flight over the whole fleet, whatever the server's speed. How
few, each finds out from what it does anyway: a server that is busy, or far, slows pops and writes
alike, pops that disturb each other slow pops alone.
"""

from typing import Final

ABREAST: Final = 2.0
"""Pops in flight over the fleet, to begin with."""
FEWEST: Final = 1.2
MOST: Final = 8.0
DISTURBED: Final = 2.5
"""A pop that takes so many times what one took that took least, by the measure of writes, was
disturbed by others."""
FEWER: Final = 0.9
"""Times what it was, after a disturbed pop."""
MORE: Final = 0.1
"""Added after any other."""
FORGETS: Final = 1.01
"""The least is so many times as much after each pop, so that it follows a server that changes."""
SHORTEST: Final = 0.001
"""Seconds: below that, times tell nothing of a server."""
SMOOTHING: Final = 0.3
"""The share of the last pop, or write, in what they usually take."""
LONGEST_PAUSE: Final = 2.0
"""Seconds: one slow pop does not keep a worker from its queue."""


class Pace:
    """How long one worker leaves the queue to the others after a pop that found an item.

    Attributes:
        abreast: how many pops are to be in flight over the whole fleet.
        write: how many seconds a write usually takes; None where there was none.
    """

    def __init__(self) -> None:
        self.abreast = ABREAST
        self.write: float | None = None
        self._pop = 0.0
        self._least: float | None = None
        """What the pop took that took least of late, in writes."""

    def wrote(self, took: float) -> None:
        """An outcome was written.

        Args:
            took: how long the server took for it, seconds; the wait for the limiter is none of it.
        """
        self.write = took if self.write is None else _smoothed(self.write, took)

    def found(self, took: float, wanting: int) -> float:
        """Return for how many seconds the worker pauses after a pop that found an item.

        Args:
            took: how long the server took for it, seconds.
            wanting: how many workers of the queue want items, this one included.
        """
        self._pop = _smoothed(self._pop, took)
        if self.write is not None:
            self._adapt(max(took, SHORTEST) / max(self.write, SHORTEST))
        # The shorter of the two: one slow pop is no slow server.
        pause = min(took, self._pop) * max(0.0, wanting / self.abreast - 1.0)
        return min(LONGEST_PAUSE, pause)

    def _adapt(self, writes: float) -> None:
        """Aim at more or fewer pops in flight by what a pop took, in writes."""
        least = writes if self._least is None else min(writes, self._least * FORGETS)
        if writes > DISTURBED * least:
            self.abreast = max(FEWEST, self.abreast * FEWER)
        else:
            self.abreast = min(MOST, self.abreast + MORE)
        self._least = least


def _smoothed(usual: float, last: float) -> float:
    return usual + (last - usual) * SMOOTHING
