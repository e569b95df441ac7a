"""Queues for operators, with both clients."""

import pytest

from worker.management.errors import ValidationError
from worker.management.items.types import ItemFilter
from worker.management.queues.errors import (
    PrincipalNotFoundError,
    QueueExistsError,
    QueueNotFoundError,
)
from worker.management.queues.service import Queues
from worker.management.queues.types import (
    QueueCreatePayload,
    QueueDeletePayload,
    QueueFilter,
    QueueGetPayload,
    QueueItemsResponse,
    QueuePausePayload,
    QueuePurgePayload,
    QueuesGetListPayload,
    QueuesGetPListPayload,
    QueueUpdatePayload,
)
from worker.openiap.client import Client
from worker.testing.local_openiap import LocalOpenIAP


async def test_a_queue_is_made_seen_changed_and_deleted(
    openiap: LocalOpenIAP, client: Client
) -> None:
    queues = Queues(client)
    await queues.create_one(QueueCreatePayload(name="lost"))
    made = await queues.create_one(
        QueueCreatePayload(name="orders", max_retries=2, retry_delay=60, failed_queue="lost")
    )
    assert (made.max_retries, made.retry_delay, made.failed_queue) == (2, 60, "lost")
    assert made.advice == []
    changed = await queues.update_one(QueueUpdatePayload(name="orders", retry_delay=0))
    assert (changed.max_retries, changed.retry_delay, changed.failed_queue) == (2, 0, "lost")
    assert [one[:30] for one in changed.advice] == ["2 attempts and no delay: what i"[:30]]
    for n in range(3):
        await openiap.push("orders", {"n": n})
    shown = await queues.get_one(QueueGetPayload(name="orders"))
    assert shown.items is not None
    assert (shown.items.new, shown.due, shown.workers, shown.errors) == (3, 3, 0, [])
    assert shown.oldest_waiting is not None
    some = ItemFilter(payload=[{"field": "n", "op": ">", "value": 0}])  # type: ignore[list-item]
    gone: list[int] = []
    purged = await queues.purge_one(QueuePurgePayload(name="orders", filter=some), gone.append)
    assert (purged.deleted, sum(gone)) == (2, 2)
    assert (await queues.purge_one(QueuePurgePayload(name="orders"))).deleted == 1
    await queues.delete_one(QueueDeletePayload(name="orders"))
    with pytest.raises(QueueNotFoundError):
        await queues.get_one(QueueGetPayload(name="orders"))


async def test_queues_come_in_pages_and_by_what_is_asked(
    openiap: LocalOpenIAP, client: Client
) -> None:
    queues = Queues(client)
    for n in range(5):
        openiap.queue(f"q{n}")
    await queues.pause_one(QueuePausePayload(name="q3"))
    await openiap.push("q2", {})
    page = await queues.get_plist(QueuesGetPListPayload(limit=2, offset=2))
    assert (page.total, [one.name for one in page.items]) == (5, ["q2", "q3"])
    busiest = await queues.get_plist(
        QueuesGetPListPayload(limit=1, sort_by="new", sort_direction="desc")
    )
    assert [one.name for one in busiest.items] == ["q2"]
    assert await queues.get_counts() == {"q2": QueueItemsResponse(new=1)}
    paused = await queues.get_list(QueuesGetListPayload(filter=QueueFilter(paused=True)))
    assert [one.name for one in paused] == ["q3"]
    named = await queues.get_list(QueuesGetListPayload(filter=QueueFilter(name="Q4")))
    assert [one.name for one in named] == ["q4"]


async def test_what_cannot_be_is_refused_before_anything_is_done(
    openiap: LocalOpenIAP, client: Client
) -> None:
    queues = Queues(client)
    openiap.queue("orders")
    with pytest.raises(QueueExistsError, match="exists already"):
        await queues.create_one(QueueCreatePayload(name="orders"))
    with pytest.raises(ValidationError, match="needs a name"):
        await queues.create_one(QueueCreatePayload(name=" "))
    with pytest.raises(QueueNotFoundError):
        await queues.create_one(QueueCreatePayload(name="new", success_queue="nowhere"))
    with pytest.raises(PrincipalNotFoundError, match="no role or user nobody"):
        await queues.update_one(QueueUpdatePayload(name="orders", workers=["nobody"]))
    with pytest.raises(ValidationError, match="The filter is for queue other"):
        await queues.purge_one(QueuePurgePayload(name="orders", filter=ItemFilter(queue="other")))
    assert [one.name for one in await queues.get_list(QueuesGetListPayload())] == ["orders"]
