"""Items that come too late, results that nobody keeps, what code knows of worker and priority."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine import process_deeds
from worker import Origin, at_priority, context, handler
from worker.app.contracts import contract_of
from worker.app.payload import reader_of
from worker.item.metadata import KEY, Metadata, after_success, taken_out
from worker.item.origin import mark_for
from worker.item.push import PushOptions
from worker.item.steps import Steps
from worker.openiap.workitem import Workitem
from worker.testing.dry_run import DryRunSetup, Rehearsed, dry_run
from worker.testing.offline_client import offline_client


@handler("q")
async def who() -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"worker": context.worker_id(), "priority": context.priority()}


async def ran(handled: Any, folder: Path, metadata: Metadata | None = None) -> Rehearsed:
    payload: dict[str, Any] = {} if metadata is None else {KEY: metadata.content()}
    workitem = Workitem(id="1", wiq="q", payload=payload, priority=4)
    return await dry_run(handled, DryRunSetup(workitem, offline_client(), folder))


async def test_an_item_that_is_popped_too_late_fails_and_its_handler_is_not_called(
    tmp_path: Path,
) -> None:
    now = datetime.now(UTC).timestamp()
    late = await ran(who, tmp_path / "a", Metadata(expires=now - 1))
    assert (late.outcome.kind, late.outcome.code, late.called) == ("business", "EXPIRED", False)
    assert (await ran(who, tmp_path / "b", Metadata(expires=now + 60))).called
    # A copy in the queue for what failed is there to be worked.
    copied = Metadata(expires=now - 1, origin=mark_for(Origin("0", "elsewhere", 1)))
    assert (await ran(who, tmp_path / "c", copied)).called
    # One that slept over it was begun in time: the rest of its work is not left undone.
    steps = Steps("1")
    steps.begin("cool down", datetime.now(UTC))
    begun = Metadata(expires=now - 1, steps=steps.content)
    assert (await ran(who, tmp_path / "d", begun)).called


def test_a_push_says_until_when_it_is_worth_its_work() -> None:
    push = PushOptions(expires="1h", delay="5m").push("q", {})
    expires = taken_out(push.payload)[1].expires
    assert expires is not None
    assert 3595 < expires - datetime.now(UTC).timestamp() <= 3601
    done = after_success({}, Metadata(expires=expires))
    assert KEY not in done
    for options, text in (
        ({"expires": "soon"}, "push: expires: "),
        ({"expires": "1m", "delay": "5m"}, "push: expires = '1m' is before the item is due"),
    ):
        with pytest.raises(ValueError, match=text):
            PushOptions(**options).push("q", {})  # type: ignore[arg-type]


def test_what_is_pushed_inside_has_the_priority() -> None:
    with at_priority(1):
        assert PushOptions().push("q", {}).priority == 1
        assert PushOptions(priority=5).push("q", {}).priority == 5
    assert PushOptions().push("q", {}).priority == 2
    odd: Any = "high"
    with pytest.raises(TypeError, match="allowed: a whole number"), at_priority(odd):
        raise AssertionError("entered")


@pytest.mark.parametrize("handled", [who, process_deeds.who])
async def test_code_knows_its_worker(tmp_path: Path, handled: Any) -> None:
    seen = await ran(handled, tmp_path)
    assert seen.payload == {"worker": "rehearsal", "priority": 4}
    assert context.worker_id() == ""


@pytest.mark.parametrize("execution", ["async", "process"])
async def test_a_result_that_is_not_stored_leaves_the_item_as_it_was(
    tmp_path: Path, execution: str
) -> None:
    @handler("q", store=False)
    async def forgets() -> object:
        return object()

    handled = forgets if execution == "async" else process_deeds.forgets
    seen = await ran(handled, tmp_path)
    assert (seen.outcome.kind, seen.payload) == ("successful", {})
    assert reader_of(handled)({"result": 5}) is None
    assert contract_of(handled)["result"] == {"type": "null"}
