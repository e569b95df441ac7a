"""Requests that have one reply, through the functions of the official library."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from ctypes import byref
from typing import Any, Final

from worker.openiap.errors import Unsupported
from worker.openiap.large import is_large
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.functions import NativeFunction
from worker.openiap.official.items import native_text
from worker.openiap.official.library import scratch_folder
from worker.openiap.official.library_client import LibraryClient
from worker.openiap.official.link import Link
from worker.openiap.official.pending_call import PendingCall
from worker.openiap.official.platform import INSTEAD, no_such_folder, scratch_files
from worker.openiap.official.requests import encoded
from worker.openiap.part_file import discard
from worker.openiap.values import json_text, objects_from_text
from worker.openiap.workitem import Workitem

LIBRARY_DEFAULT: Final = -1
"""Seconds; a negative number leaves the library's own, which is longer than any deadline here."""

UNSUPPORTED: Final[Mapping[str, str]] = {
    "update_document": "has no conditional updates",
    "push_workitems": "never pushes in bulk",
    "add_workitem_queue": "never administrates queues",
    "update_workitem_queue": "never administrates queues",
    "delete_workitem_queue": "never administrates queues",
}


class Operations:
    """Makes the calls of one client; an ``OperationBackend``."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._composed: Final[
            Mapping[str, Callable[[float, Mapping[str, Any]], Awaitable[Any]]]
        ] = {
            "insert_or_update_many": self._insert_or_update_each,
            "queue_message": self._queue_message,
            "custom_command": self._custom_command,
        }

    def call(
        self, operation: str, seconds: float, item_id: str, fields: Mapping[str, Any]
    ) -> Awaitable[Any]:
        """Make a call and return its answer.

        Raises:
            Unsupported: the library has no such function.
        """
        function = functions.OPERATIONS.get(operation)
        if function is None:
            composed = self._composed.get(operation)
            if composed is None:
                raise Unsupported(
                    f"the official library {UNSUPPORTED[operation]}: {INSTEAD}",
                    operation=operation,
                )
            return composed(seconds, fields)
        item = fields.get("workitem")
        if isinstance(item, Workitem) and is_large(item.payload):
            return self._call_large(function, operation, seconds, item_id, fields)
        call = PendingCall(self._link.signed_in(operation, item_id))
        call.start(function, *_arguments(function, fields))
        return call.answer(operation, seconds, item_id)

    async def _call_large(
        self,
        function: NativeFunction,
        operation: str,
        seconds: float,
        item_id: str,
        fields: Mapping[str, Any],
    ) -> Any:
        arguments = await asyncio.to_thread(_arguments, function, fields)
        call = PendingCall(self._link.signed_in(operation, item_id))
        call.start(function, *arguments)
        return await call.answer(operation, seconds, item_id)

    async def pop_workitem(
        self, wiq: str, wiqid: str, seconds: float, late: Callable[[Workitem], None]
    ) -> Workitem | None:
        """Take the next due item, or None when there is none.

        The library downloads the item's files by itself, under the names that the server gives,
        with no check of the name or the length. It is pointed at a folder in which nothing can be
        made; the files are fetched afterwards, when they are asked for.
        """

        def came_late(item: Workitem | None) -> None:
            if item is not None:
                late(item)

        began = _second()
        call = PendingCall(self._link.signed_in("pop_workitem"), came_late)
        call.start(
            functions.POP_WORKITEM,
            abi.PopRequest(wiq=native_text(wiq), wiqid=native_text(wiqid)),
            native_text(no_such_folder()),
        )
        item: Workitem | None = await call.answer("pop_workitem", seconds)
        if item is not None and item.files:
            for path in scratch_files(scratch_folder().path, began, _second()):
                discard(path)
        return item

    async def _insert_or_update_each(self, seconds: float, fields: Mapping[str, Any]) -> str:
        """Make one call per document, in order, as the library has none for several."""
        items = objects_from_text(fields["items"], operation="insert_or_update_many")
        same = {name: fields[name] for name in ("collectionname", "uniqeness", "w", "j")}
        stored: list[str] = [
            await self.call("insert_or_update_one", seconds, "", same | {"item": json_text(item)})
            for item in items
        ]
        return f"[{','.join(text or '{}' for text in stored)}]"

    async def _custom_command(self, seconds: float, fields: Mapping[str, Any]) -> str:
        call = PendingCall(self._link.signed_in("custom_command"))
        request = abi.CustomCommandRequest(**encoded(fields))
        call.start(functions.CUSTOM_COMMAND, request, tail=(LIBRARY_DEFAULT,))
        text: str = await call.answer("custom_command", seconds)
        return text

    async def _queue_message(self, seconds: float, fields: Mapping[str, Any]) -> None:
        request = abi.QueueMessageRequest(**encoded(fields))

        def send(client: LibraryClient) -> None:
            answer = client.library.plain("queue_message", client.handle, byref(request))
            client.release(answer, "free_queue_message_response")

        await self._link.blocking(send, "queue_message", seconds)


def _arguments(function: NativeFunction, fields: Mapping[str, Any]) -> tuple[Any, ...]:
    given = encoded(fields)
    if function.request is not None:
        return (function.request(**given),)
    return tuple(given[name] for name in function.names)


def _second() -> int:
    """Return the second that the library would name a temporary file after."""
    return int(time.time())
