"""Documents, collections and indexes."""

from collections.abc import Sequence

from worker.openiap.api.subject import Subject
from worker.openiap.types import JsonText, UpdateResult
from worker.openiap.values import (
    argument_text,
    documents_from_text,
    object_from_text,
    objects_from_text,
    query_text,
)
from worker.openiap.workitem import JsonObject


class DocumentCalls(Subject):
    """The documented calls on documents."""

    async def list_collections(
        self, includehist: bool = False, *, timeout: float | None = None
    ) -> list[JsonObject]:
        """Return the collections as the server describes them."""
        text = await self._call("list_collections", timeout, includehist=includehist)
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
        """Create a collection.

        Args:
            collation, timeseries: with MongoDB's names: ``{"timeField": "at"}``.

        Raises:
            ValueError: one of them has a name that OpenIAP does not know.
        """
        await self._call(
            "create_collection",
            timeout,
            collectionname=collectionname,
            collation=collation or None,
            timeseries=timeseries or None,
            expireAfterSeconds=expire_after_seconds,
            changeStreamPreAndPostImages=change_stream_pre_and_post_images,
            capped=capped,
            max=max,
            size=size,
        )

    async def drop_collection(self, collectionname: str, *, timeout: float | None = None) -> None:
        """Delete a collection and what is in it."""
        await self._call("drop_collection", timeout, collectionname=collectionname)

    async def get_indexes(
        self, collectionname: str, *, timeout: float | None = None
    ) -> list[JsonObject]:
        """Return the indexes of a collection."""
        text = await self._call("get_indexes", timeout, collectionname=collectionname)
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
        """Create an index, for example ``{"name": 1}``; returns its name.

        Where the answer does not tell it, as with the official client, whose library keeps it to
        itself, that is the one given, or as MongoDB makes it of the fields: ``name_1``.
        """
        fields = argument_text(index)
        answer: str | None = await self._call(
            "create_index",
            timeout,
            collectionname=collectionname,
            index=fields,
            options=argument_text(options),
            name=name,
        )
        return answer or name or _index_name(fields)

    async def drop_index(
        self,
        collectionname: str,
        indexname: str = "",
        *,
        name: str = "",
        timeout: float | None = None,
    ) -> None:
        """Delete an index by name; ``name`` is another spelling of ``indexname``."""
        await self._call(
            "drop_index", timeout, collectionname=collectionname, name=indexname or name
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
        """Return the documents that match.

        JSON strings that look like ISO dates are compared as dates (server.md, Documents).
        """
        text = await self._call(
            "query",
            timeout,
            collectionname=collectionname,
            query=query_text(query),
            projection=argument_text(projection),
            orderby=argument_text(orderby),
            queryas=queryas,
            explain=explain,
            skip=skip,
            top=top,
        )
        return documents_from_text(text, operation="query")

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
        text = await self._call(
            "aggregate",
            timeout,
            collectionname=collectionname,
            aggregates=argument_text(aggregates),
            queryas=queryas,
            hint=hint,
            explain=explain,
        )
        return documents_from_text(text, operation="aggregate")

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
        found: int = await self._call(
            "count",
            timeout,
            collectionname=collectionname,
            query=query_text(query),
            queryas=queryas,
            explain=explain,
        )
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
        found: list[str] = await self._call(
            "distinct",
            timeout,
            collectionname=collectionname,
            field=field,
            query=query_text(query),
            queryas=queryas,
            explain=explain,
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
        text = await self._call(
            "insert_one",
            timeout,
            collectionname=collectionname,
            item=argument_text(item),
            w=w,
            j=j,
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
        text = await self._call(
            "insert_many",
            timeout,
            collectionname=collectionname,
            items=argument_text(items),
            w=w,
            j=j,
            skipresults=skipresults,
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
        text = await self._call(
            "update_one",
            timeout,
            collectionname=collectionname,
            item=argument_text(item),
            w=w,
            j=j,
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
        """Apply ``{"$set": …}`` to what matches, in one atomic step (server.md, the one fence).

        Raises:
            Unsupported: the official library has no such call.
        """
        changed: UpdateResult = await self._call(
            "update_document",
            timeout,
            collectionname=collectionname,
            query=argument_text(query),
            document=argument_text(document),
            w=1,
        )
        return changed

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
        text = await self._call(
            "insert_or_update_one",
            timeout,
            collectionname=collectionname,
            uniqeness=uniqeness,
            item=argument_text(item),
            w=w,
            j=j,
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
        """Like ``insert_or_update_one`` for several documents, in one message.

        The official library has no call for several: it is one call each, with ``timeout`` for
        each, and when one is refused, those before it are done.
        """
        text = await self._call(
            "insert_or_update_many",
            timeout,
            collectionname=collectionname,
            uniqeness=uniqeness,
            items=argument_text(items),
            w=w,
            j=j,
            skipresults=skipresults,
        )
        return [] if skipresults else objects_from_text(text, operation="insert_or_update_many")

    async def delete_one(
        self,
        collectionname: str,
        id: str,
        recursive: bool = False,
        *,
        timeout: float | None = None,
    ) -> int:
        """Delete a document by ``_id``; returns how many were deleted."""
        deleted: int = await self._call(
            "delete_one", timeout, id, collectionname=collectionname, id=id, recursive=recursive
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
        deleted: int = await self._call(
            "delete_many",
            timeout,
            collectionname=collectionname,
            query=argument_text(query),
            recursive=recursive,
            ids=list(ids),
        )
        return deleted


def _index_name(fields: str) -> str:
    return "_".join(
        f"{field}_{kind}"
        for field, kind in object_from_text(fields, operation="create_index").items()
    )
