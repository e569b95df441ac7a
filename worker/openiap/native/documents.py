"""The documented calls on documents."""

from collections.abc import Sequence

from worker.openiap.native.collections import CollectionCalls, json_argument
from worker.openiap.types import JsonText, UpdateResult
from worker.openiap.values import from_text, object_from_text, objects_from_text
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.workitem import JsonObject


class DocumentCalls(CollectionCalls):
    """See ``worker.openiap.client.Client`` for each."""

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
        reply = await self._call(
            "query",
            "query",
            pb.QueryRequest(
                collectionname=collectionname,
                query=json_argument(query),
                projection=json_argument(projection),
                orderby=json_argument(orderby),
                queryas=queryas,
                explain=explain,
                skip=skip,
                top=top,
            ),
            pb.QueryResponse,
            timeout,
        )
        return _documents(reply.results, "query")

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
        reply = await self._call(
            "aggregate",
            "aggregate",
            pb.AggregateRequest(
                collectionname=collectionname,
                aggregates=json_argument(aggregates),
                queryas=queryas,
                hint=hint,
                explain=explain,
            ),
            pb.AggregateResponse,
            timeout,
        )
        return _documents(reply.results, "aggregate")

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
        reply = await self._call(
            "count",
            "count",
            pb.CountRequest(
                collectionname=collectionname,
                query=json_argument(query),
                queryas=queryas,
                explain=explain,
            ),
            pb.CountResponse,
            timeout,
        )
        return reply.result

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
        reply = await self._call(
            "distinct",
            "distinct",
            pb.DistinctRequest(
                collectionname=collectionname,
                field=field,
                query=json_argument(query),
                queryas=queryas,
                explain=explain,
            ),
            pb.DistinctResponse,
            timeout,
        )
        return list(reply.results)

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
        reply = await self._call(
            "insert_one",
            "insertone",
            pb.InsertOneRequest(collectionname=collectionname, item=json_argument(item), w=w, j=j),
            pb.InsertOneResponse,
            timeout,
        )
        return object_from_text(reply.result, operation="insert_one")

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
        reply = await self._call(
            "insert_many",
            "insertmany",
            pb.InsertManyRequest(
                collectionname=collectionname,
                items=json_argument(items),
                w=w,
                j=j,
                skipresults=skipresults,
            ),
            pb.InsertManyResponse,
            timeout,
        )
        return [] if skipresults else objects_from_text(reply.results, operation="insert_many")

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
        reply = await self._call(
            "update_one",
            "updateone",
            pb.UpdateOneRequest(collectionname=collectionname, item=json_argument(item), w=w, j=j),
            pb.UpdateOneResponse,
            timeout,
        )
        return object_from_text(reply.result, operation="update_one")

    async def update_document(
        self,
        collectionname: str,
        query: JsonText,
        document: JsonText,
        *,
        timeout: float | None = None,
    ) -> UpdateResult:
        """Apply ``{"$set": …}`` to what matches, in one atomic step (server.md, the one fence)."""
        reply = await self._call(
            "update_document",
            "updatedocument",
            pb.UpdateDocumentRequest(
                collectionname=collectionname,
                query=json_argument(query),
                document=json_argument(document),
                w=1,
            ),
            pb.UpdateDocumentResponse,
            timeout,
        )
        return UpdateResult(reply.opresult.matchedCount, reply.opresult.modifiedCount)

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
        reply = await self._call(
            "insert_or_update_one",
            "insertorupdateone",
            pb.InsertOrUpdateOneRequest(
                collectionname=collectionname,
                uniqeness=uniqeness,
                item=json_argument(item),
                w=w,
                j=j,
            ),
            pb.InsertOrUpdateOneResponse,
            timeout,
        )
        return object_from_text(reply.result, operation="insert_or_update_one")

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
        """Like ``insert_or_update_one`` for several documents, in one message."""
        reply = await self._call(
            "insert_or_update_many",
            "insertorupdatemany",
            pb.InsertOrUpdateManyRequest(
                collectionname=collectionname,
                uniqeness=uniqeness,
                items=json_argument(items),
                w=w,
                j=j,
                skipresults=skipresults,
            ),
            pb.InsertOrUpdateManyResponse,
            timeout,
        )
        if skipresults:
            return []
        return objects_from_text(reply.results, operation="insert_or_update_many")

    async def delete_one(
        self,
        collectionname: str,
        id: str,
        recursive: bool = False,
        *,
        timeout: float | None = None,
    ) -> int:
        """Delete a document by ``_id``; returns how many were deleted."""
        reply = await self._call(
            "delete_one",
            "deleteone",
            pb.DeleteOneRequest(collectionname=collectionname, id=id, recursive=recursive),
            pb.DeleteOneResponse,
            timeout,
            id,
        )
        return reply.affectedrows

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
        reply = await self._call(
            "delete_many",
            "deletemany",
            pb.DeleteManyRequest(
                collectionname=collectionname,
                query=json_argument(query),
                recursive=recursive,
                ids=ids,
            ),
            pb.DeleteManyResponse,
            timeout,
        )
        return reply.affectedrows


def _documents(text: str, operation: str) -> list[JsonObject]:
    # An explained query answers with one object.
    found = from_text(text, operation=operation)
    return [found] if isinstance(found, dict) else objects_from_text(text, operation=operation)
