"""Work items between the protocol's messages and what is stored; pure."""

from google.protobuf.timestamp_pb2 import Timestamp

from worker.localserver.storage import json_text
from worker.localserver.storage.item_rules import (
    ItemUpdate,
    StoredItem,
    payload_of_push,
    payload_of_update,
)
from worker.openiap.wire import openiap_pb2 as pb


def milliseconds(stamp: Timestamp) -> int:
    """Return a protocol time as milliseconds since 1970."""
    return stamp.seconds * 1000 + stamp.nanos // 1_000_000


def _set_time(stamp: Timestamp, value: int) -> None:
    stamp.seconds, rest = divmod(value, 1000)
    stamp.nanos = rest * 1_000_000


def message_of(item: StoredItem, *, chains: bool) -> pb.Workitem:
    """Return an item as the protocol sends it.

    Args:
        item: the stored item.
        chains: whether to tell the queues it goes to when it is finished; OpenIAP never does.
    """
    message = pb.Workitem(
        _id=item.id,
        name=item.name,
        payload=item.payload,
        priority=item.priority,
        state=item.state,
        wiq=item.wiq,
        wiqid=item.wiqid,
        retries=item.retries,
        username=item.username,
        errormessage=item.errormessage,
        errorsource=item.errorsource,
        errortype=item.errortype,
    )
    if item.nextrun is not None:
        _set_time(message.nextrun, item.nextrun)
    if item.lastrun is not None:
        _set_time(message.lastrun, item.lastrun)
    for file in item.files:
        message.files.add(
            filename=str(file.get("filename") or file.get("name") or ""),
            _id=str(file.get("_id") or ""),
        )
    if chains:
        message.success_wiq = item.success_wiq
        message.success_wiqid = item.success_wiqid
        message.failed_wiq = item.failed_wiq
        message.failed_wiqid = item.failed_wiqid
    return message


def update_of(
    request: pb.UpdateWorkitemRequest,
    *,
    stored: str | None,
    chains: bool,
    whole_seconds_are_1970: bool,
) -> ItemUpdate:
    """Return what an update asks for.

    Args:
        request: as it arrived.
        stored: the payload that the item has; None where there is no such item.
        chains: whether the target queues in it count; OpenIAP does not see them.
        whole_seconds_are_1970: OpenIAP's bug with a ``nextrun`` without nanoseconds.

    Raises:
        RefusedError: the payload is not JSON; it is mandatory.
    """
    item = request.workitem
    payload = None
    if item.payload != stored:  # most handlers return nothing: what was popped comes back
        value = payload_of_update(json_text.parse(item.payload))
        payload = None if value is None else json_text.write_plain(value)
    nextrun = None
    if item.HasField("nextrun") and (item.nextrun.seconds or item.nextrun.nanos):
        nextrun = milliseconds(item.nextrun)
        if whole_seconds_are_1970 and not (item.nextrun.seconds and item.nextrun.nanos):
            nextrun = 0
    return ItemUpdate(
        state=item.state,
        payload=payload,
        nextrun=nextrun,
        name=item.name,
        priority=item.priority,
        errormessage=item.errormessage,
        errorsource=item.errorsource,
        errortype=item.errortype,
        success_wiq=item.success_wiq if chains else "",
        success_wiqid=item.success_wiqid if chains else "",
        failed_wiq=item.failed_wiq if chains else "",
        failed_wiqid=item.failed_wiqid if chains else "",
        ignoremaxretries=request.ignoremaxretries,
    )


def pushed_payload(text: str) -> str:
    """Return the payload to store for a push; no text at all is an empty payload.

    Raises:
        RefusedError: it is not JSON.
    """
    return json_text.write_plain(payload_of_push(json_text.parse(text) if text else None))
