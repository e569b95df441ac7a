"""Many items into one queue: several pushes in flight, or many items to a message."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from worker.cli.shared.connected import patiently
from worker.item.new_item import Push, Sent
from worker.item.unique import Unique
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.values import json_text
from worker.openiap.workitem import JsonObject, Workitem
from worker.producer.unique_push import UniquePushes

IN_FLIGHT: Final = 8
BATCH: Final = 100
BATCH_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """What all items of one push have in common."""

    queue: str
    name: str = ""
    priority: int = 2
    nextrun: datetime | None = None
    files: tuple[Path, ...] = ()
    unique: Unique | None = None


@dataclass(slots=True)
class Pushed:
    """What came of a push: the ids in the order of the payloads, "" for what was not pushed.

    Attributes:
        sent: for a unique push, whether the item was there already.
    """

    ids: list[str] = field(default_factory=list)
    sent: Sent | None = None

    @property
    def done(self) -> list[str]:
        """The ids of what the server has for certain."""
        return [id for id in self.ids if id]


async def push_all(
    client: Client,
    wanted: Wanted,
    payloads: Sequence[JsonObject],
    pushed: Pushed,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Push items; ``pushed`` holds what was done also when this raises.

    Args:
        client: signed in.
        wanted: queue, name, priority, time and files of every item.
        payloads: one for each item.
        pushed: filled in while it goes.
        advance: called with how many items were added.

    Raises:
        OpenIAPError: the first refusal; nothing more is begun after it.
    """
    pushed.ids = [""] * len(payloads)
    bulk = client.capabilities.bulk_push and not wanted.files
    parts = _batches(payloads) if bulk else ((n, n + 1) for n in range(len(payloads)))

    refusals: list[OpenIAPError] = []

    async def work() -> None:
        # All share one iterator: each takes the next part when it is done with the last. After a
        # refusal nothing new is begun, and what is in flight ends: its outcome is known then.
        for start, end in parts:
            try:
                if bulk:
                    ids = await _push_batch(client, wanted, payloads[start:end])
                else:
                    ids = [await _push_one(client, wanted, payloads[start])]
            except OpenIAPError as error:
                refusals.append(error)
                return
            pushed.ids[start:end] = ids
            advance(len(ids))
            if refusals:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(min(IN_FLIGHT, len(payloads))):
            group.create_task(work())
    if refusals:
        raise next((error for error in refusals if error.maybe_done), refusals[0])


async def push_unique(
    client: Client, wanted: Wanted, payload: JsonObject, pushed: Pushed, namespace: str
) -> None:
    """Push one item, or find the one that has its key."""
    if wanted.unique is None:
        return
    push = Push(wanted.queue, payload, wanted.name, wanted.priority, wanted.nextrun)
    pushed.sent = await UniquePushes(client, namespace).push(push, wanted.unique)
    pushed.ids = [pushed.sent.id]


async def _push_one(client: Client, wanted: Wanted, payload: JsonObject) -> str:
    item = await patiently(
        lambda: client.push_workitem(
            wanted.queue,
            payload,
            name=wanted.name,
            priority=wanted.priority,
            nextrun=wanted.nextrun,
            files=wanted.files,
        )
    )
    return item.id


async def _push_batch(client: Client, wanted: Wanted, payloads: Sequence[JsonObject]) -> list[str]:
    items = [Workitem(name=wanted.name, payload=p, priority=wanted.priority) for p in payloads]
    found = await patiently(
        lambda: client.push_workitems(
            wanted.queue, items, nextrun=wanted.nextrun, priority=wanted.priority
        )
    )
    return [item.id for item in found]


def _batches(payloads: Sequence[JsonObject]) -> Iterator[tuple[int, int]]:
    """Cut into parts of at most so many items and, but for a single big one, so many bytes."""
    start, size = 0, 0
    for index, payload in enumerate(payloads):
        length = len(json_text(payload))
        if index > start and (index - start >= BATCH or size + length > BATCH_BYTES):
            yield start, index
            start, size = index, 0
        size += length
    if start < len(payloads):
        yield start, len(payloads)
