"""From what a handler did to what is written back."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel, ValidationError

from worker import ApplicationError, Backoff, BusinessError, Never, Retry, Skip
from worker.item.outcome import failure, invalid_payload, released, success, update_of
from worker.item.retry import RetryPolicy, retry_policy
from worker.openiap.values import MAX_PAYLOAD
from worker.openiap.workitem import Workitem

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def fail(error: BaseException, *, attempt: int = 1, policy: RetryPolicy | None = None):
    try:
        raise error
    except BaseException as raised:
        return failure(
            raised,
            attempt=attempt,
            policy=policy or RetryPolicy(),
            now=NOW,
            chance=random.Random(1),
        )


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


def test_a_business_error_is_never_retried() -> None:
    outcome = fail(BusinessError("amount must be positive", code="BAD_AMOUNT"))
    assert (outcome.state, outcome.errortype) == ("retry", "business")
    assert outcome.message == "[BAD_AMOUNT] amount must be positive"
    assert "test_outcome.py" in outcome.source


def test_any_other_exception_is_retried_by_the_queue() -> None:
    outcome = fail(ValueError("no"))
    assert (outcome.kind, outcome.state, outcome.errortype) == (
        "application",
        "retry",
        "application",
    )
    assert outcome.message == "ValueError: no"
    assert outcome.retry_at is None


def test_retry_chooses_the_time() -> None:
    assert fail(Retry("5m", reason="busy")).retry_at == NOW + timedelta(minutes=5)
    assert fail(Retry(at=NOW)).retry_at == NOW
    assert fail(Retry()).retry_at is None


def test_skip_is_a_success_without_changes() -> None:
    assert fail(Skip("nothing to do")).kind == "successful"


def test_policies_by_exception_class() -> None:
    policy = retry_policy(
        {OSError: Backoff("10s", factor=3, jitter=False, attempts=3), KeyError: Never}
    )
    assert fail(ConnectionError(), policy=policy).retry_at == NOW + timedelta(seconds=10)
    assert fail(OSError(), attempt=2, policy=policy).retry_at == NOW + timedelta(seconds=30)
    assert fail(OSError(), attempt=3, policy=policy).kind == "failed"
    assert fail(KeyError("x"), policy=policy).kind == "failed"
    assert fail(ApplicationError("x"), policy=policy).kind == "application"


def test_a_backoff_never_overflows_and_keeps_its_bounds() -> None:
    backoff = Backoff("1s", factor=10, max="10m")
    chance = random.Random(2)
    for attempt in (1, 2, 3, 10, 10_000):
        wait = backoff.wait(attempt, chance)
        assert 0.5 <= wait <= 600


def test_an_invalid_payload_names_the_field_and_what_was_given() -> None:
    with pytest.raises(ValidationError) as caught:
        Booking.model_validate({"voucher": 5})
    outcome = invalid_payload(caught.value, handler="h")
    assert (outcome.state, outcome.errortype) == ("retry", "business")
    assert outcome.message == (
        "Payload of h is invalid: voucher: Input should be a valid string (given 5);"
        " amount: Field required"
    )


def test_a_failure_keeps_the_stored_payload() -> None:
    update = update_of(Workitem(id="1", payload={"a": 1}, retries=2), fail(ValueError("x")))
    assert update.payload is None
    assert update.state == "retry"


def test_released_costs_no_attempt_and_says_why() -> None:
    assert released("worker stopped").message == "worker stopped"
