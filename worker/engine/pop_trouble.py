"""What a pop that did not work means for its queue. Pure; ``consumer.py`` acts on it."""

from dataclasses import dataclass

from worker.openiap.errors import (
    Disconnected,
    OpenIAPError,
    QueueNotFound,
    RequestTimeout,
    RightsMissing,
)


@dataclass(frozen=True, slots=True)
class PopTrouble:
    """What there is to a pop that did not work.

    Attributes:
        text: for the log.
        lasting: it stays so until somebody does something about it; a worker that ends with its
            queue does not wait for that.
        lost: the server may have popped an item for us all the same; the rescuer finds it.
    """

    text: str
    lasting: bool = False
    lost: bool = False


def trouble_of(error: OpenIAPError, queue: str) -> PopTrouble:
    """Return what an error of a pop means."""
    if isinstance(error, QueueNotFound):
        return PopTrouble(
            f"Queue {queue} does not exist, or this user has no rights on it;"
            f" create it with: openiap-worker queues create {queue}",
            lasting=True,
        )
    if isinstance(error, RightsMissing):
        return PopTrouble(
            f"Queue {queue}: this user may not take its items ({error.text}); it needs the"
            " rights read, update and invoke on the queue and on its items. See:"
            " openiap-worker doctor",
            lasting=True,
        )
    lost = isinstance(error, Disconnected | RequestTimeout)
    return PopTrouble(f"cannot pop: {error}", lost=lost)
