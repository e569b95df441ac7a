"""Documents, collections and indexes through the official library."""

from collections.abc import Sequence
from ctypes import c_char_p, pointer
from typing import Any

from worker.openiap.errors import Unsupported
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.connection import OfficialConnection
from worker.openiap.official.items import native_text
from worker.openiap.official.platform import INSTEAD
from worker.openiap.types import JsonText, UpdateResult
from worker.openiap.values import (
    argument_text,
    from_text,
    json_text,
    object_from_text,
    objects_from_text,
)
from worker.openiap.workitem import JsonObject


def _json(value: object) -> bytes:
    return native_text(argument_text(value))


class OfficialDocuments(OfficialConnection):
    """The documented calls on documents; see ``worker.openiap.client.Client``."""

    async def list_collections(
        self, includehist: bool = False, *, timeout: float | None = None
    ) -> list[JsonObject]:
        """Return the collections as the server describes them."""
        text = await self._call(
            functions.LIST_COLLECTIONS, includehist, operation="list_collections", timeout=timeout
        )
        return objects_from_text(text, operation="list_collections")

    async def create_collection(
        self,
        collectionname: str,
        *,
        collation: JsonObject | None = None,
        timeseries: JsonObject | None = None,
        expire_after_seconds: int = 0,
        change_stream_pre_and_post_images: bool = False,
        capped: bool = False,
        max: int = 0,
        size: int = 0,
        timeout: float | None = None,
    ) -> None:
        """Create a collection."""
        request = abi.CreateCollectionRequest(
            collectionname=native_text(collectionname),
            expire_after_seconds=expire_after_seconds,
            change_stream_pre_and_post_images=change_stream_pre_and_post_images,
            capped=capped,
            max=max,
            size=size,
        )
        if collation:
            request.collation = pointer(abi.Collation(**_fields(collation)))
        if timeseries:
            request.timeseries = pointer(abi.Timeseries(**_fields(timeseries)))
        await self._call(
            functions.CREATE_COLLECTION, request, operation="create_collection", timeout=timeout
        )

    async def drop_collection(self, collectionname: str, *, timeout: float | None = None) -> None:
        """Delete a collection and what is in it."""
        await self._call(
            functions.DROP_COLLECTION,
            native_text(collectionname),
            operation="drop_collection",
            timeout=timeout,
        )

    async def get_indexes(
        self, collectionname: str, *, timeout: float | None = None
    ) -> list[JsonObject]:
        """Return the indexes of a collection."""
        text = await self._call(
            functions.GET_INDEXES,
            native_text(collectionname),
            operation="get_indexes",
            timeout=timeout,
        )
        return objects_from_text(text, operation="get_indexes")

    async def create_index(
        self,
        collectionname: str,
        index: JsonText,
        options: JsonText | None = None,
        name: str = "",
        *,
        timeout: float | None = None,
    ) -> str:
        """Create an index; returns "", as the library keeps the server's answer to itself."""
        request = abi.CreateIndexRequest(
            collectionname=native_text(collectionname),
            index=_json(index),
            options=_json(options),
            name=native_text(name),
        )
        await self._call(functions.CREATE_INDEX, request, operation="create_index", timeout=timeout)
        return ""

    async def drop_index(
        self, collectionname: str, name: str, *, timeout: float | None = None
    ) -> None:
        """Delete an index by name."""
        await self._call(
            functions.DROP_INDEX,
            native_text(collectionname),
            native_text(name),
            operation="drop_index",
            timeout=timeout,
        )

    async def query(
        self,
        collectionname: str,
        query: JsonText | None = None,
        projection: JsonText | None = None,
        orderby: JsonText | None = None,
        queryas: str = "",
        explain: bool = False,
        skip: int = 0,
        top: int = 100,
        *,
        timeout: float | None = None,
    ) -> list[JsonObject]:
        """Return the documents that match."""
        request = abi.QueryRequest(
            collectionname=native_text(collectionname),
            query=_json(query),
            projection=_json(projection),
            orderby=_json(orderby),
            queryas=native_text(queryas),
            explain=explain,
            skip=skip,
            top=top,
        )
        text = await self._call(functions.QUERY, request, operation="query", timeout=timeout)
        return _list(text, "query")

    async def aggregate(
        self,
        collectionname: str,
        aggregates: JsonText,
        queryas: str = "",
        hint: str = "",
        explain: bool = False,
        *,
        timeout: float | None = None,
    ) -> list[JsonObject]:
        """Run an aggregation pipeline."""
        request = abi.AggregateRequest(
            collectionname=native_text(collectionname),
            aggregates=_json(aggregates),
            queryas=native_text(queryas),
            hint=native_text(hint),
            explain=explain,
        )
        text = await self._call(
            functions.AGGREGATE, request, operation="aggregate", timeout=timeout
        )
        return _list(text, "aggregate")

    async def count(
        self,
        collectionname: str,
        query: JsonText | None = None,
        queryas: str = "",
        explain: bool = False,
        *,
        timeout: float | None = None,
    ) -> int:
        """Return how many documents match."""
        request = abi.CountRequest(
            collectionname=native_text(collectionname),
            query=_json(query),
            queryas=native_text(queryas),
            explain=explain,
        )
        found: int = await self._call(functions.COUNT, request, operation="count", timeout=timeout)
        return found

    async def distinct(
        self,
        collectionname: str,
        field: str,
        query: JsonText | None = None,
        queryas: str = "",
        explain: bool = False,
        *,
        timeout: float | None = None,
    ) -> list[str]:
        """Return the distinct values of a field, as the text that the protocol carries."""
        request = abi.DistinctRequest(
            collectionname=native_text(collectionname),
            field=native_text(field),
            query=_json(query),
            queryas=native_text(queryas),
            explain=explain,
        )
        found: list[str] = await self._call(
            functions.DISTINCT, request, operation="distinct", timeout=timeout
        )
        return found

    async def insert_one(
        self,
        collectionname: str,
        item: JsonText,
        w: int = 1,
        j: bool = False,
        *,
        timeout: float | None = None,
    ) -> JsonObject:
        """Insert a document and return it as stored.

        Raises:
            DuplicateKey: a document with that ``_id`` (or unique value) exists.
        """
        request = abi.ItemRequest(
            collectionname=native_text(collectionname), item=_json(item), w=w, j=j
        )
        text = await self._call(
            functions.INSERT_ONE, request, operation="insert_one", timeout=timeout
        )
        return object_from_text(text, operation="insert_one")

    async def insert_many(
        self,
        collectionname: str,
        items: Sequence[JsonObject] | str,
        w: int = 1,
        j: bool = False,
        skipresults: bool = False,
        *,
        timeout: float | None = None,
    ) -> list[JsonObject]:
        """Insert documents and return them as stored ([] with ``skipresults``)."""
        request = abi.InsertManyRequest(
            collectionname=native_text(collectionname),
            items=_json(items),
            w=w,
            j=j,
            skipresults=skipresults,
        )
        text = await self._call(
            functions.INSERT_MANY, request, operation="insert_many", timeout=timeout
        )
        return [] if skipresults else objects_from_text(text, operation="insert_many")

    async def update_one(
        self,
        collectionname: str,
        item: JsonText,
        w: int = 1,
        j: bool = False,
        *,
        timeout: float | None = None,
    ) -> JsonObject:
        """Replace the whole document with the same ``_id``."""
        request = abi.ItemRequest(
            collectionname=native_text(collectionname), item=_json(item), w=w, j=j
        )
        text = await self._call(
            functions.UPDATE_ONE, request, operation="update_one", timeout=timeout
        )
        return object_from_text(text, operation="update_one")

    async def update_document(
        self,
        collectionname: str,
        query: JsonText,
        document: JsonText,
        *,
        timeout: float | None = None,
    ) -> UpdateResult:
        """Refuse: the library has no such call.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(
            f"the official library has no conditional updates: {INSTEAD}",
            operation="update_document",
        )

    async def insert_or_update_one(
        self,
        collectionname: str,
        item: JsonText,
        uniqeness: str = "_id",
        w: int = 1,
        j: bool = False,
        *,
        timeout: float | None = None,
    ) -> JsonObject:
        """Insert, or replace the document with the same values in the ``uniqeness`` fields."""
        request = abi.InsertOrUpdateOneRequest(
            collectionname=native_text(collectionname),
            uniqeness=native_text(uniqeness),
            item=_json(item),
            w=w,
            j=j,
        )
        text = await self._call(
            functions.INSERT_OR_UPDATE_ONE,
            request,
            operation="insert_or_update_one",
            timeout=timeout,
        )
        return object_from_text(text, operation="insert_or_update_one")

    async def insert_or_update_many(
        self,
        collectionname: str,
        items: Sequence[JsonObject] | str,
        uniqeness: str = "_id",
        skipresults: bool = False,
        w: int = 1,
        j: bool = False,
        *,
        timeout: float | None = None,
    ) -> list[JsonObject]:
        """Like ``insert_or_update_one`` for several documents, one call each.

        The library has no call for several; when one is refused, those before it are done.
        """
        listed = items
        if isinstance(listed, str):
            listed = objects_from_text(listed, operation="insert_or_update_many")
        stored = [
            await self.insert_or_update_one(
                collectionname, json_text(item), uniqeness, w, j, timeout=timeout
            )
            for item in listed
        ]
        return [] if skipresults else stored

    async def delete_one(
        self,
        collectionname: str,
        id: str,
        recursive: bool = False,
        *,
        timeout: float | None = None,
    ) -> int:
        """Delete a document by ``_id``; returns how many were deleted."""
        request = abi.DeleteOneRequest(
            collectionname=native_text(collectionname), id=native_text(id), recursive=recursive
        )
        deleted: int = await self._call(
            functions.DELETE_ONE, request, operation="delete_one", timeout=timeout, item_id=id
        )
        return deleted

    async def delete_many(
        self,
        collectionname: str,
        query: JsonText | None = None,
        ids: Sequence[str] = (),
        recursive: bool = False,
        *,
        timeout: float | None = None,
    ) -> int:
        """Delete what matches, or what has one of the ids; returns how many were deleted."""
        request = abi.DeleteManyRequest(
            collectionname=native_text(collectionname),
            query=_json(query),
            recursive=recursive,
            # The library reads on until a null pointer.
            ids=(c_char_p * (len(ids) + 1))(*[native_text(id) for id in ids], None),
        )
        deleted: int = await self._call(
            functions.DELETE_MANY, request, operation="delete_many", timeout=timeout
        )
        return deleted


def _list(text: str, operation: str) -> list[JsonObject]:
    # An explained query answers with one object.
    found: Any = from_text(text, operation=operation)
    return [found] if isinstance(found, dict) else objects_from_text(text, operation=operation)


def _fields(found: JsonObject) -> dict[str, Any]:
    return {
        name: native_text(value) if isinstance(value, str) else value
        for name, value in found.items()
    }
