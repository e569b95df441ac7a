"""What documents weigh, asked for in queries."""

from typing import Any

import pytest

from tests.cases import each
from worker.localserver.operations.size_conditions import size_condition

DOCUMENT = {"_id": "a", "name": "x" * 100, "payload": {"a": "y" * 1000}}


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [
        ({"$bsonSize": "$$ROOT"}, 1100, 1200),
        ({"$bsonSize": {"a": "$name"}}, 100, 110),
        ({"$bsonSize": {"a": "$name", "b": "$payload.a", "c": "$none"}}, 1100, 1110),
        ({"$subtract": [{"$bsonSize": "$$ROOT"}, {"$bsonSize": {"a": "$payload"}}]}, 100, 180),
    ],
)
def test_a_document_is_weighed_as_was_asked(size: Any, least: int, most: int) -> None:
    for name, limit, met in [
        ("$gt", least - 1, True),
        ("$gte", most, False),
        ("$lt", least, False),
        ("$lte", most, True),
    ]:
        condition = size_condition({name: [size, limit]})
        assert condition is not None
        assert condition.met_by(DOCUMENT) is met


@each(
    "expression",
    [
        None,
        5,
        [],
        {},
        {"$lte": 5},
        {"$lte": [{"$bsonSize": "$$ROOT"}]},
        {"$lte": [{"$bsonSize": "$$ROOT"}, True]},
        {"$lte": [{"$bsonSize": "$$NOW"}, 5]},
        {"$lte": [{"$bsonSize": {}}, 5]},
        {"$lte": [{"$bsonSize": {"a": 5}}, 5]},
        {"$lte": [{"$bsonSize": {"a": "$$ROOT"}}, 5]},
        {"$eq": ["$a", "$b"]},
        {"$lte": [{"$bsonSize": "$$ROOT"}, 5], "$gte": [1, 2]},
    ],
)
def test_whatever_else_is_for_others_to_answer(expression: Any) -> None:
    assert size_condition(expression) is None
