"""What is decided of queues: what is written, who gets rights, which come first. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.engine.pause import Pause
from worker.management.errors import ValidationError
from worker.management.items.types import ItemsDeleteBatchPayload
from worker.management.queues.types import (
    QueueCreatePayload,
    QueueFilter,
    QueueItemsResponse,
    QueuePausePayload,
    QueuePurgePayload,
    QueueResponse,
    QueueUpdatePayload,
    SortBy,
    queue_of,
)
from worker.openiap.fields import number, object_of, text_of, whole
from worker.openiap.rights import WORKS
from worker.openiap.types import User
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

MINUTE: Final = timedelta(minutes=1)


def pause_of(payload: QueuePausePayload, user: User | None, now: datetime) -> Pause:
    """Return a pause as it is asked for.

    Args:
        user: who asks.
        now: the server's time.

    Raises:
        ValidationError: an end that is over, or two.
    """
    until = payload.until
    if payload.seconds is not None:
        if until is not None:
            raise ValidationError("A pause ends at a time, or after so long: give one of them.")
        until = now + timedelta(seconds=payload.seconds)
    if until is not None and until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    if until is not None and until <= now:
        raise ValidationError(
            f"The pause would be over: {until:%Y-%m-%d %H:%M:%S %Z}; it is"
            f" {now:%Y-%m-%d %H:%M:%S} UTC."
        )
    by = "" if user is None else user.username or user.name
    return Pause(payload.reason.strip(), by, now, until)


def batch_of(payload: QueuePurgePayload) -> ItemsDeleteBatchPayload:
    """Return a purge with a filter as a change of many items.

    Raises:
        ValidationError: the filter is for another queue.
    """
    name, filter = payload.name, payload.filter
    if filter.queue not in (None, name):
        raise ValidationError(f"The filter is for queue {filter.queue}, and not for {name}.")
    return ItemsDeleteBatchPayload(
        filter=filter.model_copy(update={"queue": name}), before=payload.before
    )


def values_of(payload: QueueCreatePayload | QueueUpdatePayload) -> dict[str, Any]:
    """Return what the protocol carries."""
    found = {
        "maxretries": payload.max_retries,
        "retrydelay": payload.retry_delay,
        "initialdelay": payload.initial_delay,
        "amqpqueue": payload.amqp_queue,
    }
    return {name: value for name, value in found.items() if value is not None}


def granted(document: JsonObject, entries: Sequence[JsonObject]) -> dict[str, Any]:
    """Return a queue's whole access list with these entries; {} without any. Rights that somebody
    has beyond them stay."""
    if not entries:
        return {}
    acl = [dict(ace) for ace in document.get("_acl") or ()]
    for entry in entries:
        mine = next((ace for ace in acl if ace.get("_id") == entry["_id"]), None)
        if mine is None:
            acl.append(dict(entry))
        else:
            mine["rights"] = number(mine.get("rights")) | WORKS
    return {"_acl": acl}


def fits(queue: QueueResponse, filter: QueueFilter) -> bool:
    """Say whether a queue is one of those that are asked for."""
    if filter.name is not None and filter.name.casefold() not in queue.name.casefold():
        return False
    return filter.paused is None or filter.paused is (queue.paused is not None)


def rank(queue: QueueResponse, sort_by: SortBy) -> Any:
    """Return what a queue is put in order by."""
    if sort_by == "name":
        return queue.name
    if sort_by == "oldest":
        return queue.oldest_waiting or 0.0
    return 0 if queue.items is None else getattr(queue.items, sort_by)


def with_counts(
    queue: QueueResponse,
    items: Mapping[str, int],
    oldest: float | None,
    workers: Sequence[JsonObject],
    now: datetime,
) -> QueueResponse:
    """Return a queue with what was counted.

    Args:
        oldest: seconds that an item waits; None for none.
        workers: documents; those that were not heard of in the last minute are left out.
    """
    living = [one for one in workers if text_of(one.get("_modified")) >= iso(now - MINUTE)]
    slots = [whole(object_of(one.get("slots")).get(queue.name)) for one in living]
    working = [one for one in slots if one]
    return queue.model_copy(
        update={
            "items": QueueItemsResponse(**items),
            "oldest_waiting": oldest,
            "workers": len(working),
            "slots": sum(working),
        }
    )


def listed(documents: Iterable[JsonObject], now: datetime) -> list[QueueResponse]:
    """Return all queues, by name, without what they hold."""
    found: dict[str, JsonObject] = {}
    for document in documents:
        # The first of a name is the queue, as for OpenIAP itself; anybody may store another.
        found.setdefault(text_of(document.get("name")), document)
    return [queue_of(found[name], now) for name in sorted(found) if name]


def counted(
    queues: Iterable[QueueResponse],
    items: Mapping[str, Mapping[str, int]],
    oldest: Mapping[str, datetime],
    workers: Sequence[JsonObject],
    now: datetime,
) -> list[QueueResponse]:
    """Return queues with what was counted.

    Args:
        queues: as ``listed`` gives them.
        items: how many are in each queue, by its name and their state.
        oldest: since when the oldest due item of a queue waits.
        workers: documents, with ``slots``.
        now: the time.
    """
    return [
        with_counts(one, items.get(one.name, {}), age_of(oldest.get(one.name), now), workers, now)
        for one in queues
    ]


def in_order(queues: list[QueueResponse], sort_by: SortBy, direction: str) -> list[QueueResponse]:
    """Return queues in an order; those that are the same in it by name."""
    found = sorted(queues, key=lambda queue: queue.name)
    found.sort(key=lambda queue: rank(queue, sort_by), reverse=direction == "desc")
    return found


def age_of(since: datetime | None, now: datetime) -> float | None:
    """Return the seconds since a moment; None without one."""
    return None if since is None else max(0.0, (now - since).total_seconds())
