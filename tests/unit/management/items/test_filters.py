"""A filter becomes one query, and nothing that a user writes becomes part of its language."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import each
from worker.management.items.errors import FilterError
from worker.management.items.filters import attempts_of, condition_of, query_of
from worker.management.items.patterns import trouble_with
from worker.management.items.types import ItemFilter, PayloadCondition

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def where(field: str, value: Any, op: Any = "=") -> ItemFilter:
    return ItemFilter(payload=[PayloadCondition(field=field, op=op, value=value)])


@each(
    ("filter", "query"),
    [
        (ItemFilter(), {}),
        (ItemFilter(queue="q", states=["failed"]), {"wiq": "q", "state": "failed"}),
        (ItemFilter(states=["new", "failed"]), {"state": {"$in": ["new", "failed"]}}),
        (ItemFilter(ids=["a"]), {"_id": {"$in": ["a"]}}),
        (ItemFilter(since=NOON), {"_modified": {"$gte": "2026-11-28T12:00:00.000Z"}}),
        (ItemFilter(error_kind="business"), {"errortype": "business"}),
        (where("payload.customer", "acme"), {"$and": [{"payload.customer": "acme"}]}),
        (where("amount", 10, ">="), {"$and": [{"payload.amount": {"$gte": 10}}]}),
        (where("a.b", ["x", 1], "in"), {"$and": [{"payload.a.b": {"$in": ["x", 1]}}]}),
        (where("a", None, "!="), {"$and": [{"payload.a": {"$ne": None}}]}),
        (
            ItemFilter(key="Ada"),
            {"state": "new", "openiap_worker_waits.why": "waits for its turn: key Ada"},
        ),
        (
            ItemFilter(error="a.b"),
            {"$and": [{"errormessage": {"$regex": "a\\.b", "$options": "i"}}]},
        ),
    ],
)
def test_a_filter_becomes_one_query(filter: ItemFilter, query: dict[str, Any]) -> None:
    assert query_of(filter) == {"_type": "workitem", **query}


def test_alternatives_stand_where_openiap_leaves_them() -> None:
    query = query_of(ItemFilter(ids=["a" * 24], min_attempts=2, error_class="X", worker="w"))
    assert "$or" not in query
    assert len(query["$and"]) == 3


@each(
    "filter",
    [
        where("$where", "sleep(1000)"),
        where("payload.$where", "sleep(1000)"),
        where("a.$gt", 1),
        where("a..b", 1),
        where("", 1),
        where("a\0b", 1),
        where(".".join("a" * 11), 1),
        where("a", "__REGEXP /(a+)+$/"),
        where("a", "\0"),
        where("a", "\ud800"),
        where("a", float("nan")),
        where("a", 2**60),
        where("a", True, ">"),
        where("a", ["x"], "="),
        where("a", [], "in"),
        where("a", ["x"] * 101, "in"),
        ItemFilter(queue="__REGEXP /.*/"),
        ItemFilter(name="\0"),
        ItemFilter(error_pattern="(a+)+$"),
        ItemFilter(error_pattern="("),
        ItemFilter(key="k", states=["failed"]),
        ItemFilter(ids=["__REGEXP /.*/"]),
    ],
)
def test_a_hostile_filter_is_refused_in_one_sentence(filter: ItemFilter) -> None:
    with pytest.raises(FilterError) as refused:
        query_of(filter)
    message = refused.value.message
    assert message.startswith("Filter ")
    assert "; allowed: " in message
    assert "\n" not in message
    assert len(message) < 400


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_brings_an_operator_into_a_query(field: str, value: str) -> None:
    try:
        query = query_of(where(field, value))
    except FilterError:
        return
    ((path, wanted),) = query["$and"][0].items()
    assert path.startswith("payload.")
    assert not any(part.startswith("$") or not part for part in path.split("."))
    assert wanted == value
    json.dumps(query).encode()


@each(
    "pattern",
    [
        *("(a+)+$", "(a|a)*$", "((a)*b?)*", "(.*)*", "(?=a)", "(?!a)", "(?P<n>a)", r"(a)\1"),
        *("a*b*c*d*", ".*.*.*.*x", "a{1,1000}", "(a{2,}){2,}", "x" * 201, "(?i)a", "(a|b){3}"),
        *("a?" * 12 + "a" * 12, "(a|a)" * 12, "a{1,60}a{1,60}"),
        *("(a?){50}a{50}", "(ab?){20}", "((a?)){9}", "(?:a{0,1})*b"),
    ],
)
def test_a_pattern_that_may_be_slow_is_refused(pattern: str) -> None:
    assert trouble_with(pattern)


@each(
    "pattern",
    [
        *("timeout|refused", r"^HTTP 5\d\d", "no (price|stock) for", r"[a-z]+\.csv", "(?:a|b) c"),
        *("[(]x+[)*]", "a.*b", "(ab)?c", "a?b?c?", r"\(.*\)", "a{3}", "[]a]+", "[^]a]"),
    ],
)
def test_a_plain_pattern_may_be_asked(pattern: str) -> None:
    assert trouble_with(pattern) == ""


@given(st.text(alphabet="ab.*+?(|)[]{}1,\\^$", max_size=20))
def test_no_pattern_that_may_be_asked_is_slow(pattern: str) -> None:
    if trouble_with(pattern):
        return
    began = time.process_time()
    re.search(pattern, "ab" * 100 + "!")
    assert time.process_time() - began < 0.5


@each(
    ("text", "field", "op", "value"),
    [
        ("payload.customer=acme", "payload.customer", "=", "acme"),
        ("customer = acme co", "customer", "=", "acme co"),
        ("amount>=10", "amount", ">=", 10),
        ("amount < 1.5", "amount", "<", 1.5),
        ("number=4711", "number", "in", [4711, "4711"]),
        ('number="4711"', "number", "=", "4711"),
        ("a != true", "a", "!=", True),
        ("country in DE,FR", "country", "in", ["DE", "FR"]),
        ("a=b=c", "a", "=", "b=c"),
        ("a=", "a", "=", ""),
        ("a=NaN", "a", "=", "NaN"),
    ],
)
def test_a_condition_is_read(text: str, field: str, op: str, value: object) -> None:
    assert condition_of(text) == PayloadCondition(field=field, op=op, value=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "customer", "=x", "in DE"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="allowed: FIELD=VALUE"):
        condition_of(text)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [("3", (3, 3)), (">=3", (3, None)), (">3", (4, None)), ("<3", (None, 2)), ("1..3", (1, 3))],
)
def test_a_number_of_attempts_is_read(text: str, bounds: tuple[int | None, int | None]) -> None:
    assert attempts_of(text) == bounds
    with pytest.raises(FilterError):
        attempts_of(f"{text} or so")
