"""The commands of documents, collections and indexes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from google.protobuf.message import Message

from worker.localserver.operations.documents import Documents
from worker.localserver.protocol.command import Call, Command, json_list, json_object
from worker.localserver.storage import json_text
from worker.localserver.storage.errors import RefusedError
from worker.openiap.wire import openiap_pb2 as pb

NO_TEXT: Final = (
    'The "string" argument must be of type string or an instance of Buffer or ArrayBuffer. Received'
)
"""What OpenIAP says to ``distinct`` of values that are no texts: its answer has room for texts."""
OBJECT_ID_LENGTHS: Final = (12, 24)
"""Of texts that MongoDB takes for an ObjectId."""


def query(call: Call, request: pb.QueryRequest) -> Message:
    """Find documents."""
    _require_query(call, request.query)
    found = call.services.queries.query(
        request.collectionname,
        json_object(request.query, "query"),
        projection=json_object(request.projection, "projection"),
        orderby=_orderby(request.orderby),
        top=request.top,
        skip=request.skip,
        reader=call.user,
    )
    if request.explain:
        found = [_plan(request.collectionname, len(found))]
    return pb.QueryResponse(results=json_text.write(found))


def aggregate(call: Call, request: pb.AggregateRequest) -> Message:
    """Run an aggregation pipeline."""
    found = call.services.queries.aggregate(
        request.collectionname, json_list(request.aggregates, "aggregates"), call.user
    )
    if request.explain:
        found = [_plan(request.collectionname, len(found))]
    return pb.AggregateResponse(results=json_text.write(found))


def count(call: Call, request: pb.CountRequest) -> Message:
    """Count documents."""
    _require_query(call, request.query)
    wanted = json_object(request.query, "query")
    found = call.services.queries.count(request.collectionname, wanted, call.user)
    return pb.CountResponse(result=found)


def distinct(call: Call, request: pb.DistinctRequest) -> Message:
    """List the different values of a field."""
    if not request.field:
        raise RefusedError("field is mandatory")
    if call.services.options.strict:
        json_text.parse(request.query)
    found = call.services.queries.distinct(
        request.collectionname, request.field, json_object(request.query, "query"), call.user
    )
    odd = next((one for one in found if not isinstance(one, str)), None)
    if odd is not None and call.services.options.strict:
        raise RefusedError(f"{NO_TEXT} {_received(odd)}")
    texts = (one if isinstance(one, str) else json_text.write(one).strip('"') for one in found)
    return pb.DistinctResponse(results=texts)


def _plan(collection: str, found: int) -> dict[str, Any]:
    """Return what ``explain`` is answered: one document in place of those that were found."""
    return {
        "queryPlanner": {
            "plannerVersion": 1,
            "namespace": collection,
            "winningPlan": {"stage": "SQLITE"},
        },
        "executionStats": {"executionSuccess": True, "nReturned": found},
        "ok": 1,
    }


def _received(value: object) -> str:
    """Name a value as OpenIAP does in that refusal."""
    if isinstance(value, bool | int | float):
        kind = "boolean" if isinstance(value, bool) else "number"
        return f"type {kind} ({json_text.write(value)})"
    return f"an instance of {'Date' if isinstance(value, datetime) else 'Object'}"


def insert_one(call: Call, request: pb.InsertOneRequest) -> Message:
    """Add a document."""
    documents = _writable(call, request.collectionname)
    stored = documents.insert(
        request.collectionname, json_object(request.item, "item"), call.user, call.services.now()
    )
    return pb.InsertOneResponse(result=json_text.write(stored))


def insert_many(call: Call, request: pb.InsertManyRequest) -> Message:
    """Add several documents, all or none."""
    documents = _writable(call, request.collectionname)
    stored = [
        documents.insert(request.collectionname, document, call.user, call.services.now())
        for document in json_list(request.items, "items")
    ]
    return pb.InsertManyResponse(results=_results(stored, request.skipresults))


def update_one(call: Call, request: pb.UpdateOneRequest) -> Message:
    """Replace a document."""
    documents = _writable(call, request.collectionname)
    stored = documents.replace(
        request.collectionname, json_object(request.item, "item"), call.user, call.services.now()
    )
    return pb.UpdateOneResponse(result=json_text.write(stored))


def update_document(call: Call, request: pb.UpdateDocumentRequest) -> Message:
    """Change the documents that match: the conditional update."""
    documents = _writable(call, request.collectionname)
    change = json_object(request.document, "document")
    if call.services.options.strict:
        change = json_text.misread(request.document, change)
    changed = documents.change(
        request.collectionname,
        _condition(call, request.query),
        change,
        call.user,
        call.services.now(),
        asks_payload=_may_name_the_payload(request.query),
    )
    return pb.UpdateDocumentResponse(
        opresult=pb.UpdateResult(acknowledged=True, matchedCount=changed, modifiedCount=changed)
    )


def _may_name_the_payload(query: str) -> bool:
    """Whether a condition's text may ask for something in the payload; an escape may spell it."""
    return "payload" in query or "$$" in query or "\\u" in query


def insert_or_update_one(call: Call, request: pb.InsertOrUpdateOneRequest) -> Message:
    """Replace the document with the same unique fields, or add this one."""
    documents = _writable(call, request.collectionname)
    stored = documents.insert_or_replace(
        request.collectionname,
        request.uniqeness,
        json_object(request.item, "item"),
        call.user,
        call.services.now(),
        forget_id=call.services.options.strict or call.services.options.faults.upserts_forget_ids,
    )
    return pb.InsertOrUpdateOneResponse(result=json_text.write(stored))


def insert_or_update_many(call: Call, request: pb.InsertOrUpdateManyRequest) -> Message:
    """The same for several documents, all or none."""
    documents = _writable(call, request.collectionname)
    stored = [
        documents.insert_or_replace(
            request.collectionname, request.uniqeness, document, call.user, call.services.now()
        )
        for document in json_list(request.items, "items")
    ]
    return pb.InsertOrUpdateManyResponse(results=_results(stored, request.skipresults))


def delete_one(call: Call, request: pb.DeleteOneRequest) -> Message:
    """Remove a document."""
    documents = _writable(call, request.collectionname)
    if not request.id:
        raise RefusedError("id cannot be null")
    gone = documents.delete_one(request.collectionname, request.id, call.user)
    return pb.DeleteOneResponse(affectedrows=gone)


def delete_many(call: Call, request: pb.DeleteManyRequest) -> Message:
    """Remove the documents that match, or those of the given ids."""
    documents = _writable(call, request.collectionname)
    if not request.ids and not request.query.strip():
        raise RefusedError("query or ids is mandatory")
    return pb.DeleteManyResponse(
        affectedrows=documents.delete_many(
            request.collectionname, _condition(call, request.query), list(request.ids), call.user
        )
    )


def _condition(call: Call, text: str) -> dict[str, Any]:
    """Read what documents have to match, as OpenIAP does it, with its bug."""
    query = json_object(text, "query")
    id = query.get("_id")
    options = call.services.options
    if (
        (options.strict or options.faults.or_beside_id_is_lost)
        and isinstance(id, str)
        and len(id) in OBJECT_ID_LENGTHS
    ):
        query["$or"] = [{"_id": query.pop("_id")}]
    return query


def _require_query(call: Call, text: str) -> None:
    if not text and call.services.options.strict:
        raise RefusedError("Query is mandatory")


def _require_admin(call: Call, said: str = "") -> None:
    if not call.user.is_admin:
        raise RefusedError(f"Access denied{said}")


def list_collections(call: Call, request: pb.ListCollectionsRequest) -> Message:
    """List all collections."""
    names = call.services.collections.names()
    return pb.ListCollectionsResponse(
        results=json_text.write([{"name": name, "type": "collection"} for name in names])
    )


def create_collection(call: Call, request: pb.CreateCollectionRequest) -> Message:
    """Make a collection."""
    _require_admin(call, f", creating collection {request.collectionname}")
    if request.capped or request.HasField("timeseries"):
        raise RefusedError(
            "The local server does not support createcollection with capped or timeseries"
        )
    call.services.collections.create(request.collectionname, request.expireAfterSeconds)
    return pb.CreateCollectionResponse()


def drop_collection(call: Call, request: pb.DropCollectionRequest) -> Message:
    """Remove a collection."""
    _require_admin(call, f", droppping collection {request.collectionname}")
    call.services.collections.drop(request.collectionname)
    return pb.DropCollectionResponse()


def get_indexes(call: Call, request: pb.GetIndexesRequest) -> Message:
    """List a collection's indexes."""
    _require_admin(call)
    return pb.GetIndexesResponse(
        results=json_text.write(call.services.collections.indexes(request.collectionname))
    )


def create_index(call: Call, request: pb.CreateIndexRequest) -> Message:
    """Make an index."""
    _require_admin(call)
    name = call.services.collections.create_index(
        request.collectionname,
        json_object(request.index, "index"),
        json_object(request.options, "options"),
        request.name,
    )
    return pb.CreateIndexResponse(result=name)


def drop_index(call: Call, request: pb.DropIndexRequest) -> Message:
    """Remove an index."""
    _require_admin(call)
    call.services.collections.drop_index(request.collectionname, request.name)
    return pb.DropIndexResponse()


COMMANDS: Final[Mapping[str, Command]] = {
    "query": Command(pb.QueryRequest, query),
    "aggregate": Command(pb.AggregateRequest, aggregate),
    "count": Command(pb.CountRequest, count),
    "distinct": Command(pb.DistinctRequest, distinct),
    "insertone": Command(pb.InsertOneRequest, insert_one, writes=True),
    "insertmany": Command(pb.InsertManyRequest, insert_many, writes=True),
    "updateone": Command(pb.UpdateOneRequest, update_one, writes=True),
    "updatedocument": Command(pb.UpdateDocumentRequest, update_document, writes=True),
    "insertorupdateone": Command(pb.InsertOrUpdateOneRequest, insert_or_update_one, writes=True),
    "insertorupdatemany": Command(pb.InsertOrUpdateManyRequest, insert_or_update_many, writes=True),
    "deleteone": Command(pb.DeleteOneRequest, delete_one, writes=True),
    "deletemany": Command(pb.DeleteManyRequest, delete_many, writes=True),
    "listcollections": Command(pb.ListCollectionsRequest, list_collections),
    "createcollection": Command(pb.CreateCollectionRequest, create_collection, writes=True),
    "dropcollection": Command(pb.DropCollectionRequest, drop_collection, writes=True),
    "getindexes": Command(pb.GetIndexesRequest, get_indexes),
    "createindex": Command(pb.CreateIndexRequest, create_index, writes=True),
    "dropindex": Command(pb.DropIndexRequest, drop_index, writes=True),
}


def _orderby(text: str) -> dict[str, Any]:
    """Return an order: a JSON object, or the bare name of a field (ascending)."""
    if text.strip() in ("", "null"):
        return {}
    value = json_text.parse(text) if text.strip()[0] in '{["' else text.strip()
    if isinstance(value, str):
        return {value: 1}
    if not isinstance(value, dict):
        raise RefusedError("orderby must be a JSON object or the name of a field")
    return value


def _results(documents: list[dict[str, Any]], skip: bool) -> str:
    return "[]" if skip else json_text.write(documents)


def _writable(call: Call, collection: str) -> Documents:
    if collection in call.services.options.faults.refuse_collections:
        raise RefusedError(f"Access denied, no authorization to write to {collection}")
    return call.services.documents
