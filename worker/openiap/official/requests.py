"""Requests of the official library that are more than their fields."""

from collections.abc import Mapping, Sequence
from ctypes import Structure, c_char_p, pointer
from datetime import UTC, datetime
from typing import Any, TypeVar

from worker.openiap.official import abi as abi
from worker.openiap.official.items import attach_files, encoded_workitem, native_text
from worker.openiap.workitem import JsonObject, Workitem, WorkitemFile

S = TypeVar("S", bound=Structure)


def encoded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as a request takes them: texts as bytes."""
    return {
        name: native_text(value) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def create_collection(
    collation: JsonObject | None, timeseries: JsonObject | None, **fields: Any
) -> abi.CreateCollectionRequest:
    """Return the request for a new collection.

    Raises:
        ValueError: ``collation`` or ``timeseries`` has a name that OpenIAP does not know.
    """
    request = abi.CreateCollectionRequest(**fields)
    if collation:
        request.collation = pointer(_structure(abi.Collation, collation))
    if timeseries:
        request.timeseries = pointer(_structure(abi.Timeseries, timeseries))
    return request


def _structure(kind: type[S], fields: JsonObject) -> S:
    # What is no field of a structure would be taken without a word, and sent nowhere.
    unknown = fields.keys() - {name for name, *_ in kind._fields_}
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
    return kind(**encoded(fields))


def delete_many(ids: Sequence[str], **fields: Any) -> abi.DeleteManyRequest:
    """Return the request that deletes by a query or by ids."""
    # The library reads on until a null pointer.
    texts = (c_char_p * (len(ids) + 1))(*[native_text(id) for id in ids], None)
    return abi.DeleteManyRequest(ids=texts, **fields)


def push(nextrun: datetime | None, files: Sequence[WorkitemFile], **fields: Any) -> abi.PushRequest:
    """Return the request for a new item."""
    request = abi.PushRequest(nextrun=_seconds_up(nextrun), **fields)
    attach_files(request, files)
    return request


def update(
    workitem: Workitem, files: Sequence[WorkitemFile], ignoremaxretries: bool
) -> abi.UpdateRequest:
    """Return the request that writes an item back."""
    request = abi.UpdateRequest(
        workitem=pointer(encoded_workitem(workitem)), ignoremaxretries=ignoremaxretries
    )
    attach_files(request, files)
    return request


def _seconds_up(moment: datetime | None) -> int:
    """Return whole seconds since 1970, rounded up: an item is never due before its time."""
    if moment is None:
        return 0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(1, -int(-aware.timestamp() // 1))
