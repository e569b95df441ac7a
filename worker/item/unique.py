"""What makes a push unique, as data: its key, how long the key is held, and who wins.

The key belongs to its queue and the push's namespace. It is taken from the push until the item is
successful or failed, and for ``hold`` seconds after that; or only as long as the item waits.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from worker.durations import Duration, seconds
from worker.openiap.fields import duration_of, moment_of
from worker.openiap.values import checked_name
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject

HELD_WHILE: Final = ("unfinished", "waiting")
HeldWhile = Literal["unfinished", "waiting"]


@dataclass(frozen=True, slots=True)
class Unique:
    """One push's.

    Attributes:
        key: 1 to 1,000 bytes.
        hold: seconds for which the key stays taken after the item's end.
        update: an item that waits takes the payload, the earlier time and the higher priority.
        namespace: whose key it is; "" for nobody's.
        waiting: an item that is being worked has the key no more.
    """

    key: str
    hold: float = 0.0
    update: bool = False
    namespace: str = ""
    waiting: bool = False


def unique_of(
    key: str | None,
    unique_for: Duration | timedelta | None,
    update: bool,
    *,
    files: bool,
    namespace: str = "",
    held_while: str | None = None,
) -> Unique | None:
    """Read what a push was given; None for one that is not unique.

    Args:
        held_while: ``unfinished``, which is the default, or ``waiting``.

    Raises:
        TypeError, ValueError: a key or duration that is not allowed, what needs a key without one,
            or files, which can only be stored with an item that is there already.
    """
    if key is None:
        if unique_for is not None:
            raise ValueError("push: unique_for needs unique")
        if update:
            raise ValueError("push: unique_update needs unique")
        if held_while is not None:
            raise ValueError("push: unique_while needs unique")
        return None
    if held_while not in (None, *HELD_WHILE):
        raise ValueError(
            f"push: unique_while = {held_while!r}; allowed: {', '.join(map(repr, HELD_WHILE))}"
        )
    checked_name(key, "unique")
    if files:
        raise ValueError(
            "push: unique and files do not go together; let the payload name what the handler"
            " fetches"
        )
    hold = 0.0 if unique_for is None else seconds(unique_for, "push: unique_for")
    return Unique(key, hold, bool(update), namespace, held_while == "waiting")


def cell_name(queue: str, unique: Unique) -> str:
    """Return how a key of a queue is called among all unique keys. No name of a queue gives two
    percent signs in a row, so a namespace's key is nobody else's."""
    whose = f"%%{_escaped(unique.namespace)}" if unique.namespace else ""
    return f"{_escaped(queue)}{whose}/{unique.key}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("/", "%2F")


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
