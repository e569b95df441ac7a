"""Groups as data: what is taken for one, how its members are known, what fits into what comes."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from tests.cases import each
from worker import BusinessError, ContractError, GroupError, Item, StepError, handler, inline
from worker.item.group import group_in, ids_of, member_id, member_of, new_id, place_in, then_id
from worker.item.group_desk import GroupMember
from worker.item.group_plan import plan_of
from worker.item.metadata import KEY, Metadata, after_success, taken_out
from worker.producer.groups import collected as bounds
from worker.producer.groups.collected import collected
from worker.testing import WorkerTest


class Page(BaseModel):
    n: int


class Both(BaseModel):
    title: str = ""
    results: list[int | None]
    errors: list[dict[str, Any]]


@handler("pages")
async def page(page: Page) -> int:
    if page.n == 13:
        raise BusinessError("no", code="BAD")
    return page.n * 2


@handler("books", unique=lambda both: "one")
async def bind(both: Both) -> dict[str, int]:
    return {"sum": sum(one or 0 for one in both.results), "failed": len(both.errors)}


GROUP = "6921f0c5" + "a" * 11


@each(
    "given, says",
    [
        ({"members": "pages"}, "members: a str; allowed: a list of"),
        ({"members": [page]}, "member 0 is"),
        ({"members": [(page, {}, 7)]}, "member 0: its options are '7'"),
        ({"members": [(page, Page(n=1)), (page, {"n": "x"})]}, "member 1: The payload does no"),
        ({"members": [(page, Page(n=1), {"unique": "k"})]}, "unique is for single items"),
        ({"members": [], "on_failure": "go"}, "on_failure = 'go'; allowed: 'wait', 'stop'"),
        ({"members": [("a", {})] * 100_001}, "a group of 100,001 members; allowed: 100,000"),
        ({"members": [(f"q{n}", {}) for n in range(101)]}, "a group in 101 queues"),
        ({"then": page}, 'then: .* called with "results" and "errors"'),
        ({"then": (bind, 7)}, "then: the payload is an int; allowed: a mapping"),
        ({"key": "k" * 501}, "allowed: text of up to 500 characters"),
    ],
)
def test_what_is_no_group_is_refused_with_a_sentence(given: dict[str, Any], says: str) -> None:
    with pytest.raises((GroupError, ContractError), match=says):
        plan_of(**{"members": [], **given})


def test_the_same_members_have_the_same_digest_whenever_they_are_pushed() -> None:
    first = plan_of([(page, Page(n=1), {"delay": "1h"})], bind)
    again = plan_of([(page, {"n": 1}, {"delay": "2h"})], (bind, {}))
    assert first.digest == again.digest
    assert plan_of([(page, Page(n=2))], bind).digest != first.digest
    assert first.then is not None
    assert (first.then.unique, taken_out(first.then.payload)[0]) == (None, {"title": ""})


def test_members_lie_side_by_side_and_what_comes_after_is_none_of_them() -> None:
    bounds = ids_of(GROUP)
    for n in (0, 1, 99_999):
        id = member_id(GROUP, n)
        assert len(id) == 24
        assert bounds["$gte"] <= id < bounds["$lt"]
        assert place_in(GROUP, id) == n
    assert place_in(GROUP, then_id(GROUP)) is None
    assert not then_id(GROUP) < bounds["$lt"]


def test_marks_of_others_are_no_groups() -> None:
    for mark in (None, 7, {}, {"id": 7}, {"id": "x" * 19}, {"id": GROUP[:-1]}):
        assert not group_in(mark)
    assert member_of(GROUP, {"_id": "6921f0c5" + "b" * 16, "state": "new"}) is None
    odd = {"payload": {KEY: {"group": {"id": GROUP, "n": -1}}}, "_id": "x"}
    assert member_of(GROUP, odd) is None


def test_a_result_is_what_the_handler_returned() -> None:
    def read(payload: dict[str, Any], got: Any) -> Any:
        metadata = Metadata(group={"id": GROUP, "n": 0})
        document = {"_id": member_id(GROUP, 0), "state": "successful"}
        stored = after_success(payload, metadata, None, got)
        found = member_of(GROUP, {**document, "payload": stored})
        return None if found is None else found.result

    assert read({"a": 1, "b": 2}, ("b",)) == {"b": 2}
    assert read({"a": 1, "result": 2}, "result") == 2
    assert read({"a": 1, "result": 2}, ("result",)) == {"result": 2}
    assert read({"a": 1}, ()) is None


def members(*results: Any) -> Any:
    async def pages(after: int, most: int) -> list[GroupMember]:
        found = [GroupMember(n, f"i{n}", "q", "successful", one) for n, one in enumerate(results)]
        return [one for one in found[after : after + most] if one.result != "gone"]

    return pages


def test_what_is_collected_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "RESULTS", 20)
    monkeypatch.setattr(bounds, "ERRORS", 400)
    found = asyncio.run(
        collected(GROUP, 5, members("x" * 30, 1, "x" * 30, 2, "x" * 30), gone=False)
    )
    assert found is not None
    assert found["results"] == [None, 1, None, 2, None]
    assert [one["code"] for one in found["errors"]] == ["RESULT_TOO_LARGE"] * 2 + ["MORE_ERRORS"]


def test_members_that_are_not_there_are_errors_only_where_they_were_deleted() -> None:
    pages = members(0, "gone", 2, "gone")
    assert asyncio.run(collected(GROUP, 4, pages, gone=False)) is None
    found = asyncio.run(collected(GROUP, 4, pages, gone=True))
    assert found is not None
    assert found["results"] == [0, None, 2, None]
    assert [(one["n"], one["code"]) for one in found["errors"]] == [(1, "DELETED"), (3, "DELETED")]


@handler("titles")
async def title(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    group = await item.push_group([(page, Page(n=n)) for n in (1, 13, 3)], then=(bind, payload))
    found = await group.results()
    return {"found": found.results, "of": (await group.progress()).of}


async def test_worker_test_runs_groups_here(worker_test: WorkerTest) -> None:
    done = await worker_test(title, {"title": "T"})
    assert done.payload == {"title": "T", "found": [2, None, 6], "of": 3}
    (group,) = done.groups
    assert [payload["n"] for _, payload in group.members] == [1, 13, 3]
    assert (group.then, group.results) == ("books", (2, None, 6))
    assert group.result is not None
    assert (group.result["sum"], group.result["failed"], group.result["title"]) == (8, 1, "T")


async def test_inline_runs_groups_and_stops_at_a_failure() -> None:
    with inline() as producer:
        group = await producer.push_group(
            [(page, Page(n=n)) for n in (1, 13, 3)], then=bind, on_failure="stop"
        )
        found = await group.results()
        assert found.results == [2, None, None]
        assert [one["code"] for one in found.errors] == ["BAD", "CANCELLED"]
        assert [member.n async for member in producer.group(group.id).members()] == [0, 1, 2]
        with pytest.raises(GroupError, match="allowed: the id of a group"):
            producer.group("x")


@handler("steps")
async def inside(payload: dict[str, Any], item: Item) -> None:
    async def push() -> None:
        await item.push_group([])

    await item.step("push", push)


async def test_inside_of_a_step_a_group_needs_a_key(worker_test: WorkerTest) -> None:
    done = await worker_test(inside, {})
    assert isinstance(done.error, StepError)
    assert "needs key=" in done.outcome.message


def test_ids_are_those_of_a_moment() -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    assert int(new_id(at)[:8], 16) == int(at.timestamp())
    assert new_id(at) != new_id(at)
