"""Requests that have one reply: what each is on the wire, and the way that all of them take."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from google.protobuf.message import Message

from worker.openiap.large import apart, is_large
from worker.openiap.native.link import Link
from worker.openiap.native.scope import current_scope
from worker.openiap.types import UpdateResult
from worker.openiap.wire import messages
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.messages import wire_text
from worker.openiap.workitem import Workitem, WorkitemFile, WorkItemQueue


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on the wire.

    Attributes:
        command: the protocol's name.
        request: builds the request from its fields.
        reply: the type of the reply.
        answer: reply → what the caller is given.
    """

    command: str
    request: Callable[..., Message]
    reply: type[Message]
    answer: Callable[[Any], Any]


def _operation(
    name: str, answer: Callable[[Any], Any], request: Callable[..., Message] | None = None
) -> Operation:
    """Find command and messages by the protocol's one rule for their names."""
    return Operation(
        name.lower(),
        request or getattr(pb, f"{name}Request"),
        getattr(pb, f"{name}Response"),
        answer,
    )


def _nothing(reply: Message) -> None:
    return None


def _push(
    nextrun: datetime | None, files: Sequence[WorkitemFile], **fields: Any
) -> pb.PushWorkitemRequest:
    return pb.PushWorkitemRequest(
        nextrun=None if nextrun is None else messages.timestamp(nextrun),
        files=messages.file_messages(files),
        **fields,
    )


def _push_many(items: Sequence[Workitem], **fields: Any) -> pb.PushWorkitemsRequest:
    """Say everything in each item: what the request says for all of them is ignored by OpenIAP."""
    return pb.PushWorkitemsRequest(
        items=[messages.workitem_message(item) for item in items], **fields
    )


def _update(
    workitem: Workitem, files: Sequence[WorkitemFile], ignoremaxretries: bool
) -> pb.UpdateWorkitemRequest:
    request = pb.UpdateWorkitemRequest(
        workitem=messages.workitem_message(workitem), ignoremaxretries=ignoremaxretries
    )
    if files:
        request.files.extend(messages.file_messages(files))
    return request


def _add_queue(queue: WorkItemQueue, skiprole: bool) -> pb.AddWorkItemQueueRequest:
    return pb.AddWorkItemQueueRequest(
        workitemqueue=messages.queue_message(queue), skiprole=skiprole
    )


def _update_queue(
    queue: WorkItemQueue, skiprole: bool, purge: bool
) -> pb.UpdateWorkItemQueueRequest:
    return pb.UpdateWorkItemQueueRequest(
        workitemqueue=messages.queue_message(queue), skiprole=skiprole, purge=purge
    )


def _workitem(reply: Any) -> Workitem:
    return messages.workitem(reply.workitem)


def _workitems(reply: pb.PushWorkitemsResponse) -> list[Workitem]:
    return [messages.workitem(found) for found in reply.workitems]


def _queue(reply: Any) -> WorkItemQueue:
    return messages.queue(reply.workitemqueue)


def _changed(reply: pb.UpdateDocumentResponse) -> UpdateResult:
    return UpdateResult(reply.opresult.matchedCount, reply.opresult.modifiedCount)


def _values(reply: pb.DistinctResponse) -> list[str]:
    return list(reply.results)


_RESULT: Final = attrgetter("result")
_RESULTS: Final = attrgetter("results")
_AFFECTED: Final = attrgetter("affectedrows")

OPERATIONS: Final[Mapping[str, Operation]] = {
    "list_collections": _operation("ListCollections", _RESULTS),
    "create_collection": _operation("CreateCollection", _nothing),
    "drop_collection": _operation("DropCollection", _nothing),
    "get_indexes": _operation("GetIndexes", _RESULTS),
    "create_index": _operation("CreateIndex", _RESULT),
    "drop_index": _operation("DropIndex", _nothing),
    "query": _operation("Query", _RESULTS),
    "aggregate": _operation("Aggregate", _RESULTS),
    "count": _operation("Count", _RESULT),
    "distinct": _operation("Distinct", _values),
    "insert_one": _operation("InsertOne", _RESULT),
    "insert_many": _operation("InsertMany", _RESULTS),
    "update_one": _operation("UpdateOne", _RESULT),
    "update_document": _operation("UpdateDocument", _changed),
    "insert_or_update_one": _operation("InsertOrUpdateOne", _RESULT),
    "insert_or_update_many": _operation("InsertOrUpdateMany", _RESULTS),
    "delete_one": _operation("DeleteOne", _AFFECTED),
    "delete_many": _operation("DeleteMany", _AFFECTED),
    "push_workitem": _operation("PushWorkitem", _workitem, _push),
    "push_workitems": _operation("PushWorkitems", _workitems, _push_many),
    "update_workitem": _operation("UpdateWorkitem", _workitem, _update),
    "delete_workitem": _operation(
        "DeleteWorkitem", _nothing, lambda id: pb.DeleteWorkitemRequest(_id=id)
    ),
    "add_workitem_queue": _operation("AddWorkItemQueue", _queue, _add_queue),
    "update_workitem_queue": _operation("UpdateWorkItemQueue", _queue, _update_queue),
    "delete_workitem_queue": _operation("DeleteWorkItemQueue", _nothing),
    "queue_message": _operation("QueueMessage", _nothing),
    "custom_command": _operation("CustomCommand", _RESULT),
}


class Operations:
    """Sends the requests of one client; an ``OperationBackend``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def call(
        self, operation: str, seconds: float, item_id: str, fields: Mapping[str, Any]
    ) -> Any:
        """Send a request and return what its reply carries."""
        known = OPERATIONS[operation]
        if _large(fields):
            request = await apart(True, _request, known, fields)
        else:
            request = _request(known, fields)
        link = self._link
        reply = await link.session_for(operation, item_id).request(
            operation,
            known.command,
            request,
            known.reply,
            seconds,
            item_id=item_id,
            scope=current_scope(link),
        )
        return known.answer(reply)

    async def pop_workitem(
        self, wiq: str, wiqid: str, seconds: float, late: Callable[[Workitem], None]
    ) -> Workitem | None:
        """Take the next due item, or None when there is none."""

        def came_late(reply: pb.PopWorkitemResponse) -> None:
            if reply.HasField("workitem"):
                late(messages.workitem(reply.workitem))

        link = self._link
        future = link.session_for("pop_workitem").request(
            "pop_workitem",
            "popworkitem",
            pb.PopWorkitemRequest(wiq=wire_text(wiq), wiqid=wiqid),
            pb.PopWorkitemResponse,
            seconds,
            scope=current_scope(link),
            on_late=came_late,
        )
        try:
            reply = await future
        except asyncio.CancelledError:
            # The answer may be here already, with the caller cancelled before it could look.
            if not future.cancelled() and future.exception() is None:
                came_late(future.result())
            raise
        return messages.workitem(reply.workitem) if reply.HasField("workitem") else None


def _request(known: Operation, fields: Mapping[str, Any]) -> Message:
    try:
        return known.request(**fields)
    except UnicodeEncodeError:
        # Rare, so the check costs nothing where all is well.
        return known.request(**{name: _encodable(value) for name, value in fields.items()})


def _large(fields: Mapping[str, Any]) -> bool:
    """Whether the values of items are still to be written, and are large."""
    item, items = fields.get("workitem"), fields.get("items")
    if isinstance(item, Workitem):
        return is_large(item.payload)
    return isinstance(items, list) and is_large([one.payload for one in items])


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return wire_text(value)
    if isinstance(value, list):
        return [_encodable(one) for one in value]
    return value
