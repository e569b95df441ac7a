"""Every documented call with every documented parameter by its name, over both clients and both
transports; none is left out without a word."""

import asyncio
import inspect
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.openiap.conftest import PASSWORD, USER, Door
from worker.openiap.client import Client
from worker.openiap.errors import QueueNotFound, ServerError, Unsupported
from worker.openiap.types import QueueEvent
from worker.openiap.workitem import WorkItemQueue

SECONDS: Final = 60
OWN: Final = {"connect", "probe", "divert_lines", "export_line", "update_document", "timed"}
"""What is this project's own, or is called by every test."""
OTHER_SPELLINGS: Final = {"queue_name", "exchange_name", "bytes", "timeout"}
NATIVE: Final = (
    "push_workitems",
    "add_workitem_queue",
    "update_workitem_queue",
    "delete_workitem_queue",
)
"""Calls that the official library does not have."""


class Documented:
    """Passes calls on, and knows which parameters each was given."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.given: dict[str, set[str]] = defaultdict(set)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*lines: Any, **given: Any) -> Any:
            self.given[name] |= given.keys()
            return method(*lines, **given)

        return call

    def left_out(self, kind: str) -> dict[str, set[str]]:
        """Return what nobody gave, by call."""
        found = {}
        for name, method in inspect.getmembers(Client, inspect.isfunction):
            if name.startswith("_") or name in OWN or (kind == "official" and name in NATIVE):
                continue
            wanted = {
                one.name
                for one in inspect.signature(method).parameters.values()
                if one.name != "self" and one.kind is not one.VAR_POSITIONAL
            }
            missing = wanted - OTHER_SPELLINGS - self.given[name]
            if missing or name not in self.given:
                found[name] = missing
        return found


async def test_every_documented_call_takes_every_documented_parameter(
    door: Door, tmp_path: Path
) -> None:
    said = Documented(door.client)
    user = await the_session(said, door)
    await the_documents(said, user, official=door.kind == "official")
    await the_files(said, tmp_path)
    await the_items(said, door, tmp_path)
    await the_messages(said)
    if door.kind == "native":
        await the_queues(said)
    else:
        new = WorkItemQueue(name="new")
        for refused in (
            door.client.add_workitem_queue(new),
            door.client.update_workitem_queue(new),
            door.client.delete_workitem_queue("new"),
        ):
            with pytest.raises(Unsupported):
                await refused
    assert said.left_out(door.kind) == {}


async def the_session(said: Documented, door: Door) -> str:
    token, user = await said.signin(
        username=USER,
        password=PASSWORD,
        agent="python",
        version="1.0.0",
        longtoken=True,
        validateonly=False,
        ping=False,
    )
    assert token
    assert user is not None
    again, _ = await said.signin(jwt=token, validateonly=True)
    assert again
    eventid = said.on_client_event(callback=lambda event: None)
    said.off_client_event(eventid=eventid)
    said.enable_tracing(rust_log="openiap=error", tracing="")
    for level in ("info", "warn", "error", "verbose", "debug", "trace"):
        getattr(said, level)("a line", {"n": 1})
    said.disable_tracing()
    assert len(said.uniqeid()) == 32
    assert said.format_bytes(bytes_value=1536, decimals=1) == "1.5 KB"
    assert said.stringify(value={"n": 1}) == '{"n":1}'
    said.set_f64_observable_gauge(name="every_f64", value=1.5, description="half of three")
    said.set_u64_observable_gauge(name="every_u64", value=1, description="one")
    said.set_i64_observable_gauge(name="every_i64", value=-1, description="less")
    said.disable_observable_gauge(name="every_f64")
    return str(user.id)


async def the_documents(said: Documented, user: str, *, official: bool) -> None:
    await said.create_collection(
        collectionname="made",
        collation={"locale": "en", "strength": 2},
        expire_after_seconds=3600,
        change_stream_pre_and_post_images=False,
    )
    for odd in (
        {"capped": True, "max": 10, "size": 4096},
        {"timeseries": {"timeField": "at", "granularity": "seconds"}},
    ):
        # OpenIAP makes them; the local server has none, and says so.
        with pytest.raises(ServerError, match="does not support createcollection"):
            await said.create_collection(collectionname="odd", **odd)
    names = {one["name"] for one in await said.list_collections(includehist=False)}
    assert "made" in names
    made = await said.create_index(
        collectionname="made", index={"n": 1}, options={"unique": False}, name="by_n"
    )
    assert made == "by_n"
    assert {one["name"] for one in await said.get_indexes(collectionname="made")} >= {"by_n"}
    await said.drop_index(collectionname="made", indexname="by_n", name="")
    one = await said.insert_one(collectionname="made", item={"n": 1, "kind": "a"}, w=1, j=True)
    some = await said.insert_many(
        collectionname="made", items=[{"n": 2}, {"n": 3}], w=1, j=True, skipresults=False
    )
    assert [found["n"] for found in some] == [2, 3]
    again = await said.update_one(collectionname="made", item={**one, "n": 4}, w=1, j=True)
    assert again["n"] == 4
    found = await said.insert_or_update_one(
        collectionname="made", uniqeness="kind", item={"kind": "a", "n": 5}, w=1, j=True
    )
    assert (found["_id"], found["n"]) == (one["_id"], 5)
    upserted = await said.insert_or_update_many(
        collectionname="made",
        items=[{"kind": "a", "n": 6}, {"kind": "b", "n": 7}],
        uniqeness="kind",
        skipresults=False,
        w=1,
        j=True,
    )
    assert [found["n"] for found in upserted] == [6, 7]
    rows = await said.query(
        collectionname="made",
        query={"n": {"$gt": 1}},
        projection={"n": 1},
        orderby={"n": -1},
        queryas=user,
        explain=False,
        skip=1,
        top=2,
    )
    assert [row["n"] for row in rows] == [6, 3]
    summed = await said.aggregate(
        collectionname="made",
        aggregates=[{"$match": {"kind": "a"}}, {"$count": "n"}],
        queryas=user,
        hint="",
        explain=False,
    )
    assert summed[0]["n"] == 1
    assert await said.count(collectionname="made", query={}, queryas=user, explain=False) == 4
    kinds = await said.distinct(
        collectionname="made", field="kind", query={}, queryas=user, explain=False
    )
    assert sorted(kinds) == ["a", "b"]
    assert await said.delete_one(collectionname="made", id=one["_id"], recursive=False) == 1
    ids = [row["_id"] for row in some]
    gone = await said.delete_many(collectionname="made", query=None, ids=ids, recursive=False)
    assert gone == 2
    assert await said.delete_many(collectionname="made", query={"kind": "b"}) == 1
    await said.drop_collection(collectionname="made")
    assert not await said.custom_command(command="nobody-knows-it", id="1", name="n", data={"a": 1})


async def the_files(said: Documented, folder: Path) -> None:
    source = folder / "source.txt"
    source.write_text("text")
    id = await said.upload(
        filepath=str(source),
        filename="a.txt",
        mimetype="text/plain",
        metadata={"by": "Ada"},
        collectionname="fs.files",
    )
    path = await said.download(
        id=id, folder=str(folder), filename="b.txt", collectionname="fs.files"
    )
    assert (path.name, path.read_text()) == ("b.txt", "text")


async def the_items(said: Documented, door: Door, folder: Path) -> None:
    queue = await door.queue("q")
    for name in ("good", "bad"):
        await door.queue(name)
    by_name = {one["name"]: one["_id"] for one in await door.client.query("mq")}
    (folder / "item.txt").write_text("of the item")
    pushed = await said.push_workitem(
        wiq="q",
        wiqid=queue["_id"],
        name="a name",
        payload={"n": 1},
        nextrun=0,
        priority=1,
        files=[str(folder / "item.txt")],
        success_wiqid=by_name["good"],
        failed_wiqid=by_name["bad"],
        success_wiq="good",
        failed_wiq="bad",
    )
    popped = await said.pop_workitem(
        wiq="q", wiqid=queue["_id"], downloadfolder=str(folder / "popped")
    )
    assert (popped["_id"], popped["priority"], popped["name"]) == (pushed.id, 1, "a name")
    (folder / "receipt.txt").write_text("receipt")
    done = await said.update_workitem(
        workitem={"_id": pushed.id, "state": "successful"},
        files=[str(folder / "receipt.txt")],
        ignoremaxretries=False,
    )
    assert sorted(file.filename for file in done.files) == ["item.txt", "receipt.txt"]
    (copy,) = await door.client.query("workitems", {"wiq": "good"})
    assert copy["payload"]["n"] == 1
    await said.delete_workitem(id=pushed.id)
    assert await door.client.count("workitems", {"_id": pushed.id}) == 0


async def the_messages(said: Documented) -> None:
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()

    async def heard() -> QueueEvent:
        async with asyncio.timeout(SECONDS):
            return await got.get()

    await said.register_queue(queuename="letters", callback=got.put_nowait)
    await said.queue_message(
        data={"n": 1},
        queuename="letters",
        exchangename="",
        routingkey="",
        replyto="",
        correlation_id="c1",
        striptoken=True,
        expiration=60_000,
    )
    event = await heard()
    assert (event["data"]["n"], event["correlation_id"]) == (1, "c1")
    await said.register_exchange(
        exchangename="news",
        algorithm="topic",
        routingkey="a.*",
        addqueue=True,
        callback=got.put_nowait,
    )
    await said.queue_message(data={"n": 2}, exchangename="news", routingkey="a.b")
    assert (await heard())["data"]["n"] == 2
    await said.unregister_queue(queuename="letters")
    await said.register_queue(queuename="service", callback=lambda event: {"got": event["data"]})
    asked = {"data": {"n": 3}, "queuename": "service", "exchangename": "", "routingkey": ""}
    assert await said.rpc(**asked, striptoken=True, timeout=SECONDS) == {"got": {"n": 3}}
    changes: asyncio.Queue[Any] = asyncio.Queue()
    watchid = await said.watch(
        collectionname="watched", paths=["$[?(@.n == 1)]"], callback=changes.put_nowait
    )
    await said.insert_one(collectionname="watched", item={"n": 1})
    async with asyncio.timeout(SECONDS):
        assert (await changes.get())["document"]["n"] == 1
    await said.unwatch(watchid=watchid)


async def the_queues(said: Documented) -> None:
    queue = await said.add_workitem_queue(
        queue=WorkItemQueue(name="new", maxretries=2), skiprole=True
    )
    changed = await said.update_workitem_queue(
        queue=WorkItemQueue(id=queue.id, name="new", maxretries=5), skiprole=True, purge=False
    )
    assert changed.maxretries == 5
    pushed = await said.push_workitems(
        wiq="new", items=[], wiqid=queue.id, nextrun=None, priority=2
    )
    assert pushed == []
    await said.delete_workitem_queue(wiq="new", wiqid=queue.id, purge=True)
    with pytest.raises(QueueNotFound):
        await said.pop_workitem(wiq="new")
