"""Lets Python sleep under libfaketime, whose 0.9.10 makes sleeping by a monotonic clock fail."""

import select
import time


def sleep(seconds: float) -> None:
    """Sleep as ``time.sleep`` does, by another call of the system."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = sleep
