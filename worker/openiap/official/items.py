"""Work items between Python and the structures of the official library."""

import json
from collections.abc import Sequence
from ctypes import POINTER, cast, pointer
from datetime import UTC, datetime
from typing import Any

from worker.openiap.official import abi as abi
from worker.openiap.values import payload_text
from worker.openiap.workitem import SMALL, JsonObject, Workitem, WorkitemFile


def native_text(text: str) -> bytes:
    """Return text as the library can take it: UTF-8, ended by a zero byte.

    A zero byte inside would silently cut the text off and a lone surrogate would empty it, so both
    are written as escapes, which inside JSON mean the very same characters.
    """
    return text.encode("utf-8", "backslashreplace").replace(b"\0", b"\\u0000")


def _moment(seconds: int) -> datetime | None:
    # Times travel in whole seconds here, 0 for none.
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def parsed_payload(text: bytes) -> JsonObject:
    """Return an item's payload; what is no JSON object comes as ``{"value": …}``.

    An item in hand is never given up for an odd payload: it is in ``processing`` already.
    """
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {"value": text.decode("utf-8", "replace")}
    return found if isinstance(found, dict) else {"value": found}


def decoded_workitem(found: Any) -> Workitem | None:
    """Copy a native work item into a Python one; None when there is none.

    Args:
        found: a pointer to ``abi.Workitem``, null for none.
    """
    if not found:
        return None
    native = found[0]

    def text(value: bytes | None) -> str:
        return value.decode("utf-8", "replace") if value else ""

    payload = native.payload or b""
    return Workitem(
        id=text(native.id),
        name=text(native.name),
        payload=parsed_payload(payload),
        priority=native.priority,
        nextrun=_moment(native.nextrun),
        lastrun=_moment(native.lastrun),
        files=[
            WorkitemFile(text(native.files[index][0].filename), text(native.files[index][0].id))
            for index in range(native.files_len)
        ],
        state=text(native.state),
        wiq=text(native.wiq),
        wiqid=text(native.wiqid),
        retries=native.retries,
        username=text(native.username),
        success_wiqid=text(native.success_wiqid),
        failed_wiqid=text(native.failed_wiqid),
        success_wiq=text(native.success_wiq),
        failed_wiq=text(native.failed_wiq),
        errormessage=text(native.errormessage),
        errorsource=text(native.errorsource),
        errortype=text(native.errortype),
        size=len(payload),
        came=text(payload) if len(payload) <= SMALL else "",
    )


def encoded_workitem(item: Workitem) -> abi.Workitem:
    """Return an item for an update: no times ever, and no files.

    In whole seconds, all that the library can send, the server stores a ``nextrun`` as 1970 and the
    item is popped again at once (server.md, Update). Files travel beside the item.

    Raises:
        TypeError, ValueError: the payload has no JSON form.
    """
    return abi.Workitem(
        id=native_text(item.id),
        name=native_text(item.name),
        payload=native_text("null" if item.payload is None else payload_text(item)),
        priority=item.priority,
        state=native_text(item.state),
        wiq=native_text(item.wiq),
        wiqid=native_text(item.wiqid),
        retries=item.retries,
        username=native_text(item.username),
        success_wiqid=native_text(item.success_wiqid),
        failed_wiqid=native_text(item.failed_wiqid),
        success_wiq=native_text(item.success_wiq),
        failed_wiq=native_text(item.failed_wiq),
        errormessage=native_text(item.errormessage),
        errorsource=native_text(item.errorsource),
        errortype=native_text(item.errortype),
    )


def attach_files(
    request: abi.PushRequest | abi.UpdateRequest, files: Sequence[WorkitemFile]
) -> None:
    """Put stored files (or, without an id, names to remove) into a request."""
    if not files:
        return
    array = (POINTER(abi.File) * len(files))(
        *[
            pointer(abi.File(filename=native_text(file.filename), id=native_text(file.id)))
            for file in files
        ]
    )
    # The cast keeps the array alive as long as the request.
    request.files = cast(array, POINTER(POINTER(abi.File)))
    request.files_len = len(files)
