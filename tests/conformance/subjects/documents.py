"""Documents, collections, indexes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.conformance.facts import READ, Table
from tests.conformance.ground import COLLECTION, FEW, Ground, moment, some
from worker.openiap.errors import DuplicateKey
from worker.openiap.wire import openiap_pb2 as pb

TABLE = Table("documents")
fact = TABLE.fact
NO_HISTORY = "it keeps no history"
HISTORY = f"{COLLECTION}_hist"


@fact(
    "A stored document has an id of 24 characters, its maker, its times and rights for its maker.",
    {"id": 24, "_version": 0, "mine": True, "times": True, "acl": True},
)
async def insert(on: Ground) -> Any:
    stored = await on.insert(n=1)
    user = on.client.user
    return {
        "id": len(stored["_id"]),
        "_version": stored.get("_version"),
        "mine": stored.get("_createdbyid") == (user.id if user else ""),
        "times": moment(stored["_created"]) == moment(stored["_modified"]),
        "acl": any(ace["rights"] == 65535 for ace in stored["_acl"]),
    }


@fact("An _id may be given; the same one again is a duplicate.", [True, True])
async def duplicate(on: Ground) -> Any:
    id = on.name("id")
    stored = await on.insert(_id=id)
    try:
        await on.insert(_id=id)
    except DuplicateKey as error:
        return [stored["_id"] == id, "E11000" in error.text]
    return [stored["_id"] == id, False]


@fact("A query returns what matches, in order, from where and as many as it is told.", [3, 2])
async def query(on: Ground) -> Any:
    group = on.name("g")
    await on.client.insert_many(COLLECTION, [on.document(g=group, n=n) for n in range(5)])
    found = await on.client.query(
        COLLECTION, {"g": group}, {"n": 1}, orderby={"n": -1}, skip=1, top=2
    )
    return [one["n"] for one in found]


@fact("A projection brings what it names, and the _id.", ["_id", "n"])
async def projection(on: Ground) -> Any:
    stored = await on.insert(n=1, m=2)
    (found,) = await on.client.query(COLLECTION, {"_id": stored["_id"]}, {"n": 1})
    return sorted(key for key in found if key != "_acl")


@fact("A query without a top brings 500 at most.", 500, "native", once=True)
async def most(on: Ground) -> Any:
    group = on.name("g")
    documents = [on.document(g=group, n=n) for n in range(501)]
    await on.maker.insert_many(COLLECTION, documents, skipresults=True)
    request = pb.QueryRequest(collectionname=COLLECTION, query=f'{{"g": "{group}"}}')
    reply = await on.ask("query", request, pb.QueryResponse)
    await on.maker.delete_many(COLLECTION, {"g": group})
    return reply.results.count('"n"')


@fact("Texts that look like times are compared as times in a query.", [1, 0])
async def times(on: Ground) -> Any:
    stored = await on.insert(n=1)
    later = {"_id": stored["_id"], "_created": {"$lt": "2999-01-01T00:00:00.000Z"}}
    earlier = {"_id": stored["_id"], "_created": {"$lt": "2000-01-01T00:00:00.000Z"}}
    return [await on.client.count(COLLECTION, query) for query in (later, earlier)]


@fact("A collection that does not exist is empty.", [[], 0])
async def unknown_collection(on: Ground) -> Any:
    name = on.name("nothing").replace("-", "_")
    return [await on.client.query(name, {}), await on.client.count(name, {})]


@fact(
    "Counting and querying without a query are refused, and distinct as well.",
    ["Query is mandatory", "Query is mandatory", "Unexpected end of JSON input"],
    "native",
    once=True,
)
async def no_query(on: Ground) -> Any:
    return [
        await on.refusal(
            on.ask("count", pb.CountRequest(collectionname=COLLECTION), pb.CountResponse)
        ),
        await on.refusal(
            on.ask("query", pb.QueryRequest(collectionname=COLLECTION), pb.QueryResponse)
        ),
        await on.refusal(
            on.ask(
                "distinct",
                pb.DistinctRequest(collectionname=COLLECTION, field="n"),
                pb.DistinctResponse,
            )
        ),
    ]


@fact("The client sends one where none is given.", [True, True, ["1", "2"]])
async def client_sends_one(on: Ground) -> Any:
    group = on.name("g")
    await on.client.insert_many(COLLECTION, [on.document(g=group, n=str(n)) for n in (1, 2, 2)])
    distinct = await on.client.distinct(COLLECTION, "n", {"g": group})
    return [
        await on.client.count(COLLECTION) >= 3,
        len(await on.client.query(COLLECTION, top=3)) == 3,
        sorted(one.strip('"') for one in distinct),
    ]


@fact("An aggregation groups.", [{"_id": "a", "n": 2}, {"_id": "b", "n": 1}])
async def aggregate(on: Ground) -> Any:
    group = on.name("g")
    await on.client.insert_many(COLLECTION, [on.document(g=group, k=k) for k in "aab"])
    return await on.client.aggregate(
        COLLECTION,
        [
            {"$match": {"g": group}},
            {"$group": {"_id": "$k", "n": {"$sum": 1}}},
            {"$sort": {"_id": 1}},
        ],
    )


@fact(
    "An update of a document replaces all of it and counts its versions.", [{"n": None, "m": 2}, 1]
)
async def replace(on: Ground) -> Any:
    stored = await on.insert(n=1)
    changed = on.document(_id=stored["_id"], m=2)
    await on.client.update_one(COLLECTION, changed)
    (found,) = await on.client.query(COLLECTION, {"_id": stored["_id"]})
    return [some(found, "n", "m"), found["_version"]]


@fact(
    "An update of a document that is not there is refused.",
    f"item ID not found in {COLLECTION} or Access Denied",
)
async def replace_unknown(on: Ground) -> Any:
    return await on.refusal(
        on.client.update_one(COLLECTION, on.document(_id="0123456789abcdef01234567"))
    )


@fact(
    "A conditional update changes what matches, and says how many.", [[1, 1], [0, 0], 2], "native"
)
async def change(on: Ground) -> Any:
    stored = await on.insert(n=1)
    answers = []
    for _ in range(2):
        query = {"_id": stored["_id"], "n": 1}
        result = await on.client.update_document(COLLECTION, query, {"$set": {"n": 2}})
        answers.append([result.matched, result.modified])
    (found,) = await on.client.query(COLLECTION, {"_id": stored["_id"]})
    return [*answers, found["n"]]


@fact("An upsert finds a document by the fields that it is told.", [1, 2])
async def upsert(on: Ground) -> Any:
    key = on.name("k")
    for n in (1, 2):
        await on.client.insert_or_update_one(COLLECTION, on.document(k=key, n=n), "k")
    found = await on.client.query(COLLECTION, {"k": key})
    return [len(found), found[0]["n"]]


@fact("An upsert that finds nothing by _id inserts under another id.", False, source=READ)
async def upsert_forgets(on: Ground) -> Any:
    id = on.name("id")
    stored = await on.client.insert_or_update_one(COLLECTION, on.document(_id=id), "_id")
    return bool(stored["_id"] == id)


@fact("Deleting one says 1, also where it was gone.", [1, 1, 0])
async def delete_one(on: Ground) -> Any:
    stored = await on.insert(n=1)
    told = [await on.client.delete_one(COLLECTION, stored["_id"]) for _ in range(2)]
    return [*told, await on.client.count(COLLECTION, {"_id": stored["_id"]})]


@fact("Deleting many says how many there were.", [3, 0])
async def delete_many(on: Ground) -> Any:
    group = on.name("g")
    await on.client.insert_many(COLLECTION, [on.document(g=group) for _ in range(3)])
    return [await on.client.delete_many(COLLECTION, {"g": group}) for _ in range(2)]


@fact(
    "An update of a document is kept in its collection's history; a conditional one is not.",
    [True, 0],
    "native",
    once=True,
    local=([False, 0], NO_HISTORY),
)
async def history(on: Ground) -> Any:
    stored = await on.insert(n=1)

    async def kept() -> int:
        return await on.client.count(HISTORY, {"id": stored["_id"]})

    before = await kept()
    await on.client.update_one(COLLECTION, on.document(_id=stored["_id"], n=2))
    after = await kept()
    query = {"_id": stored["_id"]}
    await on.client.update_document(COLLECTION, query, {"$set": {"n": 3}})
    return [after > before, await kept() - after]


@fact("A custom command that is unknown is answered, and no error.", None)
async def unknown_command(on: Ground) -> Any:
    return await on.client.custom_command("nosuchcommand", name=on.name("c"))


@fact(
    "An index that lets documents expire may be made again as it is, and not with another time.",
    [True, True],
    "admin",
    once=True,
)
async def expiring(on: Ground) -> Any:
    collection = _own_collection(on)
    index = {"gone": 1}
    try:
        for _ in range(2):
            await on.maker.create_index(collection, index, {"expireAfterSeconds": 0}, "gone")
        text = await on.refusal(
            on.maker.create_index(collection, index, {"expireAfterSeconds": 9}, "gone")
        )
        found = await on.maker.get_indexes(collection)
    finally:
        await on.maker.drop_collection(collection)
    known = [one for one in found if one.get("name") == "gone"]
    return [bool(known) and known[0].get("expireAfterSeconds") == 0, "not refused" not in text]


@fact(
    "A document whose time by such an index is over goes within two minutes.",
    0,
    "admin",
    once=True,
    seconds=240,
)
async def expires(on: Ground) -> Any:
    collection = _own_collection(on)
    try:
        await on.maker.create_index(collection, {"gone": 1}, {"expireAfterSeconds": 0}, "gone")
        gone = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()[:23] + "Z"
        stored = await on.maker.insert_one(collection, on.document(gone=gone))

        async def over() -> bool | None:
            left = await on.maker.count(collection, {"_id": stored["_id"]})
            return None if left else True

        await on.until("it goes", over, 120 + FEW, every=1.0)
        return 0
    finally:
        await on.maker.drop_collection(collection)


@fact(
    "An update that breaks a unique index is answered as if it were done, and is not.",
    ["a", "b"],
    "admin",
    once=True,
)
async def unique(on: Ground) -> Any:
    collection = _own_collection(on)
    try:
        await on.maker.create_index(collection, {"k": 1}, {"unique": True}, "k")
        await on.maker.insert_one(collection, on.document(k="a"))
        other = await on.maker.insert_one(collection, on.document(k="b"))
        told = await on.maker.update_one(collection, {**other, "k": "a"})
        (found,) = await on.maker.query(collection, {"_id": other["_id"]})
        return [told["k"], found["k"]]
    finally:
        await on.maker.drop_collection(collection)


@fact("Insertions at once keep to a unique index.", [1, 3], "admin", once=True)
async def unique_inserts(on: Ground) -> Any:
    collection = _own_collection(on)
    try:
        await on.maker.create_index(collection, {"k": 1}, {"unique": True}, "k")
        found = await asyncio.gather(
            *(on.maker.insert_one(collection, on.document(k="a")) for _ in range(4)),
            return_exceptions=True,
        )
        refused = sum(isinstance(one, DuplicateKey) for one in found)
        return [await on.maker.count(collection, {}), refused]
    finally:
        await on.maker.drop_collection(collection)


def _own_collection(on: Ground) -> str:
    """Return the name of a collection that is dropped again; its history has no such name."""
    return on.name("c").replace("-", "_")
