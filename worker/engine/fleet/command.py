"""A command: what operators tell one worker to do, as it stands in the worker's mailbox. Pure.

Whether a mailbox's commands count at all says ``mailbox.py``.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.openiap.fields import objects_of, text_of, whole
from worker.openiap.workitem import JsonObject

MOST: Final = 20
"""Commands that are kept in a mailbox; the last ones."""
LONGEST: Final = timedelta(hours=1)
"""For so long at most a command holds."""
MOST_ID: Final = 64


@dataclass(frozen=True, slots=True)
class Command:
    """What a worker is told to do.

    Attributes:
        queue: which one, where it is about one; value: what is set.
        expires: from then on it is not done any more, by the server's clock.
        by: the name of the user who gave it, as the server says, "" where that is not known; byid:
            the id.
    """

    id: str
    action: str
    expires: datetime
    queue: str = ""
    value: str | int | None = None
    by: str = ""
    byid: str = ""

    def document(self) -> JsonObject:
        """Return it as it stands in a mailbox."""
        found: JsonObject = {"id": self.id, "action": self.action, "expires": _ms(self.expires)}
        if self.queue:
            found["queue"] = self.queue
        if self.value is not None:
            found["value"] = self.value
        return found


def commands_of(
    document: Mapping[str, Any], seen: Iterable[str] = (), *, stamped: bool = True
) -> list[Command]:
    """Return the commands of a mailbox that are new, oldest first; what is none is left out. Pure.

    Args:
        seen: the ids of those that were handed on.
        stamped: whether the server's stamp says who gave the last one.
    """
    known = set(seen)
    found: dict[str, Command] = {}
    for one in objects_of(document.get("commands"))[-MOST:]:
        id, action = text_of(one.get("id")), text_of(one.get("action"))
        at = whole(one.get("expires"))
        if not id or len(id) > MOST_ID or not action or at is None or id in known:
            continue
        with suppress(OverflowError, OSError, ValueError):
            expires = datetime.fromtimestamp(at / 1000, UTC)
            value = one.get("value")
            value = text_of(value) if isinstance(value, str) else whole(value)
            found[id] = Command(id, action, expires, text_of(one.get("queue")), value)
    commands = list(found.values())
    if commands and stamped:
        by, byid = text_of(document.get("_modifiedby")), text_of(document.get("_modifiedbyid"))
        commands[-1] = replace(commands[-1], by=by, byid=byid)
    return commands


def is_over(command: Command, written: datetime | None, now: datetime) -> bool:
    """Whether a command is not done any more, or says that it holds for longer than any may.

    Args:
        written: when the mailbox was written last; now: both by the server's clock.
    """
    latest = (written or now) + LONGEST
    return not now < command.expires <= latest


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
