"""The numbers of the outbox's rows: drawn by the writer's thread alone, so no two rows get one."""

import threading
import time
from typing import Final

LARGEST: Final = 2**62
"""No life comes so far; a row that has a larger number was made by who spoiled the file."""


class RowNumbers:
    """Numbers that grow, from one life to the next as well: microseconds of its begin.

    Args:
        first: instead of the present time.
    """

    def __init__(self, first: int | None = None) -> None:
        self._next = time.time_ns() // 1000 if first is None else first
        self._thread: int | None = None

    def beyond(self, seq: int) -> None:
        """Draw only numbers beyond one that the file has: the clock may have gone back since."""
        self._mine()
        if seq < LARGEST:
            self._next = max(self._next, seq + 1)

    def draw(self, count: int = 1) -> int:
        """Return the first of so many numbers in a row.

        Raises:
            RuntimeError: in another thread than before. Two that draw could draw the same, and then
                one row would silently replace the other on disk.
        """
        self._mine()
        first = self._next
        self._next += count
        return first

    def _mine(self) -> None:
        here = threading.get_ident()
        if self._thread is None:
            self._thread = here
        elif self._thread != here:
            raise RuntimeError("the numbers of the outbox's rows are drawn by its writer alone")
