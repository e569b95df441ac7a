"""A client that reads and does not write answers writes as OpenIAP would."""

import inspect
from typing import Any, cast

import pytest

from worker.openiap.client import Client
from worker.openiap.errors import Unsupported
from worker.openiap.types import UpdateResult
from worker.openiap.workitem import Workitem
from worker.testing.readonly_client import _ANSWERS, READS, read_only_client

LINK = {"connect", "disconnect", "signin"}
REFUSED = {
    "add_workitem_queue",
    "custom_command",
    "delete_workitem_queue",
    "pop_workitem",
    "register_exchange",
    "register_queue",
    "rpc",
    "unregister_queue",
    "unwatch",
    "update_workitem_queue",
    "watch",
}


class Real:
    """Counts what reaches it; nothing but reads may."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def info(self, *args: object) -> None:
        self.called.append("info")

    async def count(self, collection: str, query: Any = None) -> int:
        self.called.append("count")
        return 3

    async def query(self, collection: str) -> list[dict[str, Any]]:
        self.called.append("query")
        return [{"a": 1}]

    async def aggregate(self, collection: str, aggregates: Any) -> list[dict[str, Any]]:
        self.called.append("aggregate")
        return []


def test_every_call_of_the_client_is_read_answered_or_refused() -> None:
    calls = {
        name
        for name, _ in inspect.getmembers(Client, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert calls == READS | set(_ANSWERS) | REFUSED | LINK


async def test_reads_go_through_and_writes_are_made_up() -> None:
    real = Real()
    client, held = read_only_client(cast(Client, real))
    client.info("line")
    assert await client.query("x") == [{"a": 1}]
    assert await client.aggregate("x", [{"$match": {}}]) == []
    stored = await client.insert_one("x", {"n": 1})
    assert (stored["n"], len(stored["_id"])) == (1, 24)
    assert (await client.insert_one("x", '{"_id": "mine"}'))["_id"] == "mine"
    assert [one["n"] for one in await client.insert_many("x", [{"n": 1}, {"n": 2}])] == [1, 2]
    assert await client.delete_many("x", {"n": 1}) == 3
    assert await client.delete_many("x", ids=["a", "b"]) == 2
    assert await client.update_document("x", {}, {"$set": {"n": 2}}) == UpdateResult(3, 3)
    pushed = await client.push_workitem("q", {"n": 1}, name="one")
    assert (pushed.wiq, pushed.payload, pushed.name, pushed.state) == ("q", {"n": 1}, "one", "new")
    item = Workitem(id="x")
    assert await client.update_workitem(item) is item
    assert await client.queue_message({"a": 1}, "somebody") is None
    assert real.called == ["info", "query", "aggregate", "count", "count"]
    assert [call.operation for call in held] == [
        "insert_one",
        "insert_one",
        "insert_many",
        "delete_many",
        "delete_many",
        "update_document",
        "push_workitem",
        "update_workitem",
        "queue_message",
    ]
    assert str(held[0]) == "insert_one(collectionname='x', item={'n': 1})"


async def test_what_has_no_answer_is_refused_by_name() -> None:
    client, held = read_only_client(cast(Client, Real()))
    for call in (
        client.rpc({}, "somebody"),
        client.custom_command("x"),
        client.pop_workitem("q"),
        client.aggregate("x", [{"$out": "y"}]),
    ):
        with pytest.raises(Unsupported, match="not sent: this is a replay"):
            await call
    assert held == []
    with pytest.raises(AttributeError, match="Client has no nothing"):
        client.nothing  # type: ignore[attr-defined]  # noqa: B018
