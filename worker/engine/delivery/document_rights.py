"""What this user may do with the documents of items beyond popping and updating them.

Read and invoke on a queue are enough to pop its items and write their outcomes back. Writing an
item's document takes update as well, and without it a conditional update does not fail: it matches
nothing (openflow 1.5.10.62), as if somebody else had the item. So who matched nothing reads before
believing it, and once the item proves to be its own, its queue is noted here.
"""

from collections.abc import Callable
from typing import Final

from worker.openiap.connection import LinkLog


class DocumentRights:
    """Of the queues of one worker.

    Args:
        epoch: a number that changes with each sign-in: rights may have been given since.
    """

    def __init__(self, epoch: Callable[[], int], log: LinkLog) -> None:
        self._epoch = epoch
        self._log = log
        self._missing: Final[dict[str, int]] = {}

    def missing(self, queue: str) -> bool:
        """Whether the documents of a queue's items are known not to be writable now."""
        return self._missing.get(queue) == self._epoch()

    def note_missing(self, queue: str, why: str = "") -> None:
        """A document of an own item could not be written; said once for each queue.

        Args:
            why: the server's words, where it had any.
        """
        said = queue in self._missing
        self._missing[queue] = self._epoch()
        if said:
            return
        self._log.warn(
            f"this user may not update the documents of items ({why or 'right update missing'}):"
            " late outcomes are checked by reading alone, times chosen by Retry or Backoff give way"
            " to the queue's retrydelay with the official client, and items that are handed back or"
            " wait for a key or a rate cost an attempt; give it read, update and invoke",
            queue=queue,
        )
