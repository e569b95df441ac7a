"""Work item queues: made, changed, deleted."""

from typing import Any

from tests.conformance.facts import Table
from tests.conformance.ground import Ground, some
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.workitem import WorkItemQueue

TABLE = Table("queues")
fact = TABLE.fact
NO_UPDATE = "Access denied, no authorization to UpdateOne with current ACL"


@fact("A queue that is made with maxretries 0 has 3.", 3, "native")
async def three(on: Ground) -> Any:
    queue = await on.queue(maxretries=0)
    return (await on.queue_document(queue))["maxretries"]


@fact("A queue is a document in mq of the type workitemqueue.", "workitemqueue", once=True)
async def document(on: Ground) -> Any:
    return (await on.queue_document(await on.queue()))["_type"]


@fact("A name that exists is refused.", "Work item queue with name Q already exists", "native")
async def twice(on: Ground) -> Any:
    await on.queue()
    return await on.refusal(on.queue())


@fact("A change of a queue without its rights is refused, also to admins.", NO_UPDATE, "native")
async def update_without_rights(on: Ground) -> Any:
    queue = await on.queue()
    request = pb.UpdateWorkItemQueueRequest(
        workitemqueue=pb.WorkItemQueue(_id=queue.id, name=queue.name, maxretries=5), skiprole=True
    )
    text = await on.refusal(on.ask("updateworkitemqueue", request, pb.UpdateWorkItemQueueResponse))
    return text[: len(NO_UPDATE)]


@fact(
    "A change replaces what it does not name: delays become 0, the message queue none.",
    {"maxretries": 5, "retrydelay": 0, "initialdelay": 0, "amqpqueue": ""},
    "native",
)
async def update_replaces(on: Ground) -> Any:
    queue = await on.queue(retrydelay=7, initialdelay=8, amqpqueue=on.name("m"))
    await on.client.update_workitem_queue(WorkItemQueue(name=queue.name, id=queue.id, maxretries=5))
    found = await on.queue_document(queue)
    return {
        **some(found, "maxretries", "retrydelay", "initialdelay"),
        "amqpqueue": found.get("amqpqueue") or "",
    }


@fact("The client keeps a queue's rights through a change.", True, "native")
async def update_keeps_rights(on: Ground) -> Any:
    queue = await on.queue()
    before = (await on.queue_document(queue))["_acl"]
    await on.client.update_workitem_queue(WorkItemQueue(name=queue.name, id=queue.id, maxretries=5))
    return (await on.queue_document(queue))["_acl"] == before


@fact(
    "A queue with items is deleted with purge only.",
    ["Work item queue Q is not empty, enable purge to delete", 0, 0],
    "native",
)
async def delete(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.push(queue)
    text = await on.refusal(on.client.delete_workitem_queue(queue.name))
    await on.client.delete_workitem_queue(queue.name, purge=True)
    return [
        text,
        await on.maker.count("mq", {"_id": queue.id}),
        await on.maker.count("workitems", {"_id": item.id}),
    ]


@fact("Deleting an unknown queue is refused.", "Work item queue with name Q not found.", "native")
async def delete_unknown(on: Ground) -> Any:
    return await on.refusal(on.client.delete_workitem_queue(on.name("Q")))


@fact(
    "A queue's document cannot be deleted as a document.",
    ["Access Denied, you must call DeleteWorkItemQueue to delete", 1],
)
async def delete_document(on: Ground) -> Any:
    queue = await on.queue()
    text = await on.refusal(on.client.delete_one("mq", queue.id))
    return [text, await on.maker.count("mq", {"_id": queue.id})]


@fact(
    "A queue gets a role of users that its rights do not name; it goes with the queue.",
    ["Q users", False, 0],
    "native",
    once=True,
)
async def role(on: Ground) -> Any:
    queue = await on.queue(skiprole=False)
    found = await on.queue_document(queue)
    roles = await on.maker.query("users", {"_id": found["usersrole"]})
    named = any(ace["_id"] == found["usersrole"] for ace in found["_acl"])
    await on.maker.delete_workitem_queue(queue.name, purge=True)
    left = await on.maker.count("users", {"_id": found["usersrole"]})
    return [on.plain(roles[0]["name"]) if roles else "", named, left]


@fact(
    "A change of its rights leaves its items as they are, until their update.",
    [False, True],
    once=True,
)
async def rights_of_items(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.push(queue)
    users = await on.maker.query("users", {"_type": "role", "name": "users"})
    extra = {"_id": users[0]["_id"], "name": "users", "rights": 2}
    found = await on.queue_document(queue)
    await on.queue_document(queue, _acl=[*found["_acl"], extra])

    async def named() -> bool:
        acl = (await on.item(item.id))["_acl"]
        return any(ace["_id"] == extra["_id"] for ace in acl)

    before = await named()
    await on.update(item.id, "")
    return [before, await named()]
