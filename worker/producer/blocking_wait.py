"""Waiting in blocking code for what is done on another loop.

Python cannot break off a wait without an end in a thread that is not the main one. So it waits in
parts: between two of them a block that is past its time, or whose item was cancelled, is stopped.
"""

from concurrent.futures import Future, wait
from typing import Final, TypeVar

T = TypeVar("T")

PART: Final = 0.2
"""Seconds."""


def waited_for(future: "Future[T]") -> T:
    """Return what comes of a future; it is cancelled where the wait is broken off.

    Raises:
        BaseException: whatever it ends with, or the wait is broken off by.
    """
    try:
        while not wait((future,), PART).done:
            pass
        return future.result()
    except BaseException:
        future.cancel()  # nobody waits any more
        raise
