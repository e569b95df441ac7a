"""What stands behind an error is told, and rules look into groups."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cases import each
from worker import Backoff, BusinessError, Never, Retry, Skip
from worker.engine.execution.raised import as_exception
from worker.engine.execution.remote import error_from_message, error_to_message
from worker.errors import TimeLimitExceeded
from worker.item.cancelled import cancelled_error
from worker.item.error_chain import ResultError, behind, message_of, whole_source
from worker.item.error_text import MAX_MESSAGE, MAX_SOURCE
from worker.item.outcome import Outcome, failure, spent, with_facts
from worker.item.retry import retry_policy

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RULES: dict[type[BaseException], Any] = {
    KeyError: Never,
    OSError: Backoff("10s", jitter=False, attempts=3),
}


def raised(error: BaseException, cause: BaseException | None = None) -> Any:
    """Return an error with a traceback, and a cause that has one."""
    try:
        if cause is not None:
            try:
                raise cause
            except BaseException as first:
                raise error from first
        raise error
    except BaseException as found:
        return found


def while_handling(error: Exception, first: Exception) -> Any:
    try:
        try:
            raise first
        except Exception:
            raise error  # noqa: B904 (that is the point)
    except Exception as found:
        return found


def outcome_of(error: BaseException, attempt: int = 1) -> Outcome:
    policy = retry_policy(RULES)
    return failure(error, attempt=attempt, policy=policy, now=NOW, chance=random.Random(1))


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    found: ExceptionGroup[Exception] = raised(ExceptionGroup("unhandled errors", errors))
    return found


def over_the_pipe(error: BaseException) -> Exception:
    return error_from_message(error_to_message(as_exception(error, "h")))


@each("way", [lambda error: error, over_the_pipe])
@each(
    ("error", "relation"),
    [
        (raised(RuntimeError("could not book"), OSError("refused by 10.0.0.7")), "caused by"),
        (while_handling(RuntimeError("could not book"), OSError("refused by 10.0.0.7")), "while"),
        (group(RuntimeError("could not book"), OSError("refused by 10.0.0.7")), "with"),
        (raised(RuntimeError("could not book"), group(OSError("refused by 10.0.0.7"))), "caused"),
        (group(raised(RuntimeError("could not book"), OSError("refused by 10.0.0.7"))), "caused"),
    ],
)
def test_what_stands_behind_is_in_message_and_source(error: Any, relation: str, way: Any) -> None:
    outcome = outcome_of(way(error))
    assert "could not book" in outcome.message
    assert "refused by 10.0.0.7" in outcome.message
    assert relation in outcome.message
    assert "OSError: refused by 10.0.0.7" in outcome.source
    assert "in raised" in outcome.source or "in while_handling" in outcome.source


def test_a_cancelled_item_says_why_and_how_its_handler_ended_and_that_once() -> None:
    asked, given_up = TimeLimitExceeded("60 s"), TimeLimitExceeded("60 s")
    given_up.stack = "  in work\n"
    for ended, told in (
        (None, ""),
        (asked, ""),
        (given_up, "; its handler did not end, and was given up"),
        (raised(OSError("no"), KeyError("x")), "; asked to end, its handler raised OSError: no"),
    ):
        message = message_of(cancelled_error("the order is gone", ended))
        first, _, rest = message.partition(" (caused by ")
        assert (first, bool(rest)) == (f"[CANCELLED] the order is gone{told}", "OSError" in told)
    assert "in work" in whole_source(cancelled_error("the order is gone", given_up))


def test_what_is_hidden_on_purpose_stays_hidden() -> None:
    with pytest.raises(RuntimeError) as caught:  # noqa: PT012 (it is about both)
        try:
            raise KeyError("inner")
        except KeyError:
            raise RuntimeError("outer") from None
    assert message_of(caught.value) == "RuntimeError: outer"
    assert message_of(over_the_pipe(caught.value)) == "RuntimeError: outer"


def test_a_chain_without_an_end_is_cut() -> None:
    error = Exception("0")
    for number in range(1, 5_000):
        error = raised(Exception(f"{number} " + "x" * 1_000), error)
    error.__cause__.__cause__.__cause__ = error  # type: ignore[union-attr]
    many = ExceptionGroup("many", [raised(ValueError(f"{n} " + "y" * 500)) for n in range(5_000)])
    nested: Exception = ValueError("deep")
    for _ in range(5_000):
        nested = ExceptionGroup("g", [nested])
    for one in (error, many, nested):
        for seen in (one, over_the_pipe(one)):
            assert len(message_of(seen)) < MAX_MESSAGE + 100
            assert len(whole_source(seen)) < MAX_SOURCE + 100
            assert len(list(behind(seen))) <= 12
    assert message_of(many).endswith("and more)")


@each("way", [lambda error: error, over_the_pipe])
@each(
    ("errors", "kind", "text"),
    [
        ([BusinessError("wrong IBAN", code="IBAN")], "business", "[IBAN] wrong IBAN"),
        ([OSError("a"), KeyError("k"), BusinessError("b")], "business", "b (with OSError: a;"),
        ([OSError("a"), KeyError("k"), Retry("1h")], "failed", "KeyError: 'k' (with"),
        ([ResultError("no JSON"), OSError("a")], "failed", "no JSON (with"),
        ([OSError("a"), Retry("1h", reason="later")], "application", "later (with OSError: a"),
        ([ValueError("v"), ConnectionError("a")], "application", "ConnectionError: a (with"),
        ([ValueError("v"), TypeError("t")], "application", "ValueError: v (with TypeError: t)"),
        ([Skip(), ValueError("v")], "application", "ValueError: v (with Skip"),
        ([ExceptionGroup("inner", [ValueError("v"), BusinessError("b")])], "business", "b (with"),
    ],
)
def test_one_error_of_a_group_decides(
    errors: list[Exception], kind: str, text: str, way: Any
) -> None:
    outcome = outcome_of(way(group(*errors)))
    assert (outcome.kind, outcome.message[: len(text)]) == (kind, text)


def test_times_and_limits_of_rules_count_in_groups() -> None:
    assert outcome_of(group(OSError("a"))).retry_at == NOW + timedelta(seconds=10)
    assert outcome_of(group(Retry("1h"), OSError("a"))).retry_at == NOW + timedelta(hours=1)
    assert outcome_of(group(OSError("a")), attempt=3).kind == "failed"
    assert spent(group(OSError("a")), attempt=3, policy=retry_policy(RULES))
    assert outcome_of(group(Skip(), Skip())).kind == "successful"
    own = retry_policy({ExceptionGroup: Never})
    chance = random.Random(1)
    end = failure(group(ValueError("v")), attempt=1, policy=own, now=NOW, chance=chance)
    assert end.kind == "failed"


def test_the_facts_are_those_of_the_error_that_decides() -> None:
    error = group(ValueError("v"), BusinessError("b", code="C", data={"n": 1}))
    found = with_facts(outcome_of(error), error, worker="w", attempt=1, seconds=1)
    assert found.source.startswith('worker w, attempt 1, 1 s, code C, data {"n":1}')


def test_a_group_that_would_end_the_loop_comes_out_as_one_of_exceptions() -> None:
    error = BaseExceptionGroup("g", [BusinessError("b"), asyncio.CancelledError(), SystemExit(3)])
    found = as_exception(raised(error), "h")
    assert isinstance(found, ExceptionGroup)
    assert outcome_of(found).kind == "business"
    assert "h raised SystemExit: 3" in outcome_of(found).message


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__

    @property
    def code(self) -> str:
        raise KeyError("code")


class MuteRule(BusinessError):
    def __str__(self) -> str:
        raise ValueError("no text")


def test_an_error_whose_text_raises_is_still_itself() -> None:
    for error in (raised(Mute()), over_the_pipe(raised(Mute()))):
        outcome = outcome_of(error)
        assert outcome.message == "Mute: (its text cannot be read: ValueError)"
        assert "in raised" in outcome.source
        assert with_facts(outcome, error, worker="w", attempt=1, seconds=1).source
    assert outcome_of(raised(MuteRule("x"))).kind == "business"
    assert "its text cannot be read" in outcome_of(raised(ValueError("v"), Mute())).message


def test_an_error_and_what_is_behind_it_keep_their_classes_over_the_pipe() -> None:
    error = raised(RuntimeError("r"), group(BusinessError("b", code="C"), OSError("o")))
    found = over_the_pipe(error)
    assert type(found) is RuntimeError
    assert isinstance(found.__cause__, ExceptionGroup)
    first, second = found.__cause__.exceptions
    assert isinstance(first, BusinessError)
    assert isinstance(second, OSError)
    assert (first.code, str(second)) == ("C", "o")


def test_what_decides_is_not_lost_in_a_large_group() -> None:
    error = group(*[ValueError(str(n)) for n in range(1_000)], BusinessError("b"))
    assert outcome_of(over_the_pipe(error)).kind == "business"
