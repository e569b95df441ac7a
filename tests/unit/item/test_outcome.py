"""From what a handler did to what is written back."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel, ValidationError

from worker import ApplicationError, Backoff, BusinessError, Never, Retry, Skip
from worker.item.outcome import failure, invalid_payload, released, update_of
from worker.item.retry import RetryPolicy, retry_policy
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
