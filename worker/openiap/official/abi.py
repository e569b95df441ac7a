"""The C interface of the library in ``openiap-edge`` 0.0.38, as ctypes sees it.

Source: ``clib_openiap.h`` of ``openiap/rustapi`` at tag 0.0.38. The package's own Python file
leaves the trailing ``request_id`` out of nearly every structure; here it is declared, so that one
callback per function can serve every call in flight.
"""

from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_int32,
    c_uint64,
    c_void_p,
)
from typing import Any, ClassVar, Final

Fields = list[tuple[str, Any]]

_ID: Final[tuple[str, Any]] = ("request_id", c_int32)


def _texts(*names: str) -> Fields:
    return [(name, c_char_p) for name in names]


class User(Structure):
    """Who is signed in. Never freed: ``free_user`` walks past the end of the roles."""

    _fields_: ClassVar[Fields] = [
        *_texts("id", "name", "username", "email"),
        ("roles", POINTER(c_char_p)),
        ("roles_len", c_int32),
    ]


class SigninRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("username", "password", "jwt", "agent", "version"),
        ("longtoken", c_bool),
        ("validateonly", c_bool),
        ("ping", c_bool),
        _ID,
    ]


class SigninResponse(Structure):
    _fields_: ClassVar[Fields] = [("success", c_bool), *_texts("jwt", "error"), _ID]


class DoneResponse(Structure):
    """The answer of everything that returns nothing."""

    _fields_: ClassVar[Fields] = [("success", c_bool), ("error", c_char_p), _ID]


class BareResponse(Structure):
    """The same without a ``request_id``: ``queue_message`` and ``unregister_queue``."""

    _fields_: ClassVar[Fields] = [("success", c_bool), ("error", c_char_p)]


class TextResponse(Structure):
    """The answer of everything that returns one text (under several names in the header)."""

    _fields_: ClassVar[Fields] = [("success", c_bool), *_texts("value", "error"), _ID]


class NumberResponse(Structure):
    """The answer of ``count``, ``delete_one`` and ``delete_many``."""

    _fields_: ClassVar[Fields] = [
        ("success", c_bool),
        ("value", c_int32),
        ("error", c_char_p),
        _ID,
    ]


class DistinctResponse(Structure):
    _fields_: ClassVar[Fields] = [
        ("success", c_bool),
        ("results", POINTER(c_char_p)),
        ("error", c_char_p),
        ("results_len", c_int32),
        _ID,
    ]


class EventRegistration(Structure):
    _fields_: ClassVar[Fields] = [("success", c_bool), *_texts("eventid", "error")]


class Collation(Structure):
    _fields_: ClassVar[Fields] = [
        ("locale", c_char_p),
        ("caseLevel", c_bool),
        ("caseFirst", c_char_p),
        ("strength", c_int32),
        ("numericOrdering", c_bool),
        *_texts("alternate", "maxVariable"),
        ("backwards", c_bool),
    ]


class Timeseries(Structure):
    _fields_: ClassVar[Fields] = _texts("timeField", "metaField", "granularity")


class CreateCollectionRequest(Structure):
    _fields_: ClassVar[Fields] = [
        ("collectionname", c_char_p),
        ("collation", POINTER(Collation)),
        ("timeseries", POINTER(Timeseries)),
        ("expireAfterSeconds", c_int32),
        ("changeStreamPreAndPostImages", c_bool),
        ("capped", c_bool),
        ("max", c_int32),
        ("size", c_int32),
        _ID,
    ]


class CreateIndexRequest(Structure):
    _fields_: ClassVar[Fields] = [*_texts("collectionname", "index", "options", "name"), _ID]


class QueryRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("collectionname", "query", "projection", "orderby", "queryas"),
        ("explain", c_bool),
        ("skip", c_int32),
        ("top", c_int32),
        _ID,
    ]


class AggregateRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("collectionname", "aggregates", "queryas", "hint"),
        ("explain", c_bool),
        _ID,
    ]


class CountRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("collectionname", "query", "queryas"),
        ("explain", c_bool),
        _ID,
    ]


class DistinctRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("collectionname", "field", "query", "queryas"),
        ("explain", c_bool),
        _ID,
    ]


class ItemRequest(Structure):
    """``insert_one`` and ``update_one``."""

    _fields_: ClassVar[Fields] = [
        *_texts("collectionname", "item"),
        ("w", c_int32),
        ("j", c_bool),
        _ID,
    ]


class InsertManyRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("collectionname", "items"),
        ("w", c_int32),
        ("j", c_bool),
        ("skipresults", c_bool),
        _ID,
    ]


class InsertOrUpdateOneRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("collectionname", "uniqeness", "item"),
        ("w", c_int32),
        ("j", c_bool),
        _ID,
    ]


class DeleteOneRequest(Structure):
    _fields_: ClassVar[Fields] = [*_texts("collectionname", "id"), ("recursive", c_bool), _ID]


class DeleteManyRequest(Structure):
    """``ids`` ends with a null pointer and must not be one itself: the library follows it."""

    _fields_: ClassVar[Fields] = [
        *_texts("collectionname", "query"),
        ("recursive", c_bool),
        ("ids", POINTER(c_char_p)),
        _ID,
    ]


class DownloadRequest(Structure):
    _fields_: ClassVar[Fields] = [*_texts("collectionname", "id", "folder", "filename"), _ID]


class UploadRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("filepath", "filename", "mimetype", "metadata", "collectionname"),
        _ID,
    ]


class File(Structure):
    _fields_: ClassVar[Fields] = [*_texts("filename", "id"), ("compressed", c_bool)]


class Workitem(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("id", "name", "payload"),
        ("priority", c_int32),
        ("nextrun", c_uint64),
        ("lastrun", c_uint64),
        ("files", POINTER(POINTER(File))),
        ("files_len", c_int32),
        *_texts("state", "wiq", "wiqid"),
        ("retries", c_int32),
        *_texts("username", "success_wiqid", "failed_wiqid", "success_wiq", "failed_wiq"),
        *_texts("errormessage", "errorsource", "errortype"),
    ]


class WorkitemResponse(Structure):
    _fields_: ClassVar[Fields] = [
        ("success", c_bool),
        ("error", c_char_p),
        ("workitem", POINTER(Workitem)),
        _ID,
    ]


class PushRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("wiq", "wiqid", "name", "payload"),
        ("nextrun", c_uint64),
        *_texts("success_wiqid", "failed_wiqid", "success_wiq", "failed_wiq"),
        ("priority", c_int32),
        ("files", POINTER(POINTER(File))),
        ("files_len", c_int32),
        _ID,
    ]


class PopRequest(Structure):
    _fields_: ClassVar[Fields] = [*_texts("wiq", "wiqid"), _ID]


class UpdateRequest(Structure):
    _fields_: ClassVar[Fields] = [
        ("workitem", POINTER(Workitem)),
        ("ignoremaxretries", c_bool),
        ("files", POINTER(POINTER(File))),
        ("files_len", c_int32),
        _ID,
    ]


class DeleteRequest(Structure):
    _fields_: ClassVar[Fields] = [("id", c_char_p), _ID]


class WatchRequest(Structure):
    _fields_: ClassVar[Fields] = [*_texts("collectionname", "paths"), _ID]


class RegisterQueueRequest(Structure):
    _fields_: ClassVar[Fields] = [("queuename", c_char_p), _ID]


class RegisterExchangeRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("exchangename", "algorithm", "routingkey"),
        ("addqueue", c_bool),
        _ID,
    ]


class QueueMessageRequest(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("queuename", "correlationId", "replyto", "routingkey", "exchangename", "data"),
        ("striptoken", c_bool),
        ("expiration", c_int32),
        _ID,
    ]


class CustomCommandRequest(Structure):
    _fields_: ClassVar[Fields] = [*_texts("command", "id", "name", "data"), _ID]


class ClientEvent(Structure):
    _fields_: ClassVar[Fields] = _texts("event", "reason")


class WatchEvent(Structure):
    _fields_: ClassVar[Fields] = [*_texts("id", "operation", "document"), _ID]


class QueueEvent(Structure):
    _fields_: ClassVar[Fields] = [
        *_texts("queuename", "correlation_id", "replyto", "routingkey", "exchangename", "data"),
        _ID,
    ]


TEXTS: Final = POINTER(c_char_p)

CLIENT_EVENT_CALLBACK: Final = CFUNCTYPE(None, POINTER(ClientEvent))
WATCH_EVENT_CALLBACK: Final = CFUNCTYPE(None, POINTER(WatchEvent))
QUEUE_EVENT_CALLBACK: Final = CFUNCTYPE(c_void_p, POINTER(QueueEvent))
EXCHANGE_EVENT_CALLBACK: Final = CFUNCTYPE(None, POINTER(QueueEvent))
