"""The documented calls on collections and their indexes."""

from worker.openiap.native.caller import Caller
from worker.openiap.types import JsonText
from worker.openiap.values import argument_text, objects_from_text
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.messages import wire_text
from worker.openiap.workitem import JsonObject


def json_argument(value: object) -> str:
    """Return an argument as JSON text that protobuf can carry."""
    return wire_text(argument_text(value))


class CollectionCalls(Caller):
    """See ``worker.openiap.client.Client`` for each."""

    async def list_collections(
        self, includehist: bool = False, *, timeout: float | None = None
    ) -> list[JsonObject]:
        """Return the collections as the server describes them."""
        reply = await self._call(
            "list_collections",
            "listcollections",
            pb.ListCollectionsRequest(includehist=includehist),
            pb.ListCollectionsResponse,
            timeout,
        )
        return objects_from_text(reply.results, operation="list_collections")

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
        request = pb.CreateCollectionRequest(
            collectionname=collectionname,
            expireAfterSeconds=expire_after_seconds,
            changeStreamPreAndPostImages=change_stream_pre_and_post_images,
            capped=capped,
            max=max,
            size=size,
        )
        if collation:
            request.collation.CopyFrom(pb.Collation(**collation))
        if timeseries:
            request.timeseries.CopyFrom(pb.Timeseries(**timeseries))
        await self._call(
            "create_collection",
            "createcollection",
            request,
            pb.CreateCollectionResponse,
            timeout,
        )

    async def drop_collection(self, collectionname: str, *, timeout: float | None = None) -> None:
        """Delete a collection and what is in it."""
        await self._call(
            "drop_collection",
            "dropcollection",
            pb.DropCollectionRequest(collectionname=collectionname),
            pb.DropCollectionResponse,
            timeout,
        )

    async def get_indexes(
        self, collectionname: str, *, timeout: float | None = None
    ) -> list[JsonObject]:
        """Return the indexes of a collection."""
        reply = await self._call(
            "get_indexes",
            "getindexes",
            pb.GetIndexesRequest(collectionname=collectionname),
            pb.GetIndexesResponse,
            timeout,
        )
        return objects_from_text(reply.results, operation="get_indexes")

    async def create_index(
        self,
        collectionname: str,
        index: JsonText,
        options: JsonText | None = None,
        name: str = "",
        *,
        timeout: float | None = None,
    ) -> str:
        """Create an index; returns what the server answers."""
        reply = await self._call(
            "create_index",
            "createindex",
            pb.CreateIndexRequest(
                collectionname=collectionname,
                index=json_argument(index),
                options=json_argument(options),
                name=name,
            ),
            pb.CreateIndexResponse,
            timeout,
        )
        return reply.result

    async def drop_index(
        self, collectionname: str, name: str, *, timeout: float | None = None
    ) -> None:
        """Delete an index by name."""
        await self._call(
            "drop_index",
            "dropindex",
            pb.DropIndexRequest(collectionname=collectionname, name=name),
            pb.DropIndexResponse,
            timeout,
        )
