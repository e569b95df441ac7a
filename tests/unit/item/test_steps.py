"""Stored steps as data: bounded, exact, bound to their item, unharmed by what others put there."""

import asyncio
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from worker import ApplicationError, Backoff, BusinessError, Never, Retry
from worker.engine.checkpoints import change_for
from worker.engine.delivery.carried import carried
from worker.engine.outbox.spool import SpooledFiles
from worker.item.item import Item
from worker.item.metadata import KEY
from worker.item.result_type import returned_by
from worker.item.retry import retry_policy
from worker.item.step_call import StepCall
from worker.item.steps import (
    MAX_STEPS,
    Part,
    StepError,
    Steps,
    is_apart,
    key_of,
    moved_apart,
    next_wait,
    step_key,
    text_of_result,
    together,
)
from worker.openiap.values import json_text
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log

NOW = datetime(2026, 11, 20, 10, 0, 0, 123000, UTC)


def kept(*names: str) -> Steps:
    steps = Steps("id")
    for name in names:
        steps.keep(name, json_text(name), NOW)
    return steps


def test_what_is_stored_comes_back_in_its_order() -> None:
    steps = kept("charge", "a.b$c", "_x", "100 %")
    steps.begin(key_of("3d #1"), NOW)
    steps.keep("last", "null", NOW)
    again = Steps("id", json.loads(json_text(steps.content)))
    assert [(one.name, one.number, one.value, one.at) for one in again.steps()] == [
        *((name, n, name, NOW) for n, name in enumerate(("charge", "a.b$c", "_x", "100 %"), 1)),
        ("last", 6, None, NOW),
    ]
    assert [(one.name, one.number, one.until) for one in again.sleeps()] == [("3d #1", 5, NOW)]
    assert not again.fresh


def test_steps_of_another_item_count_as_none() -> None:
    found = Steps("copy", kept("charge").content)
    assert (found.result("charge"), found.fresh, bool(found)) == (None, True, False)


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        "text",
        {"of": "id", "done": []},
        {"of": "id", "done": {"charge": 1}},
        {"of": "id", "done": {"charge": {"json": "{", "at": 1}}},
        {"of": "id", "done": {"charge": {"json": "1", "at": "then"}}},
        {"of": "id", "done": {"charge": {"json": 1, "at": 1}}},
        {"of": "id", "done": {"charge": {"json": "1", "at": 1e300}}},
        {"of": "id", "waits": {"charge": {"until": True}}},
    ],
)
def test_whatever_others_put_there_is_no_result(found: object) -> None:
    steps = Steps("id", found)
    assert (steps.result("charge"), steps.until("charge")) == (None, None)
    steps.keep("charge", "2", NOW)
    assert steps.result("charge") is not None


def test_all_of_it_is_bounded_and_the_error_says_what_to_do() -> None:
    steps = kept("small")
    steps.keep("half", json_text("x" * (MAX_STEPS // 2)), NOW)
    with pytest.raises(StepError, match=r"Step 'other half' returned .* allowed: 1.* MB in all"):
        steps.keep("other half", json_text("x" * (MAX_STEPS // 2)), NOW)
    assert [one.name for one in steps.steps()] == ["small", "half"]
    steps.forget_from("half")
    steps.keep("other half", json_text("x" * (MAX_STEPS // 2)), NOW)


def test_a_step_is_forgotten_with_all_that_came_after_it() -> None:
    steps = kept("a", "b")
    steps.begin("1h #1", NOW)
    steps.keep("c", "1", NOW)
    steps.forget_from("b")
    assert ([one.name for one in steps.steps()], steps.sleeps()) == (["a"], [])
    with pytest.raises(StepError, match="has no stored step 'b'; stored: a"):
        steps.forget_from("b")


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\0b", 7, None])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(StepError, match="is no name of a step; allowed: text of 1 to 200"):
        key_of(name)


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-20T10:00:00.000Z",
        "late at 2026-11-20T10:00:00.123456+01:00, and 2026-11-21T10:00:00.5Z",
        "__REGEXP ^a$",
        "\\__REGEXP \\2026-11-20T10:00:00.000Z",
        {"2026-11-20T10:00:00.000Z": [1.0, 1, None, "ä"]},
    ],
)
def test_no_text_is_changed_on_its_way(value: object) -> None:
    steps = Steps("id")
    steps.keep("2026-11-20T10:00:00.000Z", text_of_result("s", None, value), NOW)
    sent = json_text({"$set": steps.content})
    assert carried(sent)
    (step,) = Steps("id", json.loads(sent)["$set"]).steps()
    assert (step.name, step.value) == ("2026-11-20T10:00:00.000Z", value)


def test_a_key_for_the_other_side_is_the_same_in_each_attempt_and_for_each_name_another() -> None:
    assert step_key("id", "charge") == step_key("id", "charge")
    assert len({step_key("id", "charge"), step_key("id", "refund"), step_key("i", "charge")}) == 3


@pytest.mark.parametrize(
    ("error", "rule", "attempt", "again"),
    [
        (ConnectionError(), Backoff("1s"), 2, True),
        (ConnectionError(), Backoff("1s"), 3, False),
        (ConnectionError(), Backoff("1s", attempts=5), 4, True),
        (ConnectionError(), None, 1, False),
        (ConnectionError(), Never, 1, False),
        (ConnectionError(), {ConnectionError: Backoff("1s")}, 1, True),
        (ValueError(), {ConnectionError: Backoff("1s")}, 1, False),
        (BusinessError("no"), Backoff("1s"), 1, False),
        (Retry(), Backoff("1s"), 1, False),
        (StepError("no"), Backoff("1s"), 1, False),
        (ApplicationError("no"), Backoff("1s"), 1, True),
        (ExceptionGroup("", [OSError(), BusinessError("no")]), Backoff("1s"), 1, False),
    ],
)
def test_what_decides_about_the_item_is_not_tried_again_by_its_step(
    error: Exception, rule: object, attempt: int, again: bool
) -> None:
    wait = next_wait(error, attempt, retry_policy(rule), random.Random(1))  # type: ignore[arg-type]
    assert (wait is not None) is again


def test_calls_are_compared_by_what_they_do() -> None:
    def adder(n: int) -> Callable[[int], int]:
        return lambda m: m + n

    call = StepCall(adder(1), (2,))
    assert call.is_call_of(adder(1), (2,))
    assert not call.is_call_of(adder(2), (2,))
    assert not call.is_call_of(adder(1), (3,))
    assert StepCall(partial(max, 1), ()).is_call_of(partial(max, 1), ())
    assert not StepCall(partial(max, 1), ()).is_call_of(partial(max, 2), ())

    def named(n: int) -> Callable[[], int]:
        def with_it(*, m: int = n) -> int:
            return m

        return with_it

    assert StepCall(named(1), ()).is_call_of(named(1), ())
    assert not StepCall(named(1), ()).is_call_of(named(2), ())


def test_the_type_of_a_result_is_what_its_function_says() -> None:
    class Sender:
        async def __call__(self) -> int:
            return 1

        def send(self) -> str:
            return ""

    def untyped():  # type: ignore[no-untyped-def]
        return 1

    assert returned_by(Sender()) is int
    assert returned_by(Sender().send) is str
    assert returned_by(partial(Sender().send)) is str
    assert returned_by(untyped) is Any
    assert returned_by(lambda: 1) is Any


def test_a_write_carries_what_is_new_and_nothing_else() -> None:
    def change(*places: tuple[Part, str]) -> Any:
        return change_for(item, places)["$set"]

    item = Item(
        Workitem(id="id", payload={"large": "x" * 1_000}),
        files=SpooledFiles.__new__(SpooledFiles),
        log=Log("error").bind(),
        started=NOW,
    )
    item.metadata.checkpoint = {"page": 1}
    item.steps.keep("a", "1", NOW)
    item.metadata.steps = item.steps.content
    assert set(change(("done", "a"))) == {f"payload.{KEY}"}
    item.steps.fresh = False
    item.steps.keep("b", "2", NOW)
    assert set(change(("done", "b"))) == {
        f"payload.{KEY}.steps.of",
        f"payload.{KEY}.steps.done.b",
    }
    assert change() == {f"payload.{KEY}.checkpoint": {"page": 1}}
    item.metadata.checkpoint = None
    assert change_for(item)["$unset"] == {
        f"payload.{KEY}.checkpoint": "",
        f"payload.{KEY}.progress": "",
    }


def test_steps_that_were_moved_apart_come_together_with_those_since() -> None:
    before = kept("a", "b").content
    marker = moved_apart("id")
    assert is_apart(marker)
    assert not is_apart(before)
    since = Steps("id", together("id", marker, before))
    since.keep("c", "3", NOW)
    stored = {**marker, "done": {"c": since.entry("done", "c")}}
    found = Steps("id", together("id", stored, before))
    assert [(one.name, one.number) for one in found.steps()] == [("a", 1), ("b", 2), ("c", 3)]
    assert not Steps("copy", together("copy", marker, None)).steps()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda item: item.step("me", partial(calls_itself, item)), "calls itself"),
        (lambda item: item.step("x", fetched(1)), "a coroutine, which is no function"),
        (lambda item: item.step("x", next, iter(())), "StopIteration"),
        (lambda item: item.sleep_until("2027-01-01"), "allowed: an aware datetime"),
    ],
    ids=["inside itself", "coroutine", "StopIteration", "text"],
)
async def test_what_cannot_be_is_one_clear_error(call, says: str) -> None:
    item = Item(
        Workitem(id="a" * 24, wiq="q"),
        files=SpooledFiles.__new__(SpooledFiles),
        log=Log("error"),
        started=datetime(2026, 11, 20, tzinfo=UTC),
    )
    async with asyncio.timeout(60):
        with pytest.raises((StepError, RuntimeError), match=says):
            await call(item)


async def fetched(number: int) -> int:
    return number


async def calls_itself(item: Item) -> None:
    async def between() -> None:
        await item.step("me", partial(calls_itself, item))

    await item.step("between", between)
