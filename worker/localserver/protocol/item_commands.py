"""The commands of work items and their queues."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from worker.localserver.operations.queues import DELAYS, TEXTS
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
from worker.localserver.storage.item_rules import StoredItem
from worker.openiap.wire import openiap_pb2 as pb


def push(call: Call, request: pb.PushWorkitemRequest) -> Message:
    """Add one item."""
    services = call.services
    queue = services.queues.require(request.wiq, request.wiqid)
    new = _new_item(call, request, request)
    item = services.workitems.push(queue, new, request.files, call.user, services.now())
    return pb.PushWorkitemResponse(workitem=_sent(call, item))


def push_many(call: Call, request: pb.PushWorkitemsRequest) -> Message:
    """Add many items; what the request says for all of them counts where an item is silent."""
    services = call.services
    queue = services.queues.require(request.wiq, request.wiqid)
    now = services.now()
    reply = pb.PushWorkitemsResponse()
    for one in request.items:
        new = _new_item(call, one, request)
        item = services.workitems.push(queue, new, one.files, call.user, now)
        reply.workitems.append(_sent(call, item))
    return reply


def pop(call: Call, request: pb.PopWorkitemRequest) -> Message:
    """Take the next item of a queue; a reply without an item means there is none."""
    services = call.services
    queue = services.queues.require(request.wiq, request.wiqid)
    item = services.workitems.pop(queue, call.user, services.now())
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
    stored = services.workitems.find(request.workitem._id)
    wanted = update_of(
        request,
        stored=None if stored is None else stored.payload,
        chains=not faults.ignore_item_chains,
        whole_seconds_are_1970=faults.whole_second_nextrun_is_1970,
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
    call.services.workitems.delete(request._id)
    return pb.DeleteWorkitemResponse()


def add_queue(call: Call, request: pb.AddWorkItemQueueRequest) -> Message:
    """Make a queue."""
    document = call.services.queues.add(
        _queue_values(request.workitemqueue), call.user, call.services.now()
    )
    return pb.AddWorkItemQueueResponse(workitemqueue=_queue_message(document))


def update_queue(call: Call, request: pb.UpdateWorkItemQueueRequest) -> Message:
    """Change a queue's settings, purge it, or both."""
    services = call.services
    values = _queue_values(request.workitemqueue)
    document = services.queues.document(request.workitemqueue._id, request.workitemqueue.name)
    # A purge that names the queue and nothing else does not mean to reset its settings.
    settings = {key for key, value in values.items() if value} - {"_id", "name"}
    if settings or not request.purge:
        document = services.queues.update(document, values, call.user, services.now())
    if request.purge:
        services.workitems.purge(str(document["_id"]))
    return pb.UpdateWorkItemQueueResponse(workitemqueue=_queue_message(document))


def delete_queue(call: Call, request: pb.DeleteWorkItemQueueRequest) -> Message:
    """Remove a queue; one with items only together with them."""
    services = call.services
    document = services.queues.document(request.wiqid, request.wiq)
    queue_id = str(document["_id"])
    if request.purge:
        services.workitems.purge(queue_id)
    elif services.item_table.count("wiqid = ?", [queue_id]):
        raise RefusedError(
            f"Work item queue {document['name']} is not empty, enable purge to delete"
        )
    services.queues.remove(document)
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
    return message_of(item, chains=not call.services.options.faults.ignore_item_chains)


def _new_item(
    call: Call,
    one: pb.PushWorkitemRequest | pb.Workitem,
    common: pb.PushWorkitemRequest | pb.PushWorkitemsRequest,
) -> NewItem:
    chains = not call.services.options.faults.ignore_item_chains
    nextrun = None
    for message in (one, common):
        if message.HasField("nextrun") and _is_set(message.nextrun):
            nextrun = milliseconds(message.nextrun)
            break
    return NewItem(
        payload=pushed_payload(one.payload),
        name=one.name,
        priority=one.priority or common.priority,
        nextrun=nextrun,
        success_wiq=(one.success_wiq or common.success_wiq) if chains else "",
        success_wiqid=(one.success_wiqid or common.success_wiqid) if chains else "",
        failed_wiq=(one.failed_wiq or common.failed_wiq) if chains else "",
        failed_wiqid=(one.failed_wiqid or common.failed_wiqid) if chains else "",
    )


def _is_set(stamp: Timestamp) -> bool:
    return bool(stamp.seconds or stamp.nanos)


def _queue_values(message: pb.WorkItemQueue) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: getattr(message, name) for name in ("_id", "name", "maxretries", *DELAYS, *TEXTS)
    }
    values["_acl"] = [
        {"_id": ace._id, "deny": ace.deny, "rights": ace.rights} for ace in message._acl
    ]
    return values


def _queue_message(document: dict[str, Any]) -> pb.WorkItemQueue:
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
    for name in TEXTS:
        setattr(message, name, str(document.get(name) or ""))
    for name in DELAYS:
        setattr(message, name, int(document.get(name) or 0))
    for name in ("_created", "_modified"):
        moment = json_text.read_date(document.get(name))
        if moment is not None:
            getattr(message, name).FromMilliseconds(moment)
    return message
