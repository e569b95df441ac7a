"""Reading documents: filters, orders, projections, aggregations.

mongomock gives MongoDB's operators their meaning; this module hands it as few documents as it can:
an ``_id`` is looked up, and items are found, ordered and counted in SQL as far as it says the same
(``item_conditions.py``, ``item_orders.py``).
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeGuard

import mongomock
from mongomock.filtering import resolve_sort_key

from worker.localserver.operations.bounded import bounded
from worker.localserver.operations.item_conditions import item_condition
from worker.localserver.operations.item_groups import grouping_of
from worker.localserver.operations.item_orders import item_order, odd_index
from worker.localserver.operations.item_places import held_by
from worker.localserver.operations.matching import applies, asked, prepared
from worker.localserver.operations.patterns import with_timed_patterns
from worker.localserver.operations.plain_conditions import (
    NotPlain,
    applies_plainly,
)
from worker.localserver.operations.size_conditions import size_condition
from worker.localserver.storage import item_table, json_text, rights
from worker.localserver.storage.document_table import COMPARISONS, DocumentTable
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.item_documents import document_of
from worker.localserver.storage.item_table import ItemTable
from worker.localserver.storage.user import User

DEFAULT_TOP: Final = 500


class Queries:
    """Answers questions about documents of any collection."""

    def __init__(self, documents: DocumentTable, items: ItemTable) -> None:
        self._documents = documents
        self._items = items

    def query(
        self,
        collection: str,
        query: dict[str, Any],
        *,
        projection: dict[str, Any] | None = None,
        orderby: dict[str, Any] | None = None,
        top: int = 0,
        skip: int = 0,
        reader: User | None = None,
    ) -> list[dict[str, Any]]:
        """Return the documents that match.

        Args:
            collection: its name; an unknown one has no documents.
            query: MongoDB's query language.
            projection: which fields to return.
            orderby: field to 1 (ascending) or -1.
            top: how many at most; 0 is 500.
            skip: how many to leave out first.
            reader: only what this user may read; None reads everything.

        Raises:
            RefusedError: mongomock knows no such operator, or finds the query wrong.
        """
        first = max(skip, 0)
        last = first + (top if top > 0 else DEFAULT_TOP)
        needs = _fields_read(query, projection, orderby)
        ordered = _id_order(collection, query, orderby)
        matching = self.matching(
            collection, query, payloads=needs, descending=ordered == -1, user=reader
        )
        at_once = None
        if _sees_all(reader):
            at_once = self._ordered_items(collection, query, orderby, first, last, payloads=needs)
        if at_once is not None:
            found = at_once
        elif orderby and not ordered:
            found = _sorted(list(matching), orderby)[first:last]
        else:
            found = []
            for position, document in enumerate(matching):
                if position >= last:
                    break
                if position >= first:
                    found.append(document)
        return _projected(found, projection)

    def _ordered_items(
        self,
        collection: str,
        query: dict[str, Any],
        orderby: dict[str, Any] | None,
        first: int,
        last: int,
        *,
        payloads: bool,
    ) -> list[dict[str, Any]] | None:
        """Return the items of a page where SQL can tell all of them and their order, else None."""
        if collection != item_table.COLLECTION or not orderby:
            return None
        where, values, rest = item_condition(query, indexed=self._indexed)
        order = None if rest else item_order(orderby)
        if order is None:
            return None
        for odd, index in order.odd:
            if self._items.has_index(index):
                if self._items.any(odd, index=index):
                    return None
            elif self._items.any(f"{where} AND {odd}" if where else odd, values):
                return None
        items = self._items.select(
            where, values, payloads=payloads, order=order.text, most=last - first, offset=first
        )
        return [document_of(item) for item in items]

    def _indexed(self, path: str) -> bool:
        return self._items.has_index(odd_index(path))

    def matching(
        self,
        collection: str,
        query: dict[str, Any],
        *,
        payloads: bool = True,
        dates: bool = True,
        descending: bool = False,
        user: User | None = None,
        right: int = rights.READ,
    ) -> Iterator[dict[str, Any]]:
        """Yield the documents that match, as they are stored.

        Args:
            collection: its name.
            query: MongoDB's query language.
            payloads: whether the payloads of items are needed.
            dates: whether text in the query that looks like a date is one; OpenIAP converts
                in queries, and not in the queries of conditional updates.
            descending: the greatest ``_id`` first, where the query has bounds for it.
            user, right: only what this user has this right on; None has every right.
        """
        weighed = size_condition(query.get("$expr"))
        if weighed is not None:
            query = {key: value for key, value in query.items() if key != "$expr"}
        rest, candidates = self._candidates(
            collection, query, payloads=payloads, dates=dates, descending=descending
        )
        if weighed is not None:
            candidates = filter(weighed.met_by, candidates)
        if user is not None and not user.is_admin:
            candidates = (
                one for one in candidates if rights.may(user, rights.acl_of(collection, one), right)
            )
        if not rest:
            yield from candidates
            return
        full: dict[str, Any] | None = None
        for document in candidates:
            try:
                if dates:
                    raise NotPlain
                met = applies_plainly(rest, document)
            except NotPlain:
                if full is None:
                    full = prepared(rest, dates=dates)
                met = applies(full, json_text.with_dates(document))
            if met:
                yield document

    def count(self, collection: str, query: dict[str, Any], reader: User | None = None) -> int:
        """Return how many documents match, of those that a user may read; None reads all."""
        if _sees_all(reader):
            if collection == item_table.COLLECTION:
                held = held_by(query, self._items.counts.held)
                if held is not None:
                    return sum(held.values())
                where, values, rest = item_condition(query, indexed=self._indexed)
                if not rest:
                    return self._items.count(where, values)
            elif not query:
                return self._documents.count(collection)
        needs = _fields_read(query, {"_id": 1}, None)
        return sum(1 for _ in self.matching(collection, query, payloads=needs, user=reader))

    def distinct(
        self, collection: str, field: str, query: dict[str, Any], reader: User | None = None
    ) -> list[Any]:
        """Return the different values of a field."""
        readable = self.matching(collection, query, user=reader)
        found = in_mongomock(map(json_text.with_dates, readable))
        return list(asked(lambda: found.distinct(field)))

    def aggregate(
        self, collection: str, stages: list[dict[str, Any]], reader: User | None = None
    ) -> list[dict[str, Any]]:
        """Run an aggregation pipeline; a ``$match`` in front narrows down what is loaded.

        Raises:
            RefusedError: mongomock knows no such stage, finds it wrong, or takes too long.
        """
        grouping = grouping_of(stages) if collection == item_table.COLLECTION else None
        if grouping is not None:
            if _sees_all(reader) and grouping.counts_alone:
                held = held_by(grouping.match, self._items.counts.held)
                if held is not None:
                    return grouping.held(held)
            where, values, left = item_condition(grouping.match, indexed=self._indexed)
            if _sees_all(reader) and not left:
                return grouping.documents(
                    self._items.grouped(where, values, grouping.columns, len(grouping.by))
                )
            needs = _fields_read(grouping.match, {"_id": 1}, None)
            return grouping.counted(
                self.matching(collection, grouping.match, payloads=needs, user=reader)
            )
        first: dict[str, Any] = {}
        rest = stages
        if stages and isinstance(stages[0], dict) and list(stages[0]) == ["$match"]:
            first, rest = stages[0]["$match"], stages[1:]
            if not isinstance(first, dict):
                raise RefusedError("the match filter must be an expression in an object")
        readable = self.matching(collection, first, user=reader)
        found = in_mongomock(map(json_text.with_dates, readable))
        pipeline = with_timed_patterns(json_text.with_dates(rest))
        with bounded("aggregation"):
            results: list[dict[str, Any]] = asked(lambda: list(found.aggregate(pipeline)))
        return results

    def _candidates(
        self,
        collection: str,
        query: dict[str, Any],
        *,
        payloads: bool,
        dates: bool,
        descending: bool,
    ) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
        """Return what of the query is still to be checked, and the documents to check."""
        if collection == item_table.COLLECTION:
            where, values, rest = item_condition(query, dates=dates, indexed=self._indexed)
            # No index changes the order in which they come; a conditional update has no use of one.
            order = "seq" if dates else ""
            items = self._items.select(where, values, payloads=payloads, order=order)
            return rest, (document_of(item) for item in items)
        document_id = query.get("_id")
        if isinstance(document_id, str):
            found = self._documents.get(collection, document_id)
            rest = {key: value for key, value in query.items() if key != "_id"}
            return rest, iter([found] if found is not None else [])
        if _bounds(document_id):
            rest = {key: value for key, value in query.items() if key != "_id"}
            return rest, self._documents.between(collection, document_id, descending=descending)
        return query, self._documents.all(collection)


def _sees_all(reader: User | None) -> bool:
    return reader is None or reader.is_admin


def _bounds(wanted: object) -> TypeGuard[dict[str, str]]:
    """Say whether this is bounds for a text, which SQLite compares as MongoDB does."""
    return (
        isinstance(wanted, dict)
        and bool(wanted)
        and all(key in COMPARISONS for key in wanted)
        and all(isinstance(json_text.with_dates(one), str) for one in wanted.values())
    )


def _id_order(collection: str, query: dict[str, Any], orderby: dict[str, Any] | None) -> int:
    """Return 1 or -1 where the documents come in the order asked for, by their ids; else 0."""
    if collection == item_table.COLLECTION or not orderby or set(orderby) != {"_id"}:
        return 0
    if not _bounds(query.get("_id")):
        return 0
    direction = orderby["_id"]
    return -1 if isinstance(direction, (int, float)) and direction < 0 else 1


def in_mongomock(documents: Iterable[dict[str, Any]]) -> Any:
    """Return a collection of mongomock's that holds these documents."""
    collection = mongomock.MongoClient().openiap.documents
    for document in documents:
        collection.insert_one(document)
    return collection


def _fields_read(
    query: dict[str, Any], projection: dict[str, Any] | None, orderby: dict[str, Any] | None
) -> bool:
    """Say whether payloads are needed; when in doubt they are."""
    weighed = size_condition(query.get("$expr"))
    if weighed is not None and not weighed.needs_payload:
        query = {key: value for key, value in query.items() if key != "$expr"}
    if any(key.startswith(("payload", "$")) for key in (*query, *(orderby or {}))):
        return True
    if not projection:
        return True
    if any(key.startswith("payload.") or isinstance(v, dict) for key, v in projection.items()):
        return True
    included = [key for key, value in projection.items() if value and key != "_id"]
    if included:
        return "payload" in included
    return ("payload" not in projection and set(projection) != {"_id"}) or (
        set(projection) == {"_id"} and not projection["_id"]
    )


def _sorted(documents: list[dict[str, Any]], orderby: dict[str, Any]) -> list[dict[str, Any]]:
    """Sort by several fields: by the last first, since sorting is stable."""
    for field, direction in reversed(list(orderby.items())):
        documents = asked(
            functools.partial(
                sorted,
                documents,
                key=functools.partial(_sort_key, field),
                reverse=isinstance(direction, (int, float)) and direction < 0,
            )
        )
    return documents


def _sort_key(field: str, document: dict[str, Any]) -> Any:
    return resolve_sort_key(field, json_text.with_dates(document))  # type: ignore[no-untyped-call]


def _projected(
    documents: list[dict[str, Any]], projection: dict[str, Any] | None
) -> list[dict[str, Any]]:
    if not projection or not documents:
        return documents
    flags = [bool(value) for key, value in projection.items() if key != "_id"]
    plain = all("." not in key and isinstance(v, (int, float)) for key, v in projection.items())
    if plain and len(set(flags)) <= 1:
        including = flags[0] if flags else bool(projection.get("_id"))
        if including:
            wanted = [key for key, value in projection.items() if value]
            if projection.get("_id", 1):
                wanted = ["_id", *(key for key in wanted if key != "_id")]
            return [{key: one[key] for key in wanted if key in one} for one in documents]
        return [{k: v for k, v in one.items() if k not in projection} for one in documents]
    found = in_mongomock(documents)
    return list(asked(lambda: list(found.find({}, with_timed_patterns(projection)))))
