"""Items are cancelled by operators: with their rights, from Python and over HTTP."""

import asyncio
from typing import Any

import pytest

from tests.integration.management.api.stage import api_on
from worker import Item, handler, sync
from worker.management.errors import ConflictError, NotFoundError
from worker.management.items.cancelling import ItemCancelPayload
from worker.management.items.service import Items
from worker.management.items.store import ItemStore
from worker.management.items.timeline import TimelineEntry
from worker.management.items.types import ItemGetHistoryPayload, ItemRetryPayload
from worker.management.sync import Items as BlockingItems
from worker.openiap.client import Client
from worker.openiap.errors import Disconnected
from worker.testing.local_openiap import LocalOpenIAP

WHY = "the order is gone"


async def told(client: Client, id: str) -> list[TimelineEntry]:
    history = await Items(client).get_history(ItemGetHistoryPayload(id=id))
    return history.entries


async def test_one_that_waits_fails_and_it_is_told_who_did_it_and_why(
    openiap: LocalOpenIAP, client: Client, ordinary: Client
) -> None:
    id = await openiap.push("orders", {"n": 1})
    asked = ItemCancelPayload(id=id, reason=WHY)
    with pytest.raises(NotFoundError, match=f"There is no item {id}, or this user has no rights"):
        await Items(ordinary).cancel_one(asked)
    assert openiap.item(id).state == "new"
    assert (await Items(client).cancel_one(asked)).result == "cancelled"
    found = openiap.item(id).document
    assert (found["state"], found["errormessage"]) == ("failed", f"[CANCELLED] {WHY}")
    assert found["payload"] == {"n": 1}
    _, cancelled = await told(client, id)
    noted = client.capabilities.conditional_updates
    by = openiap.environment["OPENIAP_USERNAME"] if noted else None
    assert (cancelled.what, cancelled.by, cancelled.why) == ("cancelled", by, WHY)
    with pytest.raises(ConflictError, match=f"Item {id} is failed: nothing is left to cancel."):
        await Items(client).cancel_one(asked)
    await Items(client).retry_one(ItemRetryPayload(id=id))
    assert await client.pop_workitem("orders") is not None


async def test_it_is_cancelled_where_the_link_is_gone_before_the_note(
    openiap: LocalOpenIAP, client: Client, monkeypatch
) -> None:
    async def away(*_: object) -> None:
        raise Disconnected("away", operation="update_document")

    monkeypatch.setattr(ItemStore, "update_if", away)
    id = await openiap.push("orders", {})
    asked = ItemCancelPayload(id=id, reason=WHY)
    assert (await Items(client).cancel_one(asked)).result == "cancelled"
    assert [(one.what, one.why) for one in await told(client, id)] == [
        ("pushed", None),
        ("cancelled", WHY),
    ]


async def test_one_that_runs_is_ended_by_its_worker(openiap: LocalOpenIAP, client: Client) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    @handler("orders")
    async def work(payload: dict[str, Any], item: Item) -> None:
        began.set()
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    daemon = await openiap.start_worker(work, heartbeat_interval=0.2)
    try:
        id = await openiap.push("orders", {})
        async with asyncio.timeout(60):
            await began.wait()
            asked = ItemCancelPayload(id=id, reason=WHY)
            assert (await Items(client).cancel_one(asked)).result == "stopping"
            await ended.wait()
            await openiap.ended(id)
    finally:
        await daemon.stop()
    found = openiap.item(id).document
    assert found["state"] == "failed"
    assert found["errormessage"].startswith(f"[CANCELLED] {WHY}")
    noted = ["cancelled"] if client.capabilities.conditional_updates else []
    assert [one.what for one in await told(client, id)] == ["pushed", *noted, "failed"]


async def test_one_that_others_cancelled_says_so_itself(
    openiap: LocalOpenIAP, client: Client
) -> None:
    id = await openiap.push("orders", {})

    def cancel() -> None:
        with sync.connect(openiap.settings()) as connected:
            connected.pushed(id).cancel(WHY)

    await asyncio.to_thread(cancel)
    assert [(one.what, one.why) for one in await told(client, id)] == [
        ("pushed", None),
        ("cancelled", WHY),
    ]


async def test_one_is_cancelled_by_blocking_code_and_over_http(openiap: LocalOpenIAP) -> None:
    first, second = [await openiap.push("orders", {}) for _ in range(2)]

    def cancel() -> None:
        with sync.connect(openiap.settings()) as connected:
            BlockingItems(connected).cancel_one(ItemCancelPayload(id=first))

    await asyncio.to_thread(cancel)
    assert openiap.item(first).state == "failed"
    async with api_on(openiap) as stage, stage.signed_in(stage.boss) as http:
        answer = await http.post(f"/items/{second}/cancel", json={"reason": WHY})
        assert (answer.status_code, answer.json()) == (200, {"result": "cancelled"})
        again = await http.post(f"/items/{second}/cancel")
        assert again.status_code == 409
        assert "nothing is left to cancel" in again.text
