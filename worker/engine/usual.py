"""How long a handler usually takes, learnt while it works. Pure."""

from typing import Final

WEIGHT: Final = 0.1
ENOUGH: Final = 5


class Usual:
    """A running mean and deviation of durations in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = 0.0
        self._deviation = 0.0

    def saw(self, seconds: float) -> None:
        """Learn from one run."""
        self.count += 1
        if self.count == 1:
            self._mean = seconds
            return
        off = seconds - self._mean
        self._mean += WEIGHT * off
        self._deviation += WEIGHT * (abs(off) - self._deviation)

    def left(self, ran: float) -> float | None:
        """Return how long a run will still take; None when that cannot be said.

        Args:
            ran: seconds that it has run so far.
        """
        if self.count < ENOUGH:
            return None
        likely = self._mean - self._deviation  # cautious: only those that surely take longer
        return likely - ran if likely > ran else None
