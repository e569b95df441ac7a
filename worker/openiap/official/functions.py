"""The functions of the official library: what each takes, brings back, and is released with.

Source: ``clib_openiap.h`` and ``crates/clib/src/lib.rs`` of ``openiap/rustapi`` at tag 0.0.38.
"""

from collections.abc import Callable, Mapping
from ctypes import (
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_uint64,
    c_void_p,
)
from dataclasses import dataclass
from typing import Any, Final

from worker.openiap.official import abi as abi
from worker.openiap.official import requests as requests
from worker.openiap.official.items import decoded_workitem


def _text(response: Any) -> str:
    found: bytes = response.value or b""
    return found.decode("utf-8", "replace")


def _number(response: Any) -> int:
    return int(response.value)


def _nothing(response: Any) -> None:
    return None


def _token(response: Any) -> str:
    return (response.jwt or b"").decode("utf-8", "replace")


def _distinct(response: Any) -> list[str]:
    return [
        (response.results[index] or b"").decode("utf-8", "replace")
        for index in range(response.results_len)
    ]


def _may_free_distinct(response: Any) -> bool:
    # Freeing an empty result makes the library release a pointer that was never allocated.
    return not response.success or response.results_len > 0


def _always(response: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class NativeFunction:
    """One ``*_async`` function: what it is called with and what its callback brings.

    Attributes:
        symbol: its exported name.
        free: the exported name of what releases its response.
        arguments: ctypes types between the client and the callback.
        response: the structure that the callback is given.
        decode: response → Python value, called only when it says success.
        request: builds its request from the fields, whose texts are bytes already.
        names: the fields that are arguments by themselves, where there is no request.
        tail: ctypes types after the callback.
        may_free: whether this response can be released without harm.
    """

    symbol: str
    free: str
    arguments: tuple[Any, ...]
    response: type[Structure]
    decode: Callable[[Any], Any]
    request: Callable[..., Structure] | None = None
    names: tuple[str, ...] = ()
    tail: tuple[Any, ...] = ()
    may_free: Callable[[Any], bool] = _always


def _by_request(
    name: str,
    request: type[Structure],
    response: type[Structure],
    decode: Callable[[Any], Any],
    build: Callable[..., Structure] | None = None,
) -> NativeFunction:
    return NativeFunction(
        f"{name}_async",
        f"free_{name}_response",
        (POINTER(request),),
        response,
        decode,
        build or request,
    )


def _by_arguments(
    name: str, response: type[Structure], decode: Callable[[Any], Any], /, **arguments: Any
) -> NativeFunction:
    return NativeFunction(
        f"{name}_async",
        f"free_{name}_response",
        (*arguments.values(), c_int32),
        response,
        decode,
        names=tuple(arguments),
    )


def _workitem(response: Any) -> Any:
    return decoded_workitem(response.workitem)


SIGNIN: Final = _by_request("signin", abi.SigninRequest, abi.SigninResponse, _token)
COUNT: Final = _by_request("count", abi.CountRequest, abi.NumberResponse, _number)
UPLOAD: Final = _by_request("upload", abi.UploadRequest, abi.TextResponse, _text)
DOWNLOAD: Final = _by_request("download", abi.DownloadRequest, abi.TextResponse, _text)
UNWATCH: Final = _by_arguments("unwatch", abi.DoneResponse, _nothing, watchid=c_char_p)
POP_WORKITEM: Final = NativeFunction(
    "pop_workitem_async",
    "free_pop_workitem_response",
    (POINTER(abi.PopRequest), c_char_p),
    abi.WorkitemResponse,
    _workitem,
)
CUSTOM_COMMAND: Final = NativeFunction(
    "custom_command_async",
    "free_custom_command_response",
    (POINTER(abi.CustomCommandRequest),),
    abi.TextResponse,
    _text,
    tail=(c_int32,),
)
WATCH: Final = NativeFunction(
    "watch_async_async",
    "free_watch_response",
    (POINTER(abi.WatchRequest),),
    abi.TextResponse,
    _text,
    tail=(abi.WATCH_EVENT_CALLBACK,),
)

OPERATIONS: Final[Mapping[str, NativeFunction]] = {
    "list_collections": _by_arguments(
        "list_collections", abi.TextResponse, _text, includehist=c_bool
    ),
    "create_collection": _by_request(
        "create_collection",
        abi.CreateCollectionRequest,
        abi.DoneResponse,
        _nothing,
        requests.create_collection,
    ),
    "drop_collection": _by_arguments(
        "drop_collection", abi.DoneResponse, _nothing, collectionname=c_char_p
    ),
    "get_indexes": _by_arguments("get_indexes", abi.TextResponse, _text, collectionname=c_char_p),
    "create_index": _by_request("create_index", abi.CreateIndexRequest, abi.DoneResponse, _nothing),
    "drop_index": _by_arguments(
        "drop_index", abi.DoneResponse, _nothing, collectionname=c_char_p, name=c_char_p
    ),
    "query": _by_request("query", abi.QueryRequest, abi.TextResponse, _text),
    "aggregate": _by_request("aggregate", abi.AggregateRequest, abi.TextResponse, _text),
    "count": COUNT,
    "distinct": NativeFunction(
        "distinct_async",
        "free_distinct_response",
        (POINTER(abi.DistinctRequest),),
        abi.DistinctResponse,
        _distinct,
        abi.DistinctRequest,
        may_free=_may_free_distinct,
    ),
    "insert_one": _by_request("insert_one", abi.ItemRequest, abi.TextResponse, _text),
    "insert_many": _by_request("insert_many", abi.InsertManyRequest, abi.TextResponse, _text),
    "update_one": _by_request("update_one", abi.ItemRequest, abi.TextResponse, _text),
    "insert_or_update_one": _by_request(
        "insert_or_update_one", abi.InsertOrUpdateOneRequest, abi.TextResponse, _text
    ),
    "delete_one": _by_request("delete_one", abi.DeleteOneRequest, abi.NumberResponse, _number),
    "delete_many": _by_request(
        "delete_many", abi.DeleteManyRequest, abi.NumberResponse, _number, requests.delete_many
    ),
    "push_workitem": _by_request(
        "push_workitem", abi.PushRequest, abi.WorkitemResponse, _workitem, requests.push
    ),
    "update_workitem": _by_request(
        "update_workitem", abi.UpdateRequest, abi.WorkitemResponse, _workitem, requests.update
    ),
    "delete_workitem": _by_request(
        "delete_workitem", abi.DeleteRequest, abi.DoneResponse, _nothing
    ),
}
"""By the documented name of the call; those above are called in their own ways."""

PLAIN: Final[tuple[tuple[str, Any, tuple[Any, ...]], ...]] = (
    ("create_client", c_void_p, ()),
    ("client_connect", POINTER(abi.BareResponse), (c_void_p, c_char_p)),
    ("free_connect_response", None, (c_void_p,)),
    ("client_set_default_timeout", None, (c_void_p, c_int32)),
    ("client_set_agent_name", None, (c_void_p, c_char_p)),
    ("client_set_agent_version", None, (c_void_p, c_char_p)),
    ("client_get_state", c_char_p, (c_void_p,)),
    ("client_user", POINTER(abi.User), (c_void_p,)),
    ("free_client", None, (c_void_p,)),
    (
        "on_client_event_async",
        POINTER(abi.EventRegistration),
        (c_void_p, abi.CLIENT_EVENT_CALLBACK),
    ),
    ("free_event_response", None, (c_void_p,)),
    ("free_client_event", None, (c_void_p,)),
    ("off_client_event", c_void_p, (c_char_p,)),
    ("free_off_event_response", None, (c_void_p,)),
    ("free_watch_event", None, (c_void_p,)),
    ("free_queue_event", None, (c_void_p,)),
    (
        "register_queue_async",
        POINTER(abi.TextResponse),
        (c_void_p, POINTER(abi.RegisterQueueRequest), abi.QUEUE_EVENT_CALLBACK),
    ),
    ("free_register_queue_response", None, (c_void_p,)),
    (
        "register_exchange_async",
        POINTER(abi.TextResponse),
        (c_void_p, POINTER(abi.RegisterExchangeRequest), abi.EXCHANGE_EVENT_CALLBACK),
    ),
    ("free_register_exchange_response", None, (c_void_p,)),
    ("queue_message", POINTER(abi.BareResponse), (c_void_p, POINTER(abi.QueueMessageRequest))),
    ("free_queue_message_response", None, (c_void_p,)),
    ("unregister_queue", POINTER(abi.BareResponse), (c_void_p, c_char_p)),
    ("free_unregister_queue_response", None, (c_void_p,)),
    ("set_f64_observable_gauge", None, (c_char_p, c_double, c_char_p)),
    ("set_u64_observable_gauge", None, (c_char_p, c_uint64, c_char_p)),
    ("set_i64_observable_gauge", None, (c_char_p, c_int64, c_char_p)),
    ("disable_observable_gauge", None, (c_char_p,)),
    ("enable_tracing", None, (c_char_p, c_char_p)),
    ("disable_tracing", None, ()),
    ("error", None, (c_char_p,)),
    ("warn", None, (c_char_p,)),
    ("info", None, (c_char_p,)),
    ("debug", None, (c_char_p,)),
    ("trace", None, (c_char_p,)),
)
"""Functions that answer on the calling thread: name, what they return, what they take."""
