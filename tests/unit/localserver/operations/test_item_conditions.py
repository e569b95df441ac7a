"""What SQL says of items is what mongomock says: the same items, in the same order, as many."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.localserver.operations import queries as queries_module
from worker.localserver.operations.item_conditions import item_condition
from worker.localserver.operations.item_orders import index_statements, item_order, odd_index
from worker.localserver.operations.patterns import with_timed_patterns
from worker.localserver.operations.queries import Queries
from worker.localserver.storage import json_text
from worker.localserver.storage.document_table import COMPARISONS, DocumentTable
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.item_documents import item_of
from worker.localserver.storage.item_table import ItemTable
from worker.localserver.storage.store import Store

NOW = 1_795_863_600_000
DATES = [json_text.write_date(NOW + n * 500) for n in range(4)]
PLAIN = [
    *("", "a", "b", "A", "ä", "10", "1", "Zz", "$x", "[1]", '{"a":1}', "2026-11-28Tuesday"),
    *(None, 0, 1, 2, -1, 1.5, 10, 1e300, 2**53),
]
ODD = [True, False, *DATES[:2], "2026-11-28T12:00:00.5+01:00", [], {}, [1], ["a", 1], [[1]]]
ODD += [[{"b": 1}], [{"b": "a"}, {"b": 2}], {"b": [1, "a"]}, {"0": "a"}, ["a", "b"], [True]]
SCALARS = st.sampled_from([one for one in [*PLAIN, *ODD] if not isinstance(one, list | dict)])
BESIDE = "openiap_worker_parent"
TEXT = ["", "a", "A1", "b 17 c", "ä", "x\ny"]


def corpus(seed: int, *, odd: bool) -> list[dict[str, Any]]:
    """Return documents with every value in every place, some of them odd."""
    chance = random.Random(seed)
    inner = [*PLAIN, *(ODD if odd else [])]
    texts = [*TEXT, DATES[0]] if odd else TEXT
    created = [*DATES, "soon", DATES[0].replace("Z", "00Z"), None, 7] if odd else DATES
    payloads: list[Any] = [{"a": one} for one in inner]
    payloads += [{"a": {"b": one}, "b": one, "a-b": one} for one in inner]
    payloads += [[{"a": 1}], {"a": {"0": "a"}}] if odd else [{}]
    return [
        {
            "state": chance.choice(["new", "failed", "processing"]),
            "wiq": chance.choice(["q", "r"]),
            "name": chance.choice(texts),
            "errormessage": chance.choice(texts),
            "errortype": chance.choice(["", "business", "application"]),
            "username": chance.choice([None, "bob"]),
            "priority": chance.randrange(4),
            "retries": chance.randrange(4),
            "payload": payload,
            "_modified": chance.choice(DATES),
            "nextrun": chance.choice([None, *DATES]),
            "lastrun": chance.choice([None, *DATES]),
            "_created": chance.choice(created),
            **chance.choice([{}, {"odd": 1}]),
            **chance.choice([{}, *({BESIDE: one} for one in inner)]),
        }
        for payload in payloads
    ]


TEXTS = st.sampled_from([*TEXT, DATES[0]])
PATHS = st.sampled_from(["payload.a", "payload.b", "payload.a.b", "payload.a.0", "payload.a-b"])
BOUND = st.sampled_from(["$gt", "$gte", "$lt", "$lte"])
COMPARED = (
    SCALARS
    | st.builds(lambda name, value: {name: value}, BOUND | st.just("$ne"), SCALARS)
    | st.builds(lambda values: {"$in": values}, st.lists(SCALARS, min_size=1, max_size=3))
)
PATTERN = st.builds(
    lambda text, options: {"$regex": text, "$options": options},
    st.sampled_from(["a", "^a", "[0-9]+", "^$", "\\ 17"]),
    st.sampled_from(["", "i"]),
)
NUMBERS = st.integers(-1, 4) | st.builds(lambda name, n: {name: n}, BOUND, st.integers(0, 3))
PARTS = st.one_of(
    st.builds(lambda path, value: {path: value}, PATHS, COMPARED),
    st.builds(
        lambda name, value: {name: value},
        st.sampled_from(["name", "errormessage", "errortype", "username"]),
        TEXTS | PATTERN | st.just(None) | st.just({"$in": ["a", "A1"]}) | st.just({"$ne": "a"}),
    ),
    st.builds(lambda n, value: {n: value}, st.sampled_from(["priority", "retries"]), NUMBERS),
    st.builds(
        lambda name, bound, date: {name: {bound: date}},
        st.sampled_from(["_modified", "nextrun", "lastrun", "_created"]),
        BOUND,
        st.sampled_from([*DATES, "2026-11-28T11:00:00.0004Z"]),
    ),
    st.sampled_from(
        [
            *({"state": "failed"}, {"state": {"$ne": "new"}}, {"wiq": {"$in": ["q"]}}, {"odd": 1}),
            *({BESIDE: "a"}, {BESIDE: "ä"}, {BESIDE: DATES[0]}, {BESIDE: {"$ne": "a"}}),
            *({"_id": {"$gt": "i3"}}, {"_id": {"$in": ["i1", "i2"], "$gt": "i1"}}),
        ]
    ),
)
QUERIES = st.lists(
    PARTS
    | st.builds(
        lambda key, parts: {key: parts},
        st.sampled_from(["$and", "$or"]),
        st.lists(PARTS, min_size=1, max_size=3),
    ),
    max_size=3,
).map(lambda parts: {"$and": parts} if len(parts) > 1 else (parts[0] if parts else {}))
FIELDS = st.sampled_from(
    [
        *("_created", "_modified", "nextrun", "lastrun", "name", "priority", "state", "wiq"),
        *("errortype", "errormessage", "username", "retries", "_id", "payload.a", "payload.a.b"),
    ]
)
ORDERS = st.dictionaries(FIELDS, st.sampled_from([1, -1]), max_size=2)


@contextmanager
def by_mongomock_alone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queries_module, "item_condition", lambda query, **_: ("", [], query))
        patch.setattr(queries_module, "item_order", lambda order: None)
        yield


def stored(documents: list[dict[str, Any]]) -> tuple[Store, Queries]:
    store = Store(None)
    table = ItemTable(store)
    for number, document in enumerate(documents):
        table.insert(item_of({"_id": f"i{number}", "_type": "workitem", **document}), NOW)
    return store, Queries(DocumentTable(store), table)


def answered(queries: Queries, query: Any, orderby: Any, skip: int, top: int) -> Any:
    try:
        found = queries.query("workitems", query, orderby=orderby, skip=skip, top=top)
        return [one["_id"] for one in found], queries.count("workitems", query)
    except RefusedError:
        return "refused"


STORES = {odd: stored(corpus(7, odd=odd)) for odd in (True, False)}
INDEXED = {odd: stored(corpus(7, odd=odd)) for odd in (True, False)}
for _store, _ in INDEXED.values():
    for _field in ("_created", "_modified", "payload.a", "payload.a.b", "errormessage"):
        for _statement in index_statements(_field, {_field: 1}):
            _store.write(_statement)


@settings(max_examples=50)
@given(st.booleans(), QUERIES, ORDERS, st.integers(0, 2), st.integers(1, 100))
def test_sql_finds_what_mongomock_finds(
    odd: bool, query: dict[str, Any], orderby: dict[str, int], skip: int, top: int
) -> None:
    with by_mongomock_alone():
        expected = answered(STORES[odd][1], query, orderby, skip, top)
    assert answered(STORES[odd][1], query, orderby, skip, top) == expected
    assert answered(INDEXED[odd][1], query, orderby, skip, top) == expected, "with indexes"


def matched(queries: Queries, query: dict[str, Any]) -> Any:
    try:
        return list(queries.matching("workitems", query, dates=False))
    except RefusedError:
        return "refused"


@settings(max_examples=50)
@given(st.booleans(), QUERIES, st.integers(0, 40))
def test_an_item_named_by_a_conditional_update_is_matched_as_one_that_is_found(
    odd: bool, query: dict[str, Any], number: int
) -> None:
    name = f"i{number}"
    queries = STORES[odd][1]
    expected = matched(queries, {**query, "_id": {"$in": [name]}})
    assert matched(queries, {**query, "_id": name}) == expected
    if "$or" not in query and "_id" not in query:
        assert matched(queries, {**query, "$or": [{"_id": name}]}) == expected


DEAR = [pytest.param(f"payload.{path}", 1, marks=pytest.mark.dear) for path in ("a", "a.b", "a.0")]


@pytest.mark.parametrize(("path", "step"), [("payload.a", 4), ("payload.a.b", 5), *DEAR])
def test_every_value_is_compared_as_mongomock_does(path: str, step: int) -> None:
    values = [*PLAIN, *ODD]
    asked = [*values, *({name: one} for one in values for name in (*COMPARISONS, "$ne"))]
    for wanted in asked[::step]:
        with by_mongomock_alone():
            expected = answered(STORES[True][1], {path: wanted}, {}, 0, 500)
        for _, queries in (STORES[True], INDEXED[True]):
            assert answered(queries, {path: wanted}, {}, 0, 500) == expected, wanted


@pytest.mark.parametrize(
    "query",
    [
        {"payload.customer": "acme"},
        {"payload.a.b": {"$in": [1, "x"]}},
        {"payload.n": {"$gte": 10}},
        {"errormessage": {"$regex": "x", "$options": "i"}},
        {"$and": [{"$or": [{"state": "new", "retries": {"$gte": 2}}, {"state": {"$ne": "new"}}]}]},
        {"_modified": {"$gte": DATES[0], "$lte": DATES[1]}},
        {"_id": {"$gt": "a"}, "wiq": "q", "state": {"$in": ["new", "failed"]}},
        {"_created": {"$lte": DATES[1]}, "wiq": "q", "state": {"$in": ["new", "processing"]}},
    ],
)
def test_what_operators_ask_is_sql_to_the_last_part(query: dict[str, Any]) -> None:
    where, _, rest = item_condition(query)
    assert where
    assert rest == {}


def test_alternatives_of_payloads_may_be_more_than_sqlite_puts_together() -> None:
    store, queries = stored([{"state": "new", "wiq": "q", "payload": {"a": n}} for n in range(3)])
    assert queries.count("workitems", {"$or": [{"payload.a": n} for n in range(1, 600)]}) == 2
    store.close()


@pytest.mark.parametrize(
    "query",
    [
        {"payload.$where": "x"},
        {"payload.a'b": 1},
        {'payload.a"b': 1},
        {"payload.a.": 1},
        {"$where": "1"},
        {"payload.a": {"$exists": True}},
        {"payload.a": {"$gt": None}},
        {"_created": DATES[0]},
        {"_created": {"$gte": "9999-12-31T23:59:59.9999Z"}},
    ],
)
def test_what_sql_cannot_say_stays_as_it_is(query: dict[str, Any]) -> None:
    assert item_condition(query)[2] == query


def test_a_plain_pattern_may_be_asked_of_very_many_items() -> None:
    (pattern,) = with_timed_patterns({"$regex": "GONE", "$options": "i"}).values()
    assert not any(pattern.search(f"order {n} is away") for n in range(100_000))


def test_an_error_inside_a_question_reaches_who_asked() -> None:
    store, queries = stored([{"state": "new", "wiq": "q", "errormessage": "a" * 40}])
    with pytest.raises(RefusedError, match="takes longer"):
        queries.count("workitems", {"errormessage": {"$regex": "^(a|aa)+$b"}})
    assert queries.count("workitems", {"errormessage": {"$regex": "a"}}) == 1
    store.close()


@pytest.mark.parametrize(
    ("keys", "query", "orderby"),
    [
        ({"wiq": 1, "_created": -1, "_id": -1}, {"wiq": "q"}, {"_created": -1, "_id": -1}),
        ({"payload.customer": 1}, {"payload.customer": "acme", "wiq": "q"}, {}),
        ({"wiq": 1, "payload.customer": 1}, {"payload.customer": "acme", "wiq": "q"}, {}),
        ({"wiq": 1, "state": 1, "_modified": -1}, {"wiq": "q", "state": "failed"}, {}),
    ],
)
def test_an_index_is_used(
    keys: dict[str, int], query: dict[str, Any], orderby: dict[str, int]
) -> None:
    store, _ = stored([])
    statements = index_statements("mine", keys)
    store.write(index_statements("queue", {"wiq": 1})[0])
    for statement in statements:
        store.write(statement)
    name = statements[0].split()[5]
    indexed = [odd_index(field) for field in keys]
    where, values, _ = item_condition(query, indexed=lambda path: odd_index(path) in indexed)
    order = item_order(orderby) if orderby else None
    by = f" ORDER BY {order.text}" if order else ""
    table = "whole_workitems" if "payload" in where else "workitems"
    numbers = [0 if callable(one) else one for one in values]
    plan = list(store.rows(f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE {where}{by}", numbers))
    text = json.dumps(plan)
    assert name in text
    for one in ("workitems", "payloads"):
        assert f"SCAN {one}" not in text.replace(f"SCAN {one} USING", "")
    assert "USE TEMP B-TREE" not in text
    store.close()
