"""Work items: pushed, popped, updated, finished."""

import asyncio
from datetime import timedelta
from typing import Any

from tests.conformance.facts import READ, Table
from tests.conformance.ground import Ground, about, now, seconds_between, some
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.workitem import Workitem

TABLE = Table("work items")
fact = TABLE.fact


@fact(
    "A pushed item is new, with priority 2, no retries and a name, and is due at once.",
    {"state": "new", "priority": 2, "retries": 0, "name": "New work item", "lastrun": None}
    | {"due": 0},
)
async def pushed(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.client.push_workitem(queue.name, {"n": 1})
    stored = await on.item(item.id)
    due = about(0, stored["nextrun"], stored["_created"])
    return {**some(stored, "state", "priority", "retries", "name", "lastrun"), "due": due}


@fact("A queue's initialdelay decides when an item is due that names no time.", 60)
async def initial_delay(on: Ground) -> Any:
    item = await on.push(await on.queue(initialdelay=60))
    stored = await on.item(item.id)
    return about(60, stored["nextrun"], stored["_created"])


@fact("A push may name a time in whole seconds; nobody pops the item before.", [0, None])
async def pushed_for_later(on: Ground) -> Any:
    queue = await on.queue()
    time = (now() + timedelta(hours=1)).replace(microsecond=0)
    item = await on.push(queue, nextrun=time)
    stored = await on.item(item.id)
    popped = await on.client.pop_workitem(queue.name)
    return [seconds_between(stored["nextrun"], time.isoformat()), popped]


@fact(
    "A pop makes an item processing, names the user, notes when, and removes its nextrun.",
    {"state": "processing", "username": "FIRST", "nextrun": None, "ran": True},
)
async def popped(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.pushed_pop(queue)
    stored = await on.item(item.id)
    user = on.plain(str(stored.get("username")))
    if user == (on.client.user.name if on.client.user else ""):
        user = "FIRST"
    ran = about(0, stored["lastrun"], stored["_modified"]) == 0
    return {**some(stored, "state", "nextrun"), "username": user, "ran": ran}


@fact("A pop of a queue without due items brings nothing and is no error.", None)
async def popped_empty(on: Ground) -> Any:
    return await on.client.pop_workitem((await on.queue()).name)


@fact("The lowest priority number is popped first; equals in the order of pushing.", [2, 3, 1, 0])
async def order(on: Ground) -> Any:
    queue = await on.queue()
    for n, priority in enumerate((3, 2, 1, 1)):
        await on.push(queue, {"n": n}, priority=priority)
    return [((await on.popped(queue)).payload or {}).get("n") for _ in range(4)]


@fact("No item is given to two pops, however many come at once.", [12, 12], seconds=120)
async def popped_once(on: Ground) -> Any:
    queue = await on.queue()
    for n in range(12):
        await on.push(queue, {"n": n})
    found: list[str] = []

    async def pop() -> None:
        while (item := await on.client.pop_workitem(queue.name)) is not None:
            found.append(item.id)

    await asyncio.gather(*(pop() for _ in range(4)))
    return [len(found), len(set(found))]


@fact("Whoever may writes an item back, popped or not: the server looks at no owner.", "successful")
async def no_owner(on: Ground) -> Any:
    item = await on.push(await on.queue())
    return (await on.update(item.id, "successful")).state


@fact("A finished item can be put back by a retry.", ["new", 1])
async def finished_again(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    await on.update(item.id, "successful")
    await on.update(item.id, "retry")
    return list((await on.item(item.id, "state", "retries")).values())


@fact("States are taken in any case.", ["processing", "successful", "failed"])
async def any_case(on: Ground) -> Any:
    item = await on.push(await on.queue())
    states = ("Processing", "SUCCESSFUL", "Failed")
    return [(await on.update(item.id, state)).state for state in states]


@fact("An update without a state keeps it.", "processing")
async def no_state(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    return (await on.update(item.id, "", errormessage="for now")).state


@fact(
    "Any other state is refused.",
    "Illegal state done on Workitem, must be failed, successful, processing or retry",
)
async def illegal_state(on: Ground) -> Any:
    item = await on.push(await on.queue())
    return await on.refusal(on.update(item.id, "done"))


@fact(
    "The state new is taken where the item is new, and refused elsewhere.",
    ["new", "Illegal state new on Workitem, must be failed, successful, processing or retry"],
)
async def state_new(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.push(queue)
    first = (await on.update(item.id, "new")).state
    await on.popped(queue)
    return [first, await on.refusal(on.update(item.id, "new"))]


@fact(
    "A retry makes the item new, counts it, clears the user, and waits for the retrydelay.",
    {"state": "new", "retries": 1, "username": "", "due": 60},
)
async def retried(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue(retrydelay=60))
    await on.update(item.id, "retry")
    stored = await on.item(item.id)
    due = about(60, stored["nextrun"], stored["_modified"])
    return {
        **some(stored, "state", "retries"),
        "username": stored.get("username") or "",
        "due": due,
    }


@fact("maxretries is the number of all attempts.", [["new", 1], ["failed", 1]])
async def attempts(on: Ground) -> Any:
    queue = await on.queue(maxretries=2)
    await on.push(queue)
    found = []
    for _ in range(2):
        item = await on.popped(queue)
        updated = await on.update(item.id, "retry")
        found.append([updated.state, updated.retries])
    return found


@fact("With ignoremaxretries it goes on beyond.", ["new", 1])
async def beyond(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue(maxretries=1))
    updated = await on.update(item.id, "retry", ignoremaxretries=True)
    return [updated.state, updated.retries]


@fact("A retry of errortype business fails the item and counts nothing.", ["failed", 0])
async def business(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    updated = await on.update(item.id, "retry", errormessage="bad", errortype="business")
    return [updated.state, updated.retries]


@fact("With ignoremaxretries a business error is retried.", ["new", 1])
async def business_beyond(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    error = {"errormessage": "bad", "errortype": "business"}
    updated = await on.update(item.id, "retry", ignoremaxretries=True, **error)
    return [updated.state, updated.retries]


@fact("A retry may name its own time, if that has a fraction of a second.", 90, "native")
async def own_time(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue(retrydelay=5))
    time = now() + timedelta(seconds=90)
    await on.update(item.id, "retry", nextrun=time)
    stored = await on.item(item.id)
    return 90 + seconds_between(stored["nextrun"], time.isoformat())


@fact("A retry's own time in whole seconds is stored as 1970.", "1970", "native", once=True)
async def own_time_whole(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue(retrydelay=5))
    request = pb.UpdateWorkitemRequest(
        workitem=pb.Workitem(_id=item.id, state="retry", payload="null")
    )
    request.workitem.nextrun.FromSeconds(int(now().timestamp()) + 90)
    await on.ask("updateworkitem", request, pb.UpdateWorkitemResponse)
    return str((await on.item(item.id))["nextrun"])[:4]


@fact("A nextrun counts with a retry only.", 0, "native", once=True)
async def time_without_retry(on: Ground) -> Any:
    item = await on.push(await on.queue())
    before = (await on.item(item.id))["nextrun"]
    await on.update(item.id, "", nextrun=now() + timedelta(seconds=90))
    return seconds_between((await on.item(item.id))["nextrun"], before)


@fact(
    "An errormessage without errortype is an application error; both stay afterwards.",
    [["first", "application"], ["first", "application", "processing"]],
)
async def errors_stay(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.pushed_pop(queue)
    await on.update(item.id, "retry", errormessage="first")
    first = await on.item(item.id, "errormessage", "errortype")
    await on.popped(queue)
    second = await on.item(item.id, "errormessage", "errortype", "state")
    return [list(first.values()), list(second.values())]


@fact("An errortype without errormessage acts and is not stored.", ["failed", ""])
async def errortype_alone(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    await on.update(item.id, "retry", errortype="business")
    stored = await on.item(item.id)
    return [stored["state"], stored.get("errortype") or ""]


@fact("Processing on a processing item keeps its lastrun.", True)
async def processing_again(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    before = await on.item(item.id, "lastrun")
    await asyncio.sleep(0.05)
    await on.update(item.id, "processing")
    return before == await on.item(item.id, "lastrun")


@fact("Processing by an update on a new item notes lastrun and no user.", [True, ""])
async def processing_by_update(on: Ground) -> Any:
    item = await on.push(await on.queue())
    await on.update(item.id, "processing")
    stored = await on.item(item.id)
    return [stored.get("lastrun") is not None, stored.get("username") or ""]


@fact("A work item's _version stays 0.", 0, once=True)
async def version(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    await on.update(item.id, "processing")
    await on.update(item.id, "successful")
    return (await on.item(item.id)).get("_version")


@fact("An unknown id is refused.", "Work item  with _id ID not found.")
async def unknown_item(on: Ground) -> Any:
    return await on.refusal(on.update("0123456789abcdef01234567", "successful"))


@fact("A deleted item cannot be updated.", "Work item  with _id ID not found.")
async def deleted(on: Ground) -> Any:
    item = await on.push(await on.queue())
    await on.client.delete_workitem(item.id)
    return await on.refusal(on.update(item.id, "successful"))


@fact(
    "Pushes and pops of a queue that is unknown, or of another case, are refused.",
    [f"Work item queue not found {word} (undefined) not found." for word in ("X", "X", "L")],
)
async def unknown_queue(on: Ground) -> Any:
    queue = await on.queue("q")
    on.names["L"] = queue.name.upper()
    on.name("X")
    return [
        await on.refusal(on.client.push_workitem(on.name("X"), {})),
        await on.refusal(on.client.pop_workitem(on.name("X"))),
        await on.refusal(on.client.pop_workitem(on.name("L"))),
    ]


@fact(
    "An item that is inserted as a document is new and its queue's; it keeps retries and priority.",
    {"state": "new", "retries": 7, "priority": 1, "queue": True},
)
async def inserted(on: Ground) -> Any:
    queue = await on.queue()
    document = {"_type": "workitem", "wiq": queue.name, "state": "failed", "retries": 7}
    stored = await on.client.insert_one("workitems", {**document, "priority": 1, "payload": {}})
    found = await on.item(stored["_id"])
    return {**some(found, "state", "retries", "priority"), "queue": found["wiqid"] == queue.id}


@fact("A document written back as new with a past nextrun is popped again, uncounted.", [True, 0])
async def handed_back(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.pushed_pop(queue)
    stored = await on.item(item.id)
    changed = {**stored, "state": "new", "nextrun": "2020-01-01T00:00:00.500Z"}
    await on.client.update_one("workitems", changed)
    again = await on.popped(queue)
    return [again.id == item.id, again.retries]


@fact(
    "Items of one message come in order, each with its own nextrun; the message's is ignored.",
    [[0, 1, 2], [0, 3600, 0], ["1970"]],
    "native",
    once=True,
)
async def bulk(on: Ground) -> Any:
    queue = await on.queue()
    later = int(now().timestamp()) + 3600
    items = [pb.Workitem(name=f"n{n}", payload=f'{{"n": {n}}}') for n in range(3)]
    items[1].nextrun.FromSeconds(later)
    request = pb.PushWorkitemsRequest(wiq=queue.name, items=items)
    request.nextrun.FromSeconds(later)
    reply = await on.ask("pushworkitems", request, pb.PushWorkitemsResponse)
    stored = [await on.item(one._id) for one in reply.workitems]
    dues = [
        about(wanted, s["nextrun"], s["_created"])
        for wanted, s in zip((0, 3600, 0), stored, strict=True)
    ]
    told = sorted({one.nextrun.ToDatetime().strftime("%Y") for one in reply.workitems})
    return [[s["payload"]["n"] for s in stored], dues, told]


@fact("A message of many items drops the stored files that it attaches.", 0, "native", once=True)
async def bulk_files(on: Ground) -> Any:
    queue = await on.queue()
    id = await on.maker.upload(on.file(f"{on.name('f')}.txt", b"file"))
    files = [pb.WorkitemFile(filename="f.txt", _id=id)]
    request = pb.PushWorkitemsRequest(
        wiq=queue.name, items=[pb.Workitem(name="n", payload="{}", files=files)]
    )
    reply = await on.ask("pushworkitems", request, pb.PushWorkitemsResponse)
    return len((await on.item(reply.workitems[0]._id)).get("files") or ())


@fact("A condition on the state holds for one of two who set it at once.", [1, 0], "native")
async def fence(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    query = {"_id": item.id, "state": "processing", "retries": 0, "closing": {"$exists": False}}

    async def close(token: str) -> int:
        change = {"$set": {"closing": token}}
        return (await on.client.update_document("workitems", query, change)).matched

    return sorted(await asyncio.gather(close("a"), close("b")), reverse=True)


@fact("Fields of one's own on an item stay through an update.", "token", "native")
async def own_fields(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    change = {"$set": {"closing": "token"}}
    await on.client.update_document("workitems", {"_id": item.id}, change)
    await on.update(item.id, "successful")
    return (await on.item(item.id)).get("closing")


@fact("Dates in a condition are not converted: one on lastrun matches nothing.", 0, "native")
async def fence_on_dates(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    lastrun = (await on.item(item.id))["lastrun"]
    query = {"_id": item.id, "lastrun": lastrun}
    return (await on.client.update_document("workitems", query, {"$set": {"seen": 1}})).matched


@fact("In a query they are, so one on lastrun finds the item.", 1)
async def dates_in_queries(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.pushed_pop(queue)
    lastrun = (await on.item(item.id))["lastrun"]
    return len(await on.client.query("workitems", {"wiq": queue.name, "lastrun": lastrun}))


@fact("An $or beside an _id is lost in a conditional update.", 1, "native", source=READ, once=True)
async def or_is_lost(on: Ground) -> Any:
    item = await on.push(await on.queue())
    query = {"_id": item.id, "$or": [{"state": "failed"}, {"gone": 1}]}
    return (await on.client.update_document("workitems", query, {"$set": {"seen": 1}})).matched


KEYS = (
    *("_acl", "_created", "_createdby", "_id", "_modified", "_modifiedby", "_type", "_version"),
    *("files", "lastrun", "name", "payload", "priority", "retries", "state", "userid"),
    *("username", "wiq", "wiqid"),
)


@fact(f"A popped item's document has the keys {', '.join(KEYS)}.", [], once=True)
async def keys(on: Ground) -> Any:
    item = await on.pushed_pop(await on.queue())
    stored = await on.item(item.id)
    return [key for key in KEYS if key not in stored]


@fact("What a pop returns is sent back as it is and finishes the item.", ["successful", {"n": 1}])
async def sent_back(on: Ground) -> Any:
    queue = await on.queue()
    item: Workitem = await on.pushed_pop(queue, {"n": 1})
    item.state = "successful"
    await on.client.update_workitem(item)
    return list((await on.item(item.id, "state", "payload")).values())
