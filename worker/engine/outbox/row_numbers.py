"""The numbers of the outbox's rows: no two rows get one."""

import threading
import time
from typing import Final

LARGEST: Final = 2**62
"""No life comes so far; a row that has a larger number was made by who spoiled the file."""


class RowNumbers:
    """Numbers that grow, from one life to the next as well: microseconds of its begin. Threads may
    share them: of two rows with one number one would silently replace the other on disk.

    Args:
        first: instead of the present time.
    """

    def __init__(self, first: int | None = None) -> None:
        self._next = time.time_ns() // 1000 if first is None else first
        self._mutex = threading.Lock()

    def beyond(self, seq: int) -> None:
        """Draw only numbers beyond one that the file has: the clock may have gone back since."""
        with self._mutex:
            if seq < LARGEST:
                self._next = max(self._next, seq + 1)

    def draw(self, count: int = 1) -> int:
        """Return the first of so many numbers in a row."""
        with self._mutex:
            first = self._next
            self._next += count
        return first
