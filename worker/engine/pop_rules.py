"""How much of a queue is popped, and until when; said by whoever puts the worker together."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PopRules:
    """How much of a queue is popped at once, and until when.

    Attributes:
        slots: how many items may be in flight.
        poppers: how many pops may be; asked at the start.
        once: whether the end of the queue is the end of the work.
        finished: how many items left, of all queues of this worker: each may bring others.
        held: whether nothing is popped for now, as an operator wants it.
    """

    slots: int
    poppers: Callable[[], int]
    once: bool = False
    finished: Callable[[], int] = lambda: 0
    held: Callable[[], bool] = lambda: False
