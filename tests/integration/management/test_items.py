"""Items found and grouped, against a server, with both clients."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.management.failures import four_failures
from worker.management.errors import (
    NotFoundError,
)
from worker.management.items.service import Items
from worker.management.items.types import (
    ItemFilter,
    ItemsGetCountPayload,
    ItemsGetGroupsPayload,
    ItemsGetListPayload,
    ItemsGetPListPayload,
    PayloadCondition,
)
from worker.openiap.client import Client
from worker.testing.local_openiap import LocalOpenIAP


async def test_each_part_of_a_filter_finds_what_it_says(
    openiap: LocalOpenIAP, client: Client
) -> None:
    made = await four_failures(openiap)
    waiting = await openiap.push("orders", {"n": 99, "customer": "c9", "deep": {"x": [1]}})
    items = Items(client)

    async def found(**parts: Any) -> set[str]:
        asked = ItemsGetListPayload(filter=ItemFilter(queue="orders", **parts), limit=100)
        listed = await items.get_list(asked)
        assert await items.get_count(ItemsGetCountPayload(filter=asked.filter)) == len(listed)
        return {item.id for item in listed}

    def where(field: str, op: Any, value: Any) -> list[PayloadCondition]:
        return [PayloadCondition(field=field, op=op, value=value)]

    every = {id for ids in made.values() for id in ids}
    assert await found() == every | {waiting}
    assert await found(states=["failed"]) == every
    assert await found(states=["new", "processing"]) == {waiting}
    assert await found(error="ORDER 4711") == set(made["gone"])
    assert await found(error_pattern=r"host \d+") == set(made["away"])
    assert await found(error_kind="business") == set(made["shut"])
    assert await found(error_code="GONE") == set(made["gone"])
    assert await found(error_class="KeyError") == set(made["other"])
    assert await found(error_class="Gone") == every - set(made["other"])
    assert await found(worker="w2") == set(made["other"])
    assert await found(min_attempts=3) == every
    assert await found(max_attempts=0) == {waiting}
    assert await found(payload=where("payload.customer", "=", "c9")) == {waiting}
    assert len(await found(payload=where("amount", ">", 5))) == 1
    assert len(await found(payload=where("n", "in", [0, 11]))) == 5
    assert await found(payload=where("deep.x", "=", 1)) == {waiting}
    now = datetime.now(UTC)
    assert await found(since=now - timedelta(hours=1)) == every | {waiting}
    assert await found(until=now - timedelta(hours=1)) == set()
    assert await found(group="0" * 12) == set()


async def test_pages_have_an_order_and_a_total(openiap: LocalOpenIAP, client: Client) -> None:
    await four_failures(openiap)
    items = Items(client)
    seen: list[str] = []
    for offset in range(0, 22, 5):
        page = await items.get_plist(
            ItemsGetPListPayload(
                filter=ItemFilter(queue="orders"),
                sort_by="errormessage",
                sort_direction="asc",
                limit=5,
                offset=offset,
            )
        )
        assert (page.total, page.limit, page.offset) == (22, 5, offset)
        seen += [item.id for item in page.items]
    assert len(set(seen)) == 22
    with pytest.raises(NotFoundError, match="There is no queue Orders"):
        await items.get_plist(ItemsGetPListPayload(filter=ItemFilter(queue="Orders")))


async def test_failures_are_grouped_and_a_group_is_a_filter(
    openiap: LocalOpenIAP, client: Client
) -> None:
    made = await four_failures(openiap)
    items = Items(client)
    groups = await items.get_groups(ItemsGetGroupsPayload(filter=ItemFilter(queue="orders")))
    assert [(group.code, group.message, group.count) for group in groups][:2] == [
        ("GONE", "order <number> is gone", 12),
        (None, "Timeout: host <address> is away", 5),
    ]
    assert [group.count for group in groups] == [12, 5, 3, 2]
    group = ItemFilter(queue="orders", group=groups[1].id)
    assert {one.id for one in await items.get_list(ItemsGetListPayload(filter=group))} == set(
        made["away"]
    )
    page = await items.get_plist(ItemsGetPListPayload(filter=group, limit=2, offset=4))
    assert (page.total, len(page.items)) == (5, 1)
