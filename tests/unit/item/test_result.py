"""What a handler returned is laid over its item's payload."""

from dataclasses import dataclass
from decimal import Decimal

import pytest
from pydantic import BaseModel

from worker.item.result import success
from worker.openiap.values import MAX_PAYLOAD


class Booking(BaseModel):
    voucher: str
    amount: Decimal


def test_a_result_is_laid_over_the_payload() -> None:
    outcome = success({"number": "1"}, Booking(voucher="V", amount=Decimal("1.50")), handler="h")
    assert outcome.kind == "successful"
    assert outcome.payload == {"number": "1", "voucher": "V", "amount": "1.50"}
    assert (outcome.state, outcome.errortype) == ("successful", "")


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("result", "added"),
    [
        (None, {}),
        ({"a": 1}, {"a": 1}),
        (Point(2), {"x": 2}),
        (5, {"result": 5}),
        ([Point(2)], {"result": [{"x": 2}]}),
    ],
)
def test_results_are_laid_over_the_payload_or_kept_under_result(
    result: object, added: dict
) -> None:
    assert success({"n": 1}, result, handler="h").payload == {"n": 1, **added}


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (object(), "h: the result: an object has no JSON form"),
        ({1: 2}, "h: the result has a key 1; keys must be text"),
        ({"a": object()}, "h: the result: a: an object has no JSON form"),
        ({"a": float("nan")}, "h: the result: a: nan has no JSON form; write None, or text"),
    ],
)
def test_a_result_that_is_not_json_fails_the_item_at_once(result: object, message: str) -> None:
    outcome = success({}, result, handler="h")
    assert (outcome.kind, outcome.state) == ("failed", "failed")
    assert outcome.message.startswith(message)


def test_a_result_of_20_mb_fails_with_its_size() -> None:
    outcome = success({}, {"a": "x" * 20_000_000}, handler="h")
    assert outcome.kind == "failed"
    assert f"20000008 bytes, more than the {MAX_PAYLOAD}" in outcome.message
