"""The commands of work items and their queues."""

from collections.abc import Awaitable, Mapping
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from worker.localserver.operations.queues import CHAIN, DELAYS, TEXTS
from worker.localserver.operations.workitems import NewItem, no_such_item
from worker.localserver.protocol.command import Call, Command
from worker.localserver.protocol.item_wire import (
    message_of,
    milliseconds,
    pushed_payload,
    update_of,
)
from worker.localserver.storage import json_text
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.item_rules import Queue, StoredItem
from worker.localserver.storage.item_table import COLLECTION
from worker.openiap.wire import openiap_pb2 as pb


def push(call: Call, request: pb.PushWorkitemRequest) -> Message:
    """Add one item."""
    services = call.services
    queue = services.queues.require(request.wiq, request.wiqid, call.user)
    new = _new_item(call, request, request)
    item = services.workitems.push(queue, new, request.files, call.user, services.now())
    return pb.PushWorkitemResponse(workitem=_sent(call, item))


def push_many(call: Call, request: pb.PushWorkitemsRequest) -> Message:
    """Add many items: as on OpenIAP, time, priority and files count in each item alone, files by
    their contents alone, and the answer tells every time as 1970."""
    services = call.services
    queue = services.queues.require(request.wiq, request.wiqid, call.user)
    now = services.now()
    reply = pb.PushWorkitemsResponse()
    for one in request.items:
        new = _new_item(call, one, request)
        whole = [file for file in one.files if file.file]
        item = services.workitems.push(queue, new, whole, call.user, now)
        sent = _sent(call, item)
        sent.nextrun.Clear()
        sent.nextrun.SetInParent()
        reply.workitems.append(sent)
    return reply


def pop(call: Call, request: pb.PopWorkitemRequest) -> Message | Awaitable[Message]:
    """Take the next item of a queue; a reply without an item means there is none."""
    services = call.services
    queue = services.queues.require(request.wiq, request.wiqid, call.user)
    if services.options.pop_contention:
        return _pop_in_loop(call, request, queue)
    return _popped(call, request, services.workitems.pop(queue, call.user, services.now()))


async def _pop_in_loop(call: Call, request: pb.PopWorkitemRequest, queue: Queue) -> Message:
    return _popped(call, request, await call.services.pop_loop.pop(queue, call.user))


def _popped(call: Call, request: pb.PopWorkitemRequest, item: StoredItem | None) -> Message:
    services = call.services
    if item is None:
        return pb.PopWorkitemResponse()
    reply = pb.PopWorkitemResponse(workitem=_sent(call, item))
    if request.includefiles and item.files:
        services.workitems.contents(item, reply.workitem, compressed=request.compressed)
    return reply


def update(call: Call, request: pb.UpdateWorkitemRequest) -> Message:
    """Change an item: write it back, hand it back, finish it."""
    services = call.services
    faults = services.options.faults
    stored = services.workitems.find(request.workitem._id, call.user)
    wanted = update_of(
        request,
        stored=None if stored is None else stored.payload,
        chains=services.chains,
        whole_seconds_are_1970=services.options.strict or faults.whole_second_nextrun_is_1970,
    )
    files = [*request.workitem.files, *request.files]
    sent = {file.filename for file in request.files}
    # Clients send back the files of the item that they popped, by id, beside the new ones.
    files = [
        file
        for index, file in enumerate(files)
        if index >= len(request.workitem.files)
        or (file.filename not in sent and (file._id or file.file))
    ]
    if stored is None:
        raise no_such_item(request.workitem._id)
    item = services.workitems.update(stored, wanted, files, call.user, services.now())
    return pb.UpdateWorkitemResponse(workitem=_sent(call, item))


def delete(call: Call, request: pb.DeleteWorkitemRequest) -> Message:
    """Remove an item."""
    call.services.workitems.delete(request._id, call.user)
    return pb.DeleteWorkitemResponse()


def add_queue(call: Call, request: pb.AddWorkItemQueueRequest) -> Message:
    """Make a queue."""
    document = call.services.queues.add(
        _queue_values(call, request.workitemqueue),
        call.user,
        call.services.now(),
        skiprole=request.skiprole,
    )
    return pb.AddWorkItemQueueResponse(workitemqueue=_queue_message(call, document))


def update_queue(call: Call, request: pb.UpdateWorkItemQueueRequest) -> Message:
    """Change a queue's settings, purge it, or both."""
    services = call.services
    values = _queue_values(call, request.workitemqueue)
    named = request.workitemqueue
    if not named._id and not named.name:
        raise RefusedError("Name or _id is mandatory")
    document = services.queues.document(named._id, named.name, call.user)
    document = services.queues.update(document, values, call.user, services.now())
    if request.purge:
        services.workitems.purge(document, call.user)
    return pb.UpdateWorkItemQueueResponse(workitemqueue=_queue_message(call, document))


def delete_queue(call: Call, request: pb.DeleteWorkItemQueueRequest) -> Message:
    """Remove a queue; one with items only together with them."""
    services = call.services
    if not request.wiqid and not request.wiq:
        raise RefusedError("Name or _id is mandatory")
    document = services.queues.document(request.wiqid, request.wiq, call.user)
    if request.purge:
        services.workitems.purge(document, call.user)
    elif services.queries.count(COLLECTION, {"wiqid": document["_id"]}, call.user):
        raise RefusedError(
            f"Work item queue {document['name']} is not empty, enable purge to delete"
        )
    services.queues.remove(document, call.user)
    return pb.DeleteWorkItemQueueResponse()


COMMANDS: Final[Mapping[str, Command]] = {
    "pushworkitem": Command(pb.PushWorkitemRequest, push, writes=True),
    "pushworkitems": Command(pb.PushWorkitemsRequest, push_many, writes=True),
    "popworkitem": Command(pb.PopWorkitemRequest, pop, writes=True),
    "updateworkitem": Command(pb.UpdateWorkitemRequest, update, writes=True),
    "deleteworkitem": Command(pb.DeleteWorkitemRequest, delete, writes=True),
    "addworkitemqueue": Command(pb.AddWorkItemQueueRequest, add_queue, writes=True),
    "updateworkitemqueue": Command(pb.UpdateWorkItemQueueRequest, update_queue, writes=True),
    "deleteworkitemqueue": Command(pb.DeleteWorkItemQueueRequest, delete_queue, writes=True),
}


def _sent(call: Call, item: StoredItem) -> pb.Workitem:
    return message_of(item, chains=call.services.chains)


def _new_item(
    call: Call,
    one: pb.PushWorkitemRequest | pb.Workitem,
    common: pb.PushWorkitemRequest | pb.PushWorkitemsRequest,
) -> NewItem:
    chains = call.services.chains
    nextrun = None
    if one.HasField("nextrun") and _is_set(one.nextrun):
        nextrun = milliseconds(one.nextrun)
    return NewItem(
        payload=pushed_payload(one.payload),
        name=one.name,
        priority=one.priority,
        nextrun=nextrun,
        success_wiq=(one.success_wiq or common.success_wiq) if chains else "",
        success_wiqid=(one.success_wiqid or common.success_wiqid) if chains else "",
        failed_wiq=(one.failed_wiq or common.failed_wiq) if chains else "",
        failed_wiqid=(one.failed_wiqid or common.failed_wiqid) if chains else "",
    )


def _is_set(stamp: Timestamp) -> bool:
    return bool(stamp.seconds or stamp.nanos)


def _queue_values(call: Call, message: pb.WorkItemQueue) -> dict[str, Any]:
    names = ("_id", "name", "maxretries", *DELAYS, *TEXTS, *(CHAIN if call.services.chains else ()))
    values: dict[str, Any] = {name: getattr(message, name) for name in names}
    values["_acl"] = [
        {"_id": ace._id, "deny": ace.deny, "rights": ace.rights} for ace in message._acl
    ]
    return values


def _queue_message(call: Call, document: dict[str, Any]) -> pb.WorkItemQueue:
    message = pb.WorkItemQueue(
        _id=str(document["_id"]),
        name=str(document["name"]),
        maxretries=int(document["maxretries"]),
        _createdby=str(document.get("_createdby") or ""),
        _createdbyid=str(document.get("_createdbyid") or ""),
        _modifiedby=str(document.get("_modifiedby") or ""),
        _modifiedbyid=str(document.get("_modifiedbyid") or ""),
        _version=int(document.get("_version") or 0),
    )
    for name in (*TEXTS, "usersrole", *(CHAIN if call.services.chains else ())):
        setattr(message, name, str(document.get(name) or ""))
    for ace in document.get("_acl") or []:
        message._acl.add(_id=str(ace["_id"]), rights=int(ace["rights"]))
    for name in DELAYS:
        setattr(message, name, int(document.get(name) or 0))
    for name in ("_created", "_modified"):
        moment = json_text.read_date(document.get(name))
        if moment is not None:
            getattr(message, name).FromMilliseconds(moment)
    return message
