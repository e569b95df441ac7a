"""What makes a push unique, as data: its key, how long the key is held, and who wins.

The key belongs to its queue. It is taken from the push until the item is successful or failed, and
for ``hold`` seconds after that.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.durations import Duration, seconds
from worker.openiap.fields import duration_of, moment_of
from worker.openiap.values import checked_name
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject


@dataclass(frozen=True, slots=True)
class Unique:
    """One push's.

    Attributes:
        key: 1 to 1,000 bytes.
        hold: seconds for which the key stays taken after the item's end.
        update: an item that waits takes the payload, the earlier time and the higher priority.
    """

    key: str
    hold: float = 0.0
    update: bool = False


def unique_of(
    key: str | None, unique_for: Duration | timedelta | None, update: bool, *, files: bool
) -> Unique | None:
    """Read what a push was given; None for one that is not unique.

    Raises:
        TypeError, ValueError: a key or duration that is not allowed, what needs a key without one,
            or files, which can only be stored with an item that is there already.
    """
    if key is None:
        if unique_for is not None:
            raise ValueError("push: unique_for needs unique")
        if update:
            raise ValueError("push: unique_update needs unique")
        return None
    checked_name(key, "unique")
    if files:
        raise ValueError(
            "push: unique and files do not go together; let the payload name what the handler"
            " fetches"
        )
    try:
        hold = 0.0 if unique_for is None else seconds(unique_for)
    except ValueError as error:
        raise ValueError(f"push: unique_for: {error}") from None
    return Unique(key, hold, bool(update))


def cell_name(queue: str, key: str) -> str:
    """Return how a key of a queue is called among all unique keys."""
    return f"{queue.replace('%', '%25').replace('/', '%2F')}/{key}"


def ended(document: JsonObject) -> bool:
    """Whether an item is successful or failed."""
    return document.get("state") in (SUCCESSFUL, FAILED)


def held_until(document: JsonObject, hold: Any) -> datetime | None:
    """Return until when the key of an ended item is held, in the server's time; None: not at all.

    Args:
        hold: seconds, as its cell keeps them.
    """
    at, held = moment_of(document.get("_modified")), duration_of(hold)
    if at is None or not held:
        return None
    return at + timedelta(seconds=held)
