"""When the loop's own thread commits, instead of the outbox's.

A commit of a few rows that waits for no disk takes some hundredths of a millisecond: less than to
wake a thread, and far less than an item waits until both have had their turn. It is made at the end
of the loop's turn, with all that came in it. But the loop stands still meanwhile, so the thread
commits

1. where each commit waits for the disk (``outbox_sync = full``);
2. what is large, and whatever else is not usual;
3. what a handler that blocks the loop keeps from being committed at the end of its turn;
4. for a while after commits that took long: the disk is slow, or a handler's thread computes and
   does not let the loop have the interpreter back.
"""

import time
from typing import Final

from worker.engine.outbox.batch import Batch
from worker.engine.outbox.sqlite import Sync

LONG: Final = 0.002
"""Seconds from which on a commit on the loop is a long one."""
SHARE: Final = 0.02
AT_ONCE: Final = 0.02
"""Of the loop's time no more than this share goes into long commits, after so many seconds of
them."""


class LoopCommits:
    """Says which commits the loop makes.

    Args:
        sync: as the outbox is opened.
    """

    def __init__(self, sync: Sync) -> None:
        self._never = sync == "full"
        self._lost = self._seen = self._from = 0.0

    def fit(self, batch: Batch) -> bool:
        """Whether the loop may commit a batch now."""
        return batch.usual and not self._never and time.monotonic() >= self._from

    def took(self, seconds: float) -> None:
        """Learn what a commit took that the loop has made."""
        if seconds < LONG:
            return
        now = time.monotonic()
        self._lost = max(0.0, self._lost - SHARE * (now - self._seen)) + seconds
        self._seen = now
        self._from = now + (self._lost - AT_ONCE) / SHARE
