"""Switches: which schedules are paused, as the document of their queue in ``mq`` says. Pure.

They stand there because OpenIAP itself checks who may write it: whoever may update the queue. A
document of one's own, which anybody can make, says nothing of a schedule.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from worker.openiap.fields import objects_of, text_of, whole
from worker.openiap.workitem import JsonObject

FIELD: Final = "openiap_worker_schedules"
"""Of a queue's document."""
MOST: Final = 500
"""Schedules of a queue that can be paused."""

ScheduleKey = tuple[str, str]
"""A schedule's queue and name."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Whether a schedule is paused, and when that was said, by the server's clock."""

    paused: bool
    at: datetime | None


def switches_of(
    queues: Iterable[Mapping[str, Any]], namespace: str = ""
) -> dict[ScheduleKey, Switch]:
    """Return what queues' documents say, by queue and schedule; what does not fit says nothing.

    Args:
        queues: in the server's own order: of several with one name the first is the queue.
    """
    found: dict[ScheduleKey, Switch] = {}
    seen: set[str] = set()
    for document in queues:
        queue = text_of(document.get("name"))
        if queue in seen:
            continue
        seen.add(queue)
        for one in objects_of(document.get(FIELD))[:MOST]:
            name, paused = text_of(one.get("name")), one.get("paused")
            if text_of(one.get("namespace")) == namespace and isinstance(paused, bool):
                found[queue, name] = Switch(paused, _moment(one.get("at")))
    return found


def switched(
    queue: Mapping[str, Any], namespace: str, name: str, switch: Switch
) -> Sequence[JsonObject]:
    """Return the field of a queue's document with one schedule switched."""
    others = [
        one
        for one in objects_of(queue.get(FIELD))
        if (text_of(one.get("namespace")), text_of(one.get("name"))) != (namespace, name)
    ]
    mine: JsonObject = {"namespace": namespace, "name": name, "paused": switch.paused}
    if switch.at is not None:
        mine["at"] = int(switch.at.timestamp() * 1000)
    return [*others, mine][-MOST:]


def _moment(value: object) -> datetime | None:
    at = whole(value)
    try:
        return None if at is None else datetime.fromtimestamp(at / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
