"""What an error says on its item."""

import random
import time
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ValidationError

from tests.cases import each
from worker.errors import BusinessError
from worker.item.error_text import clip, described, masked, source_of
from worker.item.outcome import failure, invalid_payload, with_facts
from worker.item.retry import RetryPolicy


def test_secrets_leave_no_message_or_traceback() -> None:
    error = ValueError("login with password=kingfisher9 at https://bob:pw1@host/ failed")
    text = described(error) + source_of(error)
    assert "kingfisher9" not in text
    assert "pw1" not in text
    assert masked("token eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl") == "token ***"


class Login(BaseModel):
    user: str
    password: int
    nested: dict[str, int]


def test_an_error_carries_no_secret_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_API_TOKEN", "correct-horse+battery")
    monkeypatch.setenv("CRM_SECRET", "correct-horse")
    error = BusinessError("the CRM refused correct-horse+battery", data={"sent": "x"})
    error.add_note("tried Y29ycmVjdC1ob3JzZStiYXR0ZXJ5 and correct-horse%2Bbattery")
    shown = described(error) + source_of(error)
    assert not any(part in shown for part in ("correct", "horse", "Y29y"))
    wrapped = with_facts(
        failure(
            error, attempt=1, policy=RetryPolicy(), now=datetime.now(UTC), chance=random.Random(0)
        ),
        BusinessError(
            "x", data={"headers": {"Authorization": "Bearer abc"}, "n": "correct-horse+battery"}
        ),
        worker="w",
        attempt=1,
        seconds=1,
    )
    assert not any(part in wrapped.source + wrapped.message for part in ("abc", "correct", "horse"))


def test_an_invalid_payload_does_not_show_what_a_secret_field_was_given() -> None:
    with pytest.raises(ValidationError) as caught:
        Login.model_validate({"user": 5, "password": "kingfisher9", "nested": {"apiKey": "sw0rd"}})
    outcome = invalid_payload(caught.value, handler="h")
    assert "kingfisher9" not in outcome.message
    assert "sw0rd" not in outcome.message
    assert "user: Input should be a valid string (given 5)" in outcome.message
    shown = described(caught.value) + source_of(caught.value)
    assert "kingfisher9" not in shown


def test_long_texts_keep_their_head_and_their_tail() -> None:
    text = clip("a" * 5000 + "end", 1000)
    assert len(text) < 1100
    assert text.startswith("aaa")
    assert text.endswith("end")


@each(
    "piece",
    ["x", "token", "token ", 'token="', "eyJ-", "eyJ12345678.", "a://", "a://b:", "a://b:c", " "],
)
def test_masking_a_hostile_text_costs_by_its_length(piece: str) -> None:
    """It is done on the loop, and a base64 blob in an error's text is nothing rare."""

    def cost(length: int) -> float:
        text, costs = piece * (length // len(piece)), []
        for _ in range(3):
            began = time.thread_time()
            masked(text)
            costs.append(time.thread_time() - began)
        return min(costs)

    # Four times the length: four times the cost, or sixteen times where it goes back and forth.
    assert cost(16_000) < 10 * max(cost(4_000), 0.0005)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{'password': 'kingfisher9', 'n': 1}", "{'password': ***, 'n': 1}"),
        ("db_password=kingfisher9 x", "db_password=*** x"),
        ('{"apiKey": "kingfisher9"}', '{"apiKey": ***}'),
        ("nothing to hide", "nothing to hide"),
    ],
    ids=range(4),  # pytest puts an id into the environment, whose secrets are masked everywhere
)
def test_secrets_in_structures_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
