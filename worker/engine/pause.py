"""A queue's pause, as the queue's own document in ``mq`` holds it. Pure.

It stands there because OpenIAP itself checks who may write it: whoever has the right to update the
queue, and nobody else. A document of the same name that somebody else has made is none of the
queue's (``queues.py``), and nothing outside of the queue's document is looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from worker.openiap.fields import moment_of, text_of
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

PAUSE: Final = "openiap_worker_pause"
"""The field of a queue's document."""
MOST_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nothing of a queue is popped.

    Attributes:
        reason, by: for people; who paused says who that was.
        since: when, by the clock of who paused.
        until: when it ends by itself, by the server's clock; None for when somebody resumes it.
    """

    reason: str
    by: str
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it is not over."""
        return self.until is None or now < self.until

    def document(self) -> JsonObject:
        """Return what is written into the queue's document."""
        moments = {"since": self.since, "until": self.until}
        return {
            "reason": self.reason[:MOST_TEXT],
            "by": self.by[:MOST_TEXT],
            **{name: None if moment is None else iso(moment) for name, moment in moments.items()},
        }

    def __str__(self) -> str:
        """Say who, why and until when."""
        until = "until it is resumed" if self.until is None else f"until {shown(self.until)}"
        by = f" by {self.by}" if self.by else ""
        return f"paused{by} {until}{f': {self.reason}' if self.reason else ''}"


def pause_of(document: Mapping[str, Any]) -> Pause | None:
    """Return what a queue's document says, or None; an end that is no moment is none."""
    found = document.get(PAUSE)
    if not isinstance(found, Mapping):
        return None
    return Pause(
        reason=text_of(found.get("reason"))[:MOST_TEXT],
        by=text_of(found.get("by"))[:MOST_TEXT],
        since=moment_of(found.get("since")),
        until=moment_of(found.get("until")),
    )


def shown(moment: datetime) -> str:
    """Return a moment for people, as texts of pauses and of quiet workers have it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
