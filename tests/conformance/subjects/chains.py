"""Chains: what is pushed on when an item is finished."""

from typing import Any

from tests.conformance.facts import SEEN, Table
from tests.conformance.ground import Ground, some
from worker.openiap.errors import OpenIAPError
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.workitem import WorkitemFile, WorkItemQueue

TABLE = Table("chains")
fact = TABLE.fact


async def chain(on: Ground, **targets: str) -> tuple[WorkItemQueue, WorkItemQueue]:
    """Return two queues, the first of which names the second in its document."""
    target = await on.queue("NEXT")
    source = await on.queue("Q")
    changes = {key: target.name if word == "NEXT" else word for key, word in targets.items()}
    await on.queue_document(source, **changes)
    return source, target


COPY = {"state": "new", "retries": 0, "name": "mine", "payload": {"n": 1}, "priority": 1}


@fact("A success pushes a copy to the queue's success queue, with a new id.", [COPY, True])
async def success(on: Ground) -> Any:
    source, target = await chain(on, success_wiq="NEXT")
    item = await on.push(source, {"n": 1}, name="mine", priority=1)
    await on.popped(source)
    await on.update(item.id, "successful")
    (copy,) = await on.items(target)
    return [some(copy, *COPY), copy["_id"] != item.id]


@fact("A failure pushes a copy to the failed queue; a retry does not.", [0, 1])
async def failure(on: Ground) -> Any:
    source, target = await chain(on, failed_wiq="NEXT")
    item = await on.pushed_pop(source)
    await on.update(item.id, "retry", errormessage="once more")
    before = len(await on.items(target))
    await on.popped(source)
    await on.update(item.id, "retry", errormessage="bad", errortype="business")
    return [before, len(await on.items(target))]


@fact("A state that is repeated makes no second copy.", 1)
async def repeated(on: Ground) -> Any:
    source, target = await chain(on, success_wiq="NEXT")
    item = await on.pushed_pop(source)
    for _ in range(2):
        await on.update(item.id, "successful")
    return len(await on.items(target))


@fact("An unknown target is an error after the change.", [True, "successful"])
async def unknown_target(on: Ground) -> Any:
    source, _ = await chain(on, success_wiq="no such queue at all")
    item = await on.pushed_pop(source)
    try:
        await on.update(item.id, "successful")
        refused = False
    except OpenIAPError:
        refused = True
    return [refused, (await on.item(item.id))["state"]]


@fact("An item's own target comes before its queue's.", [0, 1])
async def own_target(on: Ground) -> Any:
    source, target = await chain(on, success_wiq="NEXT")
    own = await on.queue("OWN")
    item = await on.pushed_pop(source)
    stored = await on.item(item.id)
    await on.client.update_one("workitems", {**stored, "success_wiq": own.name})
    await on.update(item.id, "successful")
    return [len(await on.items(target)), len(await on.items(own))]


@fact("Targets that a queue or an item is given over the protocol do not arrive.", [0, 0], "native")
async def over_the_protocol(on: Ground) -> Any:
    target = await on.queue("NEXT")
    source = await on.queue("Q", success_wiq=target.name)
    plain = await on.queue("PLAIN")
    for queue, own in ((source, ""), (plain, target.name)):
        request = pb.PushWorkitemRequest(wiq=queue.name, payload="{}", success_wiq=own)
        reply = await on.ask("pushworkitem", request, pb.PushWorkitemResponse)
        await on.update(reply.workitem._id, "successful")
    return [len(await on.items(target)), len(await on.items(target, state="new"))]


@fact(
    "A copy has files of its own, which belong to no item; the reply names them as the item's.",
    {"files": ["a.txt"], "own": True, "wi": None, "told": True},
    "native",
    source=SEEN,
)
async def copied_files(on: Ground) -> Any:
    source, target = await chain(on, success_wiq="NEXT")
    path = on.file("a.txt", b"content")
    item = await on.push(source, {}, files=[path])
    await on.popped(source)
    updated = await on.update(item.id, "successful")
    (copy,) = await on.items(target)
    (file,) = copy["files"]
    (stored,) = await on.maker.query("fs.files", {"_id": file["_id"]})
    own = (await on.item(item.id))["files"][0]["_id"]
    files: list[WorkitemFile] = updated.files
    return {
        "files": [file["filename"]],
        "own": file["_id"] != own,
        "wi": (stored.get("metadata") or {}).get("wi"),
        "told": [one.id for one in files] == [file["_id"]],
    }


@fact(
    "What a conditional update sets inside a payload goes along with the copy; an earlier error"
    " that it takes away is gone, and a success leaves one where it is.",
    {"copy": {"n": 1, "own": {"mark": {"a": 1}}}, "gone": True, "kept": "boom"},
    "native",
)
async def marked_payload(on: Ground) -> Any:
    source, target = await chain(on, success_wiq="NEXT")
    errors: list[Any] = []
    for sheds in (True, False):
        item = await on.push(source, {"n": 1})
        await on.popped(source)
        await on.update(item.id, "retry", errormessage="boom")
        await on.popped(source)
        if sheds:
            change = {"$set": {"payload.own.mark": {"a": 1}}, "$unset": {"errormessage": ""}}
            await on.client.update_document("workitems", {"_id": item.id}, change)
        await on.update(item.id, "successful")
        errors.append((await on.item(item.id)).get("errormessage"))
    copies = [one["payload"] for one in await on.items(target)]
    (copy,) = [one for one in copies if "own" in one]
    return {"copy": copy, "gone": not errors[0], "kept": errors[1]}
