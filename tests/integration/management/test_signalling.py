"""An item is told something by operators: with their rights, from Python and over HTTP."""

import asyncio
import json

import pytest

from tests.integration.management.api.stage import api_on
from worker import sync
from worker.item.signals import COLLECTION
from worker.management.errors import ConflictError, NotFoundError, ValidationError
from worker.management.items.service import Items
from worker.management.items.signalling import ItemSignalPayload
from worker.management.sync import Items as BlockingItems
from worker.openiap.client import Client
from worker.testing.local_openiap import LocalOpenIAP


async def test_an_item_is_told_something(
    openiap: LocalOpenIAP, client: Client, ordinary: Client
) -> None:
    id = await openiap.push("orders", {})
    asked = ItemSignalPayload(id=id, name="approval", value={"by": "Ada"}, key="1")
    sent = await Items(client).signal_one(asked)
    assert (await Items(client).signal_one(asked)).signal == sent.signal
    (document,) = await client.query(COLLECTION, {"item": id})
    assert (document["name"], json.loads(document["json"])) == ("approval", {"by": "Ada"})
    assert document["_acl"] == openiap.item(id).document["_acl"]
    with pytest.raises(NotFoundError, match=f"There is no item {id}, or this user has no rights"):
        await Items(ordinary).signal_one(asked)
    assert await ordinary.query(COLLECTION, {"item": id}) == []
    with pytest.raises(ValidationError, match="is no name of a signal"):
        await Items(client).signal_one(asked.model_copy(update={"name": " "}))
    popped = await client.pop_workitem("orders")
    assert popped is not None
    popped.state = "successful"
    await client.update_workitem(popped)
    with pytest.raises(ConflictError, match=f"Item {id} is successful: nobody would hear"):
        await Items(client).signal_one(asked)


async def test_an_item_is_told_something_by_blocking_code(openiap: LocalOpenIAP) -> None:
    id = await openiap.push("orders", {})

    def tell() -> None:
        with sync.connect(openiap.settings()) as connected:
            connected.signal(id, "approval", {"by": "Ada"})
            connected.pushed(id).signal("scan", 1)
            asked = ItemSignalPayload(id=id, name="paid", value=7)
            BlockingItems(connected).signal_one(asked)

    await asyncio.to_thread(tell)
    found = await openiap.client.query(COLLECTION, {"item": id})
    assert sorted(one["name"] for one in found) == ["approval", "paid", "scan"]


async def test_an_item_is_told_something_over_http(openiap: LocalOpenIAP) -> None:
    id = await openiap.push("orders", {})
    async with api_on(openiap) as stage, stage.signed_in(stage.boss) as http:
        told = {"name": "approval", "value": {"by": "Ada"}}
        sent = await http.post(f"/items/{id}/signals", json=told)
        assert sent.status_code == 201
        assert sent.json()["signal"].startswith("signal-")
        gone = await http.post("/items/65f2c1d4a0b1c2d3e4f50617/signals", json=told)
        assert gone.status_code == 404
        wrong = await http.post(f"/items/{id}/signals", json={"name": ""})
        assert wrong.status_code == 422
