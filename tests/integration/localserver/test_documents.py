"""Documents over the protocol: every command, MongoDB's meaning, OpenIAP's limits."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.localserver.conftest import DEADLINE
from worker.localserver import Faults
from worker.openiap.wire import openiap_pb2 as pb


async def insert_many(client: Any, collection: str, documents: list[dict[str, Any]]) -> Any:
    reply = await client.ask(
        "insertmany", pb.InsertManyRequest(collectionname=collection, items=json.dumps(documents))
    )
    return json.loads(reply.results)


async def test_a_replacement_that_changes_nothing_or_lastseen_alone_is_answered_and_dropped(
    client: Any,
) -> None:
    """As OpenIAP does where it keeps a history of the collection."""
    stored = await client.insert("things", {"_id": "t", "n": 1, "lastseen": {"at": 1}})
    for same in ({"_id": "t", "n": 1}, {"_id": "t", "n": 1, "lastseen": {"at": 2}}):
        await client.replace("things", same)
        (found,) = await client.query("things", {"_id": "t"})
        assert (found["lastseen"], found["_version"]) == ({"at": 1}, 0)
        assert found["_modified"] == stored["_modified"]
    await client.replace("things", {"_id": "t", "n": 2, "lastseen": {"at": 3}})
    (found,) = await client.query("things", {"_id": "t"})
    assert (found["lastseen"], found["_version"]) == ({"at": 3}, 1)


async def test_inserted_documents_are_found_projected_ordered_and_paged(client: Any) -> None:
    await insert_many(
        client,
        "things",
        [{"_id": str(n), "n": n, "kind": "even" if n % 2 == 0 else "odd"} for n in range(10)],
    )
    found = await client.query(
        "things",
        {"n": {"$gt": 2}, "kind": "odd"},
        projection={"n": 1},
        orderby={"n": -1},
        top=2,
        skip=1,
    )
    assert found == [{"_id": "7", "n": 7}, {"_id": "5", "n": 5}]
    assert await client.query("things", {"_id": "3"}, projection={"n": 1, "_id": 0}) == [{"n": 3}]
    without = await client.query("things", {"_id": "3"}, projection={"_acl": 0, "kind": 0})
    assert "kind" not in without[0]
    assert without[0]["n"] == 3
    by_name = await client.query("things", {}, orderby="kind", top=1)
    assert by_name[0]["kind"] == "even"
    either = await client.query("things", {"$or": [{"n": 1}, {"_id": {"$in": ["2"]}}]})
    assert [one["n"] for one in either] == [1, 2]
    assert await client.query("never heard of", {}) == []


async def test_ids_between_bounds_come_in_their_order(client: Any) -> None:
    await insert_many(
        client, "things", [{"_id": f"a#{n}", "n": n} for n in (3, 1, 2)] + [{"_id": "b#9", "n": 9}]
    )
    bounds = {"_id": {"$gte": "a#", "$lt": "a#~"}}
    newest = await client.query("things", bounds, orderby={"_id": -1}, top=1)
    assert [one["n"] for one in newest] == [3]
    rising = await client.query("things", {**bounds, "n": {"$ne": 2}}, orderby={"_id": 1})
    assert [one["n"] for one in rising] == [1, 3]
    other = await client.query("things", {"_id": {"$gt": "a#1"}}, orderby={"n": -1}, skip=1)
    assert [one["n"] for one in other] == [3, 2]
    assert await client.query("things", {"_id": {"$gt": "b#9"}}, orderby={"_id": -1}) == []


async def test_a_query_without_top_gives_500(client: Any) -> None:
    await insert_many(client, "many", [{"n": n} for n in range(510)])
    assert len(await client.query("many", {})) == 500
    assert len(await client.query("many", {}, top=505)) == 505


async def test_a_document_carries_who_and_when_and_a_taken_id_is_refused(client: Any) -> None:
    stored = await client.insert("c", {"_id": "one", "x": 1.0})
    assert stored["x"] == 1
    assert stored["_createdby"] == "tester"
    assert stored["_version"] == 0
    with pytest.raises(Exception, match=r"^E11000 duplicate key error"):
        await client.insert("c", {"_id": "one"})
    made_up = await client.insert("c", {})
    assert len(made_up["_id"]) == 24


async def test_update_one_replaces_the_whole_document(client: Any) -> None:
    await client.insert("c", {"_id": "one", "x": 1, "y": 2})
    reply = await client.ask(
        "updateone", pb.UpdateOneRequest(collectionname="c", item='{"_id": "one", "x": 5}')
    )
    stored = json.loads(reply.result)
    assert stored["x"] == 5
    assert "y" not in stored
    assert stored["_version"] == 1
    with pytest.raises(Exception, match=r"^item two not found in c or Access Denied$"):
        await client.ask(
            "updateone", pb.UpdateOneRequest(collectionname="c", item='{"_id": "two"}')
        )
    with pytest.raises(Exception, match=r"^Cannot update item without _id$"):
        await client.ask("updateone", pb.UpdateOneRequest(collectionname="c", item="{}"))


async def test_updatedocument_changes_what_matches_and_says_how_many(client: Any) -> None:
    await insert_many(client, "c", [{"_id": str(n), "n": n, "tags": []} for n in range(4)])

    async def change(query: object, document: object) -> int:
        reply = await client.ask(
            "updatedocument",
            pb.UpdateDocumentRequest(
                collectionname="c", query=json.dumps(query), document=json.dumps(document)
            ),
        )
        assert reply.opresult.acknowledged
        return int(reply.opresult.matchedCount)

    assert await change({"n": {"$gte": 2}}, {"$set": {"big": True}}) == 2
    assert await change({"_id": "3", "big": True}, {"$inc": {"n": 10}, "$push": {"tags": "x"}}) == 1
    assert await change({"_id": "3"}, {"$unset": {"big": ""}, "$set": {"deep.er": 1}}) == 1
    assert await change({"_id": "none"}, {"$set": {"x": 1}}) == 0
    (three,) = await client.query("c", {"_id": "3"})
    assert (three["n"], three["tags"], three["deep"]) == (13, ["x"], {"er": 1})
    assert "big" not in three
    with pytest.raises(Exception, match=r"requires atomic operators"):
        await change({}, {"x": 1})
    with pytest.raises(Exception, match=r"takes a JSON object"):
        await change({}, {"$set": 5})
    with pytest.raises(Exception, match=r"_id"):
        await change({"_id": "1"}, {"$set": {"_id": "other"}})


@pytest.mark.parametrize("field", ["payload.n", "\\u0070ayload.n"])
async def test_a_condition_on_a_payload_holds_however_it_is_written(
    client: Any, field: str
) -> None:
    await client.queue("q")
    item = await client.push("q", {"n": 1})
    for n, matches in ((2, 0), (1, 1)):
        reply = await client.ask(
            "updatedocument",
            pb.UpdateDocumentRequest(
                collectionname="workitems",
                query=f'{{"_id": "{item._id}", "{field}": {n}}}',
                document='{"$set": {"name": "found"}}',
            ),
        )
        assert reply.opresult.matchedCount == matches


async def test_insert_or_update_goes_by_the_unique_fields(client: Any) -> None:
    async def store(item: object, unique: str = "") -> dict[str, Any]:
        reply = await client.ask(
            "insertorupdateone",
            pb.InsertOrUpdateOneRequest(
                collectionname="c", uniqeness=unique, item=json.dumps(item)
            ),
        )
        return dict(json.loads(reply.result))

    first = await store({"key": "a", "group": 1, "x": 1}, "key,group")
    second = await store({"key": "a", "group": 1, "x": 2}, "key,group")
    other = await store({"key": "a", "group": 2, "x": 3}, "key,group")
    assert first["_id"] == second["_id"] != other["_id"]
    assert (await store({"_id": first["_id"], "x": 9}))["x"] == 9
    await store({"key": "b"})
    await store({"key": "b"})
    with pytest.raises(Exception, match=r"is not uniqe"):
        await store({"key": "b"}, "key")

    reply = await client.ask(
        "insertorupdatemany",
        pb.InsertOrUpdateManyRequest(
            collectionname="d",
            uniqeness="key",
            items=json.dumps([{"key": 1, "x": 1}, {"key": 1, "x": 2}, {"key": 2}]),
        ),
    )
    assert [one.get("x") for one in json.loads(reply.results)] == [1, 2, None]
    assert len(await client.query("d", {})) == 2
    reply = await client.ask(
        "insertmany",
        pb.InsertManyRequest(collectionname="d", items='[{"key": 3}]', skipresults=True),
    )
    assert reply.results == "[]"


async def test_insert_many_is_all_or_none(client: Any) -> None:
    with pytest.raises(Exception, match=r"E11000"):
        await insert_many(client, "c", [{"_id": "a"}, {"_id": "b"}, {"_id": "a"}])
    assert await client.query("c", {}) == []


async def test_documents_are_deleted_by_id_ids_and_query(client: Any) -> None:
    await insert_many(client, "c", [{"_id": str(n), "n": n} for n in range(6)])

    async def one(document_id: str) -> int:
        reply = await client.ask(
            "deleteone", pb.DeleteOneRequest(collectionname="c", id=document_id)
        )
        return int(reply.affectedrows)

    async def many(query: str = "", ids: list[str] | None = None) -> int:
        reply = await client.ask(
            "deletemany", pb.DeleteManyRequest(collectionname="c", query=query, ids=ids or [])
        )
        return int(reply.affectedrows)

    assert await one("0") == 1
    assert await one("0") == 1, "OpenIAP never says that there was none"
    assert await many(ids=["1", "2", "17"]) == 2
    assert await many('{"n": {"$gt": 4}}') == 1
    assert [one["n"] for one in await client.query("c", {})] == [3, 4]
    with pytest.raises(Exception, match=r"query or ids is mandatory"):
        await many()


async def test_counting_distinct_values_and_aggregating(client: Any) -> None:
    await insert_many(client, "c", [{"n": n, "kind": f"k{n % 3}"} for n in range(9)])

    async def count(query: object) -> int:
        reply = await client.ask(
            "count", pb.CountRequest(collectionname="c", query=json.dumps(query))
        )
        return int(reply.result)

    for command, request in (
        ("count", pb.CountRequest(collectionname="c")),
        ("query", pb.QueryRequest(collectionname="c")),
    ):
        with pytest.raises(Exception, match=r"^Query is mandatory$"):
            await client.ask(command, request)
    with pytest.raises(Exception, match=r"^Unexpected end of JSON input$"):
        await client.ask("distinct", pb.DistinctRequest(collectionname="c", field="kind"))
    assert await count({}) == 9
    assert await count({"kind": "k1"}) == 3
    reply = await client.ask(
        "distinct", pb.DistinctRequest(collectionname="c", field="kind", query="{}")
    )
    assert sorted(reply.results) == ["k0", "k1", "k2"]
    pipeline = [
        {"$match": {"n": {"$gte": 3}}},
        {"$group": {"_id": "$kind", "sum": {"$sum": "$n"}}},
        {"$sort": {"_id": 1}},
    ]
    reply = await client.ask(
        "aggregate", pb.AggregateRequest(collectionname="c", aggregates=json.dumps(pipeline))
    )
    assert json.loads(reply.results) == [
        {"_id": "k0", "sum": 9},
        {"_id": "k1", "sum": 11},
        {"_id": "k2", "sum": 13},
    ]
    with pytest.raises(Exception, match=r"\$nonsense"):
        await client.ask(
            "aggregate",
            pb.AggregateRequest(collectionname="c", aggregates='[{"$nonsense": 1}]'),
        )


async def test_dates_compare_as_dates(client: Any) -> None:
    await client.insert("c", {"_id": "early", "at": "2026-11-20T09:00:00.000Z"})
    await client.insert("c", {"_id": "late", "at": "2026-11-20T10:30:00.000+01:00"})
    found = await client.query("c", {"at": {"$gt": "2026-11-20T09:15:00.000Z"}})
    assert [one["_id"] for one in found] == ["late"]
    assert found[0]["at"] == "2026-11-20T10:30:00.000+01:00"
    newest = await client.query("c", {}, orderby={"at": -1}, top=1)
    assert newest[0]["_id"] == "late"


async def test_items_are_documents_too(client: Any) -> None:
    queue = await client.queue("q")
    for number in range(4):
        await client.push("q", {"n": number}, name=f"i{number}")
    await client.pop("q")
    processing = await client.query(
        "workitems", {"state": "processing", "wiq": "q"}, projection={"payload": 0}
    )
    assert [one["name"] for one in processing] == ["i0"]
    assert "payload" not in processing[0]
    assert processing[0]["_type"] == "workitem"
    old = await client.query("workitems", {"lastrun": {"$lt": "2099-01-01T00:00:00.000Z"}})
    assert [one["name"] for one in old] == ["i0"]
    by_payload = await client.query("workitems", {"payload.n": {"$in": [2, 3]}, "wiq": "q"})
    assert [one["payload"] for one in by_payload] == [{"n": 2}, {"n": 3}]
    names = await client.query(
        "workitems", {"_type": "workitem"}, projection={"name": 1}, orderby={"name": -1}
    )
    assert [one["name"] for one in names] == ["i3", "i2", "i1", "i0"]
    assert set(names[0]) == {"_id", "name"}
    (of_queue,) = await client.query("mq", {"_type": "workitemqueue", "name": "q"})
    assert of_queue["_id"] == queue._id
    reply = await client.ask(
        "aggregate",
        pb.AggregateRequest(
            collectionname="workitems",
            aggregates='[{"$match": {"wiq": "q"}}, {"$group": {"_id": "$state", "n": {"$sum": 1}}},'
            ' {"$sort": {"_id": 1}}]',
        ),
    )
    assert json.loads(reply.results) == [{"_id": "new", "n": 3}, {"_id": "processing", "n": 1}]
    reply = await client.ask(
        "count", pb.CountRequest(collectionname="workitems", query='{"wiq":"q","state":"new"}')
    )
    assert reply.result == 3


async def test_a_queue_written_as_a_document_is_a_queue(client: Any) -> None:
    await client.insert("mq", {"_type": "workitemqueue", "name": "by hand", "maxretries": 1})
    item = await client.push("by hand")
    await client.pop("by hand")
    assert (await client.update(item._id, "retry")).state == "failed"
    (stored,) = await client.query("mq", {"name": "by hand"})
    stored["success_wiq"] = "nowhere"
    await client.ask("updateone", pb.UpdateOneRequest(collectionname="mq", item=json.dumps(stored)))
    with pytest.raises(Exception, match=r"nowhere"):
        await client.update(item._id, "successful")


async def test_collections_and_indexes(client: Any) -> None:
    async def names() -> list[str]:
        reply = await client.ask("listcollections", pb.ListCollectionsRequest())
        return [one["name"] for one in json.loads(reply.results)]

    assert {"mq", "users", "workitems", "fs.files"} <= set(await names())
    await client.ask("createcollection", pb.CreateCollectionRequest(collectionname="mine"))
    assert "mine" in await names()
    with pytest.raises(Exception, match=r"already exists"):
        await client.ask("createcollection", pb.CreateCollectionRequest(collectionname="mine"))
    reply = await client.ask(
        "createindex",
        pb.CreateIndexRequest(
            collectionname="mine", index='{"key": 1}', options='{"unique": true}'
        ),
    )
    assert reply.result == "key_1"
    indexes = json.loads(
        (await client.ask("getindexes", pb.GetIndexesRequest(collectionname="mine"))).results
    )
    assert [one["name"] for one in indexes] == ["_id_", "key_1"]
    assert indexes[1]["unique"] is True
    await client.insert("mine", {"key": 1})
    with pytest.raises(Exception, match=r"E11000"):
        await client.insert("mine", {"key": 1})
    second = await client.insert("mine", {"key": 2})
    answered = await client.replace("mine", {**second, "key": 1})
    assert answered["key"] == 1, "OpenIAP does not say that it stored nothing"
    assert await client.query("mine", {"_id": second["_id"], "key": 1}) == []
    await client.ask("dropindex", pb.DropIndexRequest(collectionname="mine", name="key_1"))
    await client.insert("mine", {"key": 1})
    with pytest.raises(Exception, match=r"index not found"):
        await client.ask("dropindex", pb.DropIndexRequest(collectionname="mine", name="key_1"))
    await client.ask("dropcollection", pb.DropCollectionRequest(collectionname="mine"))
    assert "mine" not in await names()
    assert await client.query("mine", {}) == []
    with pytest.raises(Exception, match=r"reserved collection mq"):
        await client.ask("dropcollection", pb.DropCollectionRequest(collectionname="mq"))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("query", pb.QueryRequest(collectionname="c", query="{")),
        ("query", pb.QueryRequest(collectionname="c", query="[]")),
        ("query", pb.QueryRequest(collectionname="c", query='{"$where": "1"}')),
        ("query", pb.QueryRequest(collectionname="c", query='{"x": {"$gtt": 1}}')),
        ("query", pb.QueryRequest(collectionname="c", query='{"x": {"$regex": "("}}')),
        ("query", pb.QueryRequest(collectionname="c", query="[" * 100_000)),
        ("query", pb.QueryRequest(collectionname="c", query="{}", projection="7")),
        ("query", pb.QueryRequest(collectionname="c", query="{}", orderby="[1]")),
        ("aggregate", pb.AggregateRequest(collectionname="c", aggregates="{}")),
        ("insertone", pb.InsertOneRequest(collectionname="c", item="[]")),
        ("insertone", pb.InsertOneRequest(item="{}")),
        ("distinct", pb.DistinctRequest(collectionname="c")),
        ("createindex", pb.CreateIndexRequest(collectionname="c")),
        ("createcollection", pb.CreateCollectionRequest(collectionname="t", capped=True)),
    ],
)
async def test_what_is_wrong_is_answered_with_an_error(
    client: Any, command: str, message: Any
) -> None:
    await client.insert("c", {"x": "a"})
    with pytest.raises(Exception, match=r"."):
        await client.ask(command, message)
    assert len(await client.query("c", {})) == 1, "the connection serves on"


async def test_fault_a_collection_may_not_be_written(serve: Any, connect: Any) -> None:
    client = await connect(await serve(faults=Faults(refuse_collections={"openiap_workers"})))
    with pytest.raises(Exception, match=r"^Access denied, .*openiap_workers"):
        await client.insert("openiap_workers", {})
    await client.insert("others", {})


async def test_passwords_are_in_no_collection(client: Any) -> None:
    users = json.dumps(await client.query("users", {}))
    assert "tester" in users
    assert "correct horse" not in users
    assert "hash" not in users


async def test_times_of_items_are_compared_and_ordered_in_sql_as_in_mongodb(client: Any) -> None:
    """The same questions once more inside ``$or``, which mongomock answers."""
    await client.queue("q")
    await insert_many(
        client,
        "workitems",
        [
            {"_id": f"{n}", "_type": "workitem", "wiq": "q", "state": "new", "retries": n}
            | ({"nextrun": f"2026-11-2{n % 4}T10:00:00.{n % 3}00Z"} if n != 5 else {})
            for n in range(9)
        ],
    )
    edge = "2026-11-21T10:00:00.100Z"
    for bounds in (
        {"$lte": edge},
        {"$lt": edge},
        {"$gte": edge},
        {"$gt": "2026-11-21T10:00:00.0999Z", "$lt": "2026-11-22T11:00:00+01:00"},
        {"$lte": "2026-11-21T10:00:00.100001Z"},
        {"$lte": "no date"},
        {"$exists": False},
    ):
        asked = {"wiq": "q", "nextrun": bounds}
        slowly = {"wiq": "q", "$or": [{"nextrun": bounds}]}
        for direction in (1, -1):
            order = {"nextrun": direction}
            found = await client.query("workitems", asked, orderby=order, skip=1, top=4)
            other = await client.query("workitems", slowly, orderby=order, skip=1, top=4)
            assert [one["_id"] for one in found] == [one["_id"] for one in other], bounds
        number = await client.query("workitems", asked)
        assert len(number) == len(await client.query("workitems", slowly)), bounds
    for direction in (1, -1):
        found = await client.query("workitems", {"wiq": "q"}, orderby={"nextrun": direction})
        other = await client.query(
            "workitems", {"$or": [{"wiq": "q"}]}, orderby={"nextrun": direction}
        )
        assert [one["_id"] for one in found] == [one["_id"] for one in other]


async def test_documents_go_when_their_time_is_over_by_the_servers_clock(
    serve: Any, connect: Any
) -> None:
    now = [1_800_000_000.0]
    server = await serve(clock=lambda: now[0], sweep_interval=0.02)
    client, other = await connect(server), await connect(server)
    await client.ask(
        "createcollection", pb.CreateCollectionRequest(collectionname="c", expireAfterSeconds=60)
    )
    index = pb.CreateIndexRequest(
        collectionname="d", index='{"expires": 1}', options='{"expireAfterSeconds": 0}'
    )
    for _ in range(2):
        assert (await client.ask("createindex", index)).result == "expires_1"
    reply = await client.ask("getindexes", pb.GetIndexesRequest(collectionname="c"))
    (made,) = json.loads(reply.results)[1:]
    assert (made["name"], made["expireAfterSeconds"]) == ("_created_1", 60)
    index.options = '{"expireAfterSeconds": 1}'
    with pytest.raises(Exception, match=r"^IndexOptionsConflict"):
        await client.ask("createindex", index)

    for n, seconds in enumerate(("1e300", "-1e18")):  # no date is so far away
        index = pb.CreateIndexRequest(
            collectionname=f"far-{n}",
            index='{"at": 1}',
            options=f'{{"expireAfterSeconds": {seconds}}}',
        )
        await client.ask("createindex", index)
        await client.insert(f"far-{n}", {"at": stamps(now[0], 0)})

    await other.ask("watch", pb.WatchRequest(collectionname="d"))
    await client.insert("c", {"_id": "old"})
    times = {"past": 30, "later": 90, "text": "soon", "several": [90, 30]}
    for name, seconds in times.items():
        await client.insert("d", {"_id": name, "expires": stamps(now[0], seconds)})
    now[0] += 59
    async with asyncio.timeout(DEADLINE):
        while len(await client.query("d", {})) > 2:
            await asyncio.sleep(0.01)
    assert [one["_id"] for one in await client.query("d", {})] == ["later", "text"]
    assert len(await client.query("c", {})) == 1
    told = [await other.event("watchevent") for _ in range(6)]
    assert [one.operation for one in told] == ["insert"] * 4 + ["delete"] * 2
    now[0] += 1
    async with asyncio.timeout(DEADLINE):
        while await client.query("c", {}):
            await asyncio.sleep(0.01)


def stamps(now: float, seconds: Any) -> Any:
    """Return moments so many seconds ahead as OpenIAP's clients write dates."""
    if isinstance(seconds, list):
        return [stamps(now, one) for one in seconds]
    if isinstance(seconds, str):
        return seconds
    return datetime.fromtimestamp(now + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
