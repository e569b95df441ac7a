"""Work items and queues between Python values and the protocol's messages; pure functions."""

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from worker.openiap.fields import number
from worker.openiap.payload import payload
from worker.openiap.values import payload_text
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.workitem import Workitem, WorkitemFile, WorkItemQueue, later

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def wire_text(text: str) -> str:
    """Return text as a protobuf string can carry it.

    A lone surrogate has no UTF-8 form; written as an escape it means the same inside JSON.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment for the wire: in milliseconds, rounded up, and with nanos that are never 0.

    OpenFlow keeps milliseconds and cuts off the rest, and an item is never due before its time. It
    honours an explicit ``nextrun`` in an update only if its seconds and its nanos are both non-zero
    (server.md, Update), so a whole second travels as one microsecond later.
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    milliseconds = -((_EPOCH - aware) // _MILLISECOND)
    seconds, rest = divmod(milliseconds, 1000)
    return Timestamp(seconds=seconds, nanos=rest * 1_000_000 or 1000)


def moment(stamp: Timestamp) -> datetime | None:
    """Return a moment from the wire; None when it is none that Python can hold."""
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        return None


def workitem(found: pb.Workitem) -> Workitem:
    """Return a work item as the client gives it."""
    files, text = found.files, found.payload
    is_later = later(text)
    content, well_known = ({}, True) if is_later else payload(text)
    item = Workitem(
        id=found._id,
        name=found.name,
        payload=content,
        priority=found.priority,
        nextrun=moment(found.nextrun) if found.HasField("nextrun") else None,
        lastrun=moment(found.lastrun) if found.HasField("lastrun") else None,
        files=[WorkitemFile(file.filename, file._id) for file in files] if files else [],
        state=found.state,
        wiq=found.wiq,
        wiqid=found.wiqid,
        retries=found.retries,
        username=found.username,
        success_wiqid=found.success_wiqid,
        failed_wiqid=found.failed_wiqid,
        success_wiq=found.success_wiq,
        failed_wiq=found.failed_wiq,
        errormessage=found.errormessage,
        errorsource=found.errorsource,
        errortype=found.errortype,
        size=len(text),
        text=text if well_known else "",
    )
    if is_later:
        del item.payload
    return item


def workitem_message(item: Workitem) -> pb.Workitem:
    """Return a work item for the wire, without its files: they travel beside it.

    Raises:
        TypeError, ValueError: the payload has no JSON form.
    """
    text = "null" if item.payload is None else payload_text(item)
    try:
        message = _filled(item, text)
    except UnicodeEncodeError:
        # Rare, so the check costs nothing where all is well.
        message = _filled(_encodable(item), wire_text(text))
    if item.nextrun is not None:
        message.nextrun.CopyFrom(timestamp(item.nextrun))
    return message


def _filled(item: Workitem, payload: str) -> pb.Workitem:
    return pb.Workitem(
        _id=item.id,
        name=item.name,
        payload=payload,
        priority=item.priority,
        state=item.state,
        wiq=item.wiq,
        wiqid=item.wiqid,
        retries=item.retries,
        username=item.username,
        success_wiqid=item.success_wiqid,
        failed_wiqid=item.failed_wiqid,
        success_wiq=item.success_wiq,
        failed_wiq=item.failed_wiq,
        errormessage=item.errormessage,
        errorsource=item.errorsource,
        errortype=item.errortype,
    )


def _encodable(item: Workitem) -> Workitem:
    texts: dict[str, Any] = {
        field.name: wire_text(value)
        for field in fields(item)
        if isinstance(value := getattr(item, field.name), str)
    }
    return replace(item, **texts)


def file_messages(files: Iterable[WorkitemFile]) -> list[pb.WorkitemFile]:
    """Return stored files, and without an id the names to remove, for the wire."""
    return [pb.WorkitemFile(filename=wire_text(file.filename), _id=file.id) for file in files]


def queue(found: pb.WorkItemQueue) -> WorkItemQueue:
    """Return a work item queue as the client gives it."""
    return WorkItemQueue(
        name=found.name,
        id=found._id,
        maxretries=found.maxretries,
        retrydelay=found.retrydelay,
        initialdelay=found.initialdelay,
        amqpqueue=found.amqpqueue,
        robotqueue=found.robotqueue,
        workflowid=found.workflowid,
        projectid=found.projectid,
        usersrole=found.usersrole,
        packageid=found.packageid,
        success_wiqid=found.success_wiqid,
        failed_wiqid=found.failed_wiqid,
        success_wiq=found.success_wiq,
        failed_wiq=found.failed_wiq,
        acl=[{"_id": ace._id, "deny": ace.deny, "rights": ace.rights} for ace in found._acl],
    )


def queue_message(queue: WorkItemQueue) -> pb.WorkItemQueue:
    """Return a work item queue for the wire."""
    return pb.WorkItemQueue(
        name=wire_text(queue.name),
        _id=queue.id,
        maxretries=queue.maxretries,
        retrydelay=queue.retrydelay,
        initialdelay=queue.initialdelay,
        amqpqueue=wire_text(queue.amqpqueue),
        robotqueue=wire_text(queue.robotqueue),
        workflowid=queue.workflowid,
        projectid=queue.projectid,
        usersrole=wire_text(queue.usersrole),
        packageid=queue.packageid,
        success_wiqid=queue.success_wiqid,
        failed_wiqid=queue.failed_wiqid,
        success_wiq=wire_text(queue.success_wiq),
        failed_wiq=wire_text(queue.failed_wiq),
        _acl=[
            pb.Ace(
                _id=str(ace.get("_id", "")),
                deny=bool(ace.get("deny")),
                rights=number(ace.get("rights")),
            )
            for ace in queue.acl
        ],
    )
