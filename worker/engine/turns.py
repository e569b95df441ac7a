"""Whose turn it is to pop, where pops at once on one queue disturb each other; pure.

1. A new item: the server tells every worker of it. Each draws the same lots, so that the one with
   the lowest pops at once, and the others in its wake, unless they see the item taken.
2. A full queue: after a pop that found an item a worker pauses the longer, the more workers want
   items, so that about ``ABREAST`` pops are in flight over the whole fleet, and it follows the
   server's speed by itself.

Both are courtesies: who does not know the others pops, and a wrong guess costs a little time.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

from worker.openiap.fields import moment_of

ABREAST: Final = 4
"""Pops in flight that OpenIAP gets the most items out of. Fewer leave it idle as soon as what takes
the time is not the server's work on pops: the network, or a machine that is busy otherwise."""
LONGEST_PAUSE: Final = 2.0
"""Seconds: one slow pop does not keep a worker from its queue."""
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


def pause_after(took: float, wanting: int) -> float:
    """Return for how many seconds a worker pauses after a pop that found an item.

    Args:
        took: how long the server took for it, seconds.
        wanting: how many workers of the queue want items, this one included.
    """
    return min(LONGEST_PAUSE, took * max(0.0, wanting / ABREAST - 1.0))


def due_in(document: Mapping[str, Any]) -> float:
    """Return in how many seconds a new item is due, by the server's own stamps; 0 is now."""
    due, stamped = moment_of(document.get("nextrun")), moment_of(document.get("_modified"))
    if due is None or stamped is None:
        return 0.0
    ahead = (due - stamped).total_seconds()
    return ahead if ahead > NO_DELAY else 0.0


def _lot(item: str, worker: str) -> bytes:
    return blake2b(f"{item}/{worker}".encode(), digest_size=8).digest()
