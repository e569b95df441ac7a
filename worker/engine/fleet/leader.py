"""The fleet, as a worker sees it that has something to do which one of them is enough for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol


class Fleet(Protocol):
    """What there is to know of the others, and the time that all share; see ``Presence``."""

    def server_now(self) -> datetime:
        """Return the server's time as far as it is known."""

    def rank(self, queue: str) -> int | None:
        """Return how many live workers of a queue come first, as last seen; asks nobody.

        None when it is not known, as without the rights for heartbeats.
        """

    async def peers(self) -> Sequence[object]:
        """Look who is there; ``rank`` knows it from then on.

        Raises:
            OpenIAPError: it cannot be read.
        """
