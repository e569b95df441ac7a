"""The pure rules of messages, watches, queries and faults."""

from typing import Any

import pytest

from tests.cases import each
from worker.localserver.operations.item_conditions import item_condition
from worker.localserver.operations.messages import topic_fits
from worker.localserver.operations.options import Faults
from worker.localserver.operations.paths import MISSING, PathError, path_filter
from worker.localserver.storage.errors import RefusedError


@each(
    ("pattern", "key", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.bc", False),
        ("a.*", "a", False),
        ("a.#", "a", True),
        ("#", "", True),
        ("#", "a.b.c", True),
        ("*.b", "a.b", True),
        ("a.#.c", "a.c", True),
        ("a.#.c", "a.b.b.c", True),
        ("a+", "aa", False),
    ],
)
def test_topics_fit_word_by_word(pattern: str, key: str, fits: bool) -> None:
    assert topic_fits(pattern, key) is fits


@each(
    ("path", "fits"),
    [
        ("", True),
        ("$.", True),
        ("$[?(@._type == 'test')]", True),
        ('$[?(@._type=="test")]', True),
        ("$[?(@._type === 'test' && @.n == 1)]", True),
        ("$[?(@.n != 1)]", False),
        ("$[?(@.gone == 'x')]", False),
        ("$[?(@.n.deeper == 'x')]", False),
        ("$.[?(@._type == 'test')]", True),
        ("$[?(@.within == 1)]", False),
        ("$.[?(@.within == 1)]", True),
        ("$..[?(@.within == 1)]", True),
        ("$.*.n", True),
        ("$[*].n", True),
        ("$.*.within", False),
    ],
)
def test_paths_choose_documents(path: str, fits: bool) -> None:
    document = {"_type": "test", "n": 1, "parts": [{"within": 1}]}
    assert path_filter(path).fits(document) is fits


@pytest.mark.parametrize("null", [{"a": None}, {"a": {"b": None}}, {"a": [1, None]}])
def test_a_path_that_recurses_throws_at_any_null(null: dict[str, Any]) -> None:
    document = {"state": "new", **null}
    with pytest.raises(PathError, match=r"properties of null \(reading 'state'\)"):
        path_filter("$.[?(@.state == 'new')]").fits(document)
    assert path_filter("$[?(@.state == 'new')]").fits(document)
    assert path_filter("$.[?(@.state == 'new')]", strict=False).fits(document)


def test_a_field_that_is_null_is_there() -> None:
    assert path_filter("$.*.lastrun").fits({"lastrun": None, "a": None})
    assert not path_filter("$.*.nextrun").fits({"lastrun": None, "a": None})


def test_a_field_below_what_is_not_there_throws() -> None:
    with pytest.raises(PathError, match=r"properties of undefined \(reading 'b'\)"):
        path_filter("$[?(@.a.b == 1)]").fits({"c": 1})
    assert not path_filter("$[?(@.a.b == 1)]", strict=False).fits({"c": 1})


@each(
    ("path", "may_fit"),
    [
        ("", True),
        ("$[?(@.state == 'new')]", False),
        ("$.[?(@.state == 'new')]", True),
        ("$[?(@.state != 'new')]", True),
        ("$[?(@.state == 'processing' && @.unknown == 1)]", True),
        ("$[?(@.state.deeper == 'x')]", True),
        ("$.*.state", True),
        ("$.*.unknown", True),
        ("$.*.nextrun", False),
        ("$[?(@.nextrun == 'x')]", False),
        ("$[?(@.nextrun != 'x')]", True),
    ],
)
def test_known_fields_rule_out_what_they_can(path: str, may_fit: bool) -> None:
    assert path_filter(path).may_fit({"state": "processing", "nextrun": MISSING}) is may_fit


@pytest.mark.parametrize(
    "path", ["$.[?(@.a > 1)]", "$.store..book", "$.*.a.b", "$.[?(@.a == oops)]", "garbage"]
)
def test_paths_that_are_not_understood_are_refused(path: str) -> None:
    with pytest.raises(RefusedError, match=r"cannot watch the path"):
        path_filter(path)


def test_what_sql_answers_of_a_query_is_taken_out_of_it() -> None:
    where, values, rest = item_condition(
        {
            "_id": {"$in": ["1", "2"]},
            "wiq": "q'; DROP TABLE workitems; --",
            "state": "processing",
            "retries": 1,
            "_type": "workitem",
            "wiqid": {"$in": [1]},
        }
    )
    assert where == "id IN (?, ?) AND wiq = ? AND state = 'processing' AND retries = ?"
    assert values == ["1", "2", "q'; DROP TABLE workitems; --", 1]
    assert rest == {"wiqid": {"$in": [1]}}


def test_faults_change_all_together_or_not_at_all() -> None:
    faults = Faults()
    faults.change({"silent": True, "refuse_collections": ["a"], "delay": {"count": 1}})
    assert (faults.silent, faults.refuse_collections, faults.delay) == (True, {"a"}, {"count": 1})
    wrong: list[dict[str, Any]] = [{"nope": 1}, {"silent": 1}, {"lose_pop_replies": True}]
    for values in wrong:
        with pytest.raises(ValueError, match=r"there is no fault|takes a"):
            faults.change({"lose_update_replies": 7, **values})
    assert faults.lose_update_replies == 0
