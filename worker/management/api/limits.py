"""How often: so many at once, and so many in a time, for each of many who ask."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from worker.management.errors import RateLimitError

MOST_KNOWN: Final = 10_000


class Rate:
    """Lets each key through so often; what was not used is saved, up to a burst.

    Args:
        what: for the sentence that says no: "sign-in attempts".
        per_second: how many are let through in the long run.
        burst: how many at once.
        clock: seconds.
    """

    def __init__(
        self,
        what: str,
        per_second: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable) -> None:
        """Let one through.

        Raises:
            RateLimitError: there were too many; it says when the next one may come.
        """
        now = self._clock()
        left, at = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        fits = left >= 1.0
        self._left[key] = (left - 1.0 if fits else left, now)
        while len(self._left) > MOST_KNOWN:
            self._left.popitem(last=False)
        if not fits:
            wait = (1.0 - left) / self._per_second
            raise RateLimitError(f"Too many {self._what}; try again in {wait:.0f} s.", wait)


class SignIns:
    """Counts attempts to sign in, whatever came of them.

    Args:
        per_address, per_name, of_name: see ``Limits``; a minute.
    """

    def __init__(
        self,
        per_address: int,
        per_name: int,
        of_name: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        what = "attempts to sign in"
        self._per_address = Rate(what, per_address / 60, per_address, clock)
        self._per_name = Rate(what, per_name / 60, per_name, clock)
        self._of_name = Rate(what, of_name / 60, of_name, clock)

    def take(self, address: str, name: str) -> None:
        """Count one attempt.

        Args:
            name: "" for one with a token.

        Raises:
            RateLimitError: there were too many from this address, or for this name.
        """
        self._per_address.take(address)
        if name:
            self._per_name.take((address, name.casefold()))
            self._of_name.take(name.casefold())
