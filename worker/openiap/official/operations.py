"""Requests that have one reply, through the functions of the official library."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ctypes import Structure, byref, c_char_p, pointer
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from worker.openiap.errors import Unsupported
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.functions import NativeFunction
from worker.openiap.official.items import attach_files, encoded_workitem, native_text
from worker.openiap.official.library_client import LibraryClient
from worker.openiap.official.link import Link
from worker.openiap.official.pending_call import PendingCall
from worker.openiap.official.platform import INSTEAD, no_such_folder, scratch_files
from worker.openiap.part_file import discard
from worker.openiap.values import json_text, objects_from_text
from worker.openiap.workitem import JsonObject, Workitem, WorkitemFile

LIBRARY_DEFAULT: Final = -1
"""Seconds; a negative number leaves the library's own, which is longer than any deadline here."""

UNSUPPORTED: Final[Mapping[str, str]] = {
    "update_document": "has no conditional updates",
    "push_workitems": "never pushes in bulk",
    "add_workitem_queue": "never administrates queues",
    "update_workitem_queue": "never administrates queues",
    "delete_workitem_queue": "never administrates queues",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the library.

    Attributes:
        function: what is called.
        request: builds the request from its fields, whose texts are bytes already.
        arguments: the fields that are arguments by themselves, where there is no request.
        tail: what stands after the callback.
    """

    function: NativeFunction
    request: Callable[..., Structure] | None = None
    arguments: tuple[str, ...] = ()
    tail: tuple[Any, ...] = ()


def _create_collection(
    collation: JsonObject | None, timeseries: JsonObject | None, **fields: Any
) -> abi.CreateCollectionRequest:
    request = abi.CreateCollectionRequest(**fields)
    if collation:
        request.collation = pointer(abi.Collation(**_encoded(collation)))
    if timeseries:
        request.timeseries = pointer(abi.Timeseries(**_encoded(timeseries)))
    return request


def _delete_many(ids: Sequence[str], **fields: Any) -> abi.DeleteManyRequest:
    # The library reads on until a null pointer.
    texts = (c_char_p * (len(ids) + 1))(*[native_text(id) for id in ids], None)
    return abi.DeleteManyRequest(ids=texts, **fields)


def _push(
    nextrun: datetime | None, files: Sequence[WorkitemFile], **fields: Any
) -> abi.PushRequest:
    request = abi.PushRequest(nextrun=_seconds_up(nextrun), **fields)
    attach_files(request, files)
    return request


def _update(
    workitem: Workitem, files: Sequence[WorkitemFile], ignoremaxretries: bool
) -> abi.UpdateRequest:
    request = abi.UpdateRequest(
        workitem=pointer(encoded_workitem(workitem)), ignoremaxretries=ignoremaxretries
    )
    attach_files(request, files)
    return request


OPERATIONS: Final[Mapping[str, Operation]] = {
    "list_collections": Operation(functions.LIST_COLLECTIONS, arguments=("includehist",)),
    "create_collection": Operation(functions.CREATE_COLLECTION, _create_collection),
    "drop_collection": Operation(functions.DROP_COLLECTION, arguments=("collectionname",)),
    "get_indexes": Operation(functions.GET_INDEXES, arguments=("collectionname",)),
    "create_index": Operation(functions.CREATE_INDEX, abi.CreateIndexRequest),
    "drop_index": Operation(functions.DROP_INDEX, arguments=("collectionname", "name")),
    "query": Operation(functions.QUERY, abi.QueryRequest),
    "aggregate": Operation(functions.AGGREGATE, abi.AggregateRequest),
    "count": Operation(functions.COUNT, abi.CountRequest),
    "distinct": Operation(functions.DISTINCT, abi.DistinctRequest),
    "insert_one": Operation(functions.INSERT_ONE, abi.ItemRequest),
    "insert_many": Operation(functions.INSERT_MANY, abi.InsertManyRequest),
    "update_one": Operation(functions.UPDATE_ONE, abi.ItemRequest),
    "insert_or_update_one": Operation(functions.INSERT_OR_UPDATE_ONE, abi.InsertOrUpdateOneRequest),
    "delete_one": Operation(functions.DELETE_ONE, abi.DeleteOneRequest),
    "delete_many": Operation(functions.DELETE_MANY, _delete_many),
    "push_workitem": Operation(functions.PUSH_WORKITEM, _push),
    "update_workitem": Operation(functions.UPDATE_WORKITEM, _update),
    "delete_workitem": Operation(functions.DELETE_WORKITEM, abi.DeleteRequest),
    "custom_command": Operation(
        functions.CUSTOM_COMMAND, abi.CustomCommandRequest, tail=(LIBRARY_DEFAULT,)
    ),
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
        }

    def call(
        self, operation: str, seconds: float, item_id: str, fields: Mapping[str, Any]
    ) -> Awaitable[Any]:
        """Make a call and return its answer.

        Raises:
            Unsupported: the library has no such function.
        """
        known = OPERATIONS.get(operation)
        if known is None:
            composed = self._composed.get(operation)
            if composed is None:
                raise Unsupported(
                    f"the official library {UNSUPPORTED[operation]}: {INSTEAD}",
                    operation=operation,
                )
            return composed(seconds, fields)
        encoded = _encoded(fields)
        if known.request is not None:
            arguments: tuple[Any, ...] = (known.request(**encoded),)
        else:
            arguments = tuple(encoded[name] for name in known.arguments)
        call = PendingCall(self._link.signed_in(operation, item_id))
        call.start(known.function, *arguments, tail=known.tail)
        return call.answer(operation, seconds, item_id)

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
            for path in scratch_files(began, _second()):
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

    async def _queue_message(self, seconds: float, fields: Mapping[str, Any]) -> None:
        request = abi.QueueMessageRequest(**_encoded(fields))

        def send(client: LibraryClient) -> None:
            answer = client.library.plain("queue_message", client.handle, byref(request))
            client.release(answer, "free_queue_message_response")

        await self._link.blocking(send, "queue_message", seconds)


def _encoded(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: native_text(value) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _second() -> int:
    """Return the second that the library would name a temporary file after."""
    return int(time.time())


def _seconds_up(moment: datetime | None) -> int:
    """Return whole seconds since 1970, rounded up: an item is never due before its time."""
    if moment is None:
        return 0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(1, -int(-aware.timestamp() // 1))
