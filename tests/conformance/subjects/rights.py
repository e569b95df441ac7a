"""Rights: what a second, ordinary user may do with what the first one has made."""

from typing import Any

from tests.conformance.facts import Table
from tests.conformance.ground import COLLECTION, Ground
from tests.conformance.subjects.documents import NO_HISTORY
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.workitem import Workitem, WorkItemQueue

TABLE = Table("rights")
fact = TABLE.fact
READ, UPDATE, DELETE, INVOKE = 2, 4, 8, 16
NO_QUEUE = "Work item queue not found Q (undefined) not found."


async def second_of(on: Ground) -> tuple[Client, str]:
    """Return the second user's client and id."""
    second = await on.second()
    return second, second.user.id if second.user else ""


async def shared(on: Ground, rights: int, **fields: Any) -> WorkItemQueue:
    """Make a queue on which the second user has some rights."""
    _, id = await second_of(on)
    return await on.queue(acl=[{"_id": id, "rights": rights}] if rights else [], **fields)


async def grant(on: Ground, queue: WorkItemQueue, rights: int) -> None:
    """Let the second user have these rights on a queue."""
    _, id = await second_of(on)
    document = await on.queue_document(queue)
    others = [ace for ace in document["_acl"] if ace["_id"] != id]
    own = [{"_id": id, "name": "second", "rights": rights}] if rights else []
    await on.queue_document(queue, _acl=[*others, *own])


def kind(text: str) -> str:
    """Return what a refusal is about, in a word."""
    if text.startswith("not refused"):
        return "done"
    return "invoke" if "invoke" in text else "unknown" if "not found" in text else text


async def fence(client: Client, id: str) -> int:
    """Return how many items a conditional update matches."""
    change = {"$set": {"closing": "token"}}
    return (await client.update_document("workitems", {"_id": id}, change)).matched


@fact(
    "A queue that a user may not read does not exist for them.", [NO_QUEUE, NO_QUEUE, 0], "second"
)
async def unseen(on: Ground) -> Any:
    second, _ = await second_of(on)
    queue = await on.queue()
    return [
        await on.refusal(second.push_workitem(queue.name, {})),
        await on.refusal(second.pop_workitem(queue.name)),
        await second.count("mq", {"_id": queue.id}),
    ]


@fact("Pushing takes read and invoke on the queue.", ["invoke", "done"], "second")
async def push(on: Ground) -> Any:
    second, _ = await second_of(on)
    queue = await shared(on, READ)
    first = kind(await on.refusal(second.push_workitem(queue.name, {})))
    await grant(on, queue, READ + INVOKE)
    return [first, kind(await on.refusal(second.push_workitem(queue.name, {})))]


@fact("Popping takes read on the queue, and read and invoke on the item.", [True, True], "second")
async def pop(on: Ground) -> Any:
    second, _ = await second_of(on)
    queue = await shared(on, READ + INVOKE)
    item = await on.push(queue)
    await grant(on, queue, READ)  # the item keeps what its queue gave it
    popped = await second.pop_workitem(queue.name)
    text = await on.refusal(second.update_workitem(Workitem(id=item.id, state="successful")))
    return [popped is not None and popped.id == item.id, "invoke" in text]


@fact(
    "An item in front that lacks invoke fails every pop of its queue.",
    "Access denied popping workitem ID",
    "second",
)
async def in_front(on: Ground) -> Any:
    second, _ = await second_of(on)
    queue = await shared(on, READ)
    await on.push(queue)
    await grant(on, queue, READ + INVOKE)
    await on.push(queue)
    text = await on.refusal(second.pop_workitem(queue.name))
    return text[: len("Access denied popping workitem ID")]


@fact("Finishing an item takes invoke on its queue; update is not needed.", "successful", "second")
async def finish(on: Ground) -> Any:
    second, _ = await second_of(on)
    queue = await shared(on, READ + INVOKE)
    item = await on.push(queue)
    updated = await second.update_workitem(Workitem(id=item.id, state="successful", payload=None))
    return updated.state


@fact(
    "Without update on the item a condition matches nothing, and says nothing; with it, it holds.",
    [0, 1],
    "second",
)
async def condition(on: Ground) -> Any:
    second, _ = await second_of(on)
    queue = await shared(on, READ + INVOKE)
    first = await fence(second, (await on.push(queue)).id)
    await grant(on, queue, READ + UPDATE + INVOKE)
    return [first, await fence(second, (await on.push(queue)).id)]


@fact(
    "Without update on the item its document cannot be written back.",
    "Access denied, no authorization to UpdateOne",
    "second",
)
async def write_back(on: Ground) -> Any:
    second, _ = await second_of(on)
    item = await on.push(await shared(on, READ + INVOKE))
    (stored,) = await second.query("workitems", {"_id": item.id})
    text = await on.refusal(second.update_one("workitems", stored))
    return text[: len("Access denied, no authorization to UpdateOne")]


@fact("Who pushes has every right on the item, until its next update.", [1, 0], "second")
async def pusher(on: Ground) -> Any:
    second, _ = await second_of(on)
    queue = await shared(on, READ + INVOKE)
    item = await second.push_workitem(queue.name, {})
    before = await fence(second, item.id)
    await second.update_workitem(Workitem(id=item.id, payload=None))
    return [before, await fence(second, item.id)]


@fact("Deleting an item takes invoke and delete on it.", [True, "done"], "second")
async def delete(on: Ground) -> Any:
    second, _ = await second_of(on)
    queue = await shared(on, READ + INVOKE)
    item = await on.push(queue)
    first = await on.refusal(second.delete_workitem(item.id))
    await grant(on, queue, READ + DELETE + INVOKE)
    await on.update(item.id, "")
    return ["not refused" not in first, kind(await on.refusal(second.delete_workitem(item.id)))]


@fact("Deleting a queue of others is refused.", "Work item queue with name Q not found.", "second")
async def delete_queue(on: Ground) -> Any:
    second, _ = await second_of(on)
    queue = await on.queue()
    return await on.refusal(second.delete_workitem_queue(queue.name, purge=True))


@fact("An ordinary user may make a queue and delete it.", 0, "second")
async def own_queue(on: Ground) -> Any:
    second, _ = await second_of(on)
    queue = await second.add_workitem_queue(WorkItemQueue(name=on.name("Q")), skiprole=True)
    await second.push_workitem(queue.name, {})
    await second.delete_workitem_queue(queue.name, purge=True)
    return await on.maker.count("mq", {"_id": queue.id})


@fact(
    "A document of others is not there, and is not deleted, though 1 is told.", [0, 1, 1], "second"
)
async def documents(on: Ground) -> Any:
    second, _ = await second_of(on)
    stored = await on.insert(n=1)
    seen = await second.count(COLLECTION, {"_id": stored["_id"]})
    told = await second.delete_one(COLLECTION, stored["_id"])
    return [seen, told, await on.client.count(COLLECTION, {"_id": stored["_id"]})]


@fact(
    "A document that may only be read cannot be changed.",
    ["Access denied, no authorization to UpdateOne", 0],
    "second",
)
async def read_only(on: Ground) -> Any:
    second, id = await second_of(on)
    stored = await on.insert(n=1, _acl=[{"_id": id, "name": "second", "rights": READ}])
    text = await on.refusal(second.update_one(COLLECTION, on.document(_id=stored["_id"], n=2)))
    change = await second.update_document(COLLECTION, {"_id": stored["_id"]}, {"$set": {"n": 3}})
    return [text[: len("Access denied, no authorization to UpdateOne")], change.matched]


@fact("Rights of somebody who does not exist are dropped when a document is stored.", False)
async def nobody(on: Ground) -> Any:
    ace = {"_id": "0123456789abcdef01234567", "name": "nobody", "rights": 65535}
    stored = await on.insert(_acl=[ace])
    return any(one["_id"] == ace["_id"] for one in stored["_acl"])


@fact(
    "Two users may each store a package of the same id; neither sees the other's.", [1, 1], "second"
)
async def packages(on: Ground) -> Any:
    second, _ = await second_of(on)
    document = {"_type": "package", "id": on.name("package"), "name": on.name("package")}
    for client in (on.client, second):
        await client.insert_one("agents", dict(document))
    query = {"_type": "package", "id": document["id"]}
    mine = await second.count("agents", query)
    # An admin sees both.
    theirs = await on.maker.count("agents", query) - (mine if on.crew.admin else 0)
    return [theirs, mine]


@fact("Nobody receives what is meant for another user.", True, "second")
async def another_queue(on: Ground) -> Any:
    second, _ = await second_of(on)
    text = await on.refusal(second.register_queue(on.user_id, lambda event: None))
    return "missing invoke permission" in text


@fact("Collections and indexes are for admins.", ["refused"] * 4, "second", once=True)
async def collections(on: Ground) -> Any:
    second, _ = await second_of(on)
    name = on.name("c").replace("-", "_")
    found = []
    for call in (
        second.create_collection(name),
        second.create_index(name, {"n": 1}, {}, "n"),
        second.get_indexes(name),
        second.drop_collection(name),
    ):
        try:
            await call
            found.append("done")
        except OpenIAPError:
            found.append("refused")
    return found


@fact(
    "A user reads and deletes the history of documents of their own.",
    [True, 0],
    "second",
    once=True,
    local=([False, 0], NO_HISTORY),
)
async def history(on: Ground) -> Any:
    second, _ = await second_of(on)
    stored = await second.insert_one(COLLECTION, on.document(n=1))
    await second.update_one(COLLECTION, on.document(_id=stored["_id"], n=2))
    query = {"id": stored["_id"]}
    kept = await second.count(f"{COLLECTION}_hist", query)
    await second.delete_many(f"{COLLECTION}_hist", query)
    return [kept > 0, await second.count(f"{COLLECTION}_hist", query)]
