"""What is asked about the items of queues can be answered from indexes that OpenIAP has itself."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from worker.engine.maintenance.queue_load import load_of
from worker.management.items.filters import query_of
from worker.management.items.types import ItemFilter
from worker.management.queues.store import STATES, QueueStore
from worker.openiap.client import Client
from worker.openiap.workitem import JsonObject

NOW: Final = datetime(2026, 11, 29, 10, tzinfo=UTC)
OWN: Final[tuple[tuple[str, ...], ...]] = (
    ("_type", "wiq"),
    ("_type", "wiqid"),
    ("_type", "state", "wiqid", "priority"),
    ("_type", "state", "wiq", "lastrun"),
    ("_type", "_created"),
    ("_type", "state", "_created"),
)
"""The indexes that OpenIAP makes of ``workitems`` (openflow, source)."""


class Noting:
    """Notes what is asked, and has one item of everything."""

    def __init__(self) -> None:
        self.asked: list[JsonObject] = []

    async def count(self, collection: str, query: JsonObject, **_: Any) -> int:
        self.asked.append(query)
        return 1

    async def query(self, collection: str, query: JsonObject, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(query)
        return []

    async def aggregate(self, collection: str, stages: list[JsonObject]) -> list[JsonObject]:
        self.asked.append(stages[0]["$match"])
        return []


def narrowed(query: JsonObject) -> int:
    """Return by how many fields, at best, an index of OpenIAP's narrows down what is read."""
    return max(
        next((n for n, name in enumerate(index) if name not in query), len(index)) for index in OWN
    )


async def test_numbers_of_queues_are_told_from_indexes_that_openiap_has() -> None:
    noting = Noting()
    client = cast(Client, noting)
    store = QueueStore(client)
    await store.count("orders")
    await store.ended_within("orders", NOW, timedelta(minutes=1))
    await load_of(client, "orders", now=NOW)
    assert len(noting.asked) == len(STATES) + 1 + 4
    assert {narrowed(query) for query in noting.asked} == {3}


async def test_all_queues_at_once_are_told_from_indexes_that_openiap_has() -> None:
    noting = Noting()
    store = QueueStore(cast(Client, noting))
    await store.tally()
    await store.waiting(NOW)
    assert [narrowed(query) for query in noting.asked] == [1, 2]


def test_lists_of_items_are_found_in_indexes_that_openiap_has() -> None:
    for filter, least in (
        (ItemFilter(), 1),
        (ItemFilter(queue="orders"), 2),
        (ItemFilter(states=["failed"]), 2),
        (ItemFilter(queue="orders", states=["failed"]), 3),
    ):
        assert narrowed(query_of(filter)) >= least
