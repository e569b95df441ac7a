"""What a change makes of an item, and when it meets it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cases import each
from worker.management.errors import AppError, ConflictError
from worker.management.items.actions import (
    Move,
    Retry,
    Update,
    as_seen,
    attempts_left,
    merged,
    place_of,
    still,
    trouble_with_patch,
)

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
ITEM: dict[str, Any] = {
    "_id": "i",
    "state": "failed",
    "retries": 2,
    "wiq": "q",
    "payload": {"a": 1},
    "_modified": "2026-11-28T11:00:00.123Z",
    "username": "bob",
}


@each(
    ("target", "patch", "result"),
    [  # those of RFC 7396, appendix A, that begin with an object
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_is_merged_as_its_standard_says(
    target: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]
) -> None:
    before = repr(target)
    assert merged(target, patch) == result
    assert repr(target) == before


def test_a_patch_keeps_away_from_what_the_worker_keeps() -> None:
    deep: dict[str, Any] = {}
    for _ in range(60):
        deep = {"a": deep}
    assert trouble_with_patch({"openiap_worker": {}})
    assert trouble_with_patch(deep)
    assert trouble_with_patch({})
    assert trouble_with_patch({"a": None}) == ""


def test_a_retry_is_openiaps_own_with_a_time() -> None:
    change = Retry(due=NOON).change(ITEM)
    assert change.set == {"state": "new", "retries": 3, "nextrun": "2026-11-28T12:00:00.000Z"}
    assert "username" in change.unset
    assert not change.stands_on(ITEM)
    assert change.stands_on(change.on(ITEM))


def test_retries_are_spread_evenly_and_the_same_whenever_it_is_asked() -> None:
    spread = Retry(due=NOON, spread=3600)
    ids = [f"{number:024x}" for number in range(2_000)]
    times = [spread.change({**ITEM, "_id": id}).set["nextrun"] for id in ids]
    assert times == [spread.change({**ITEM, "_id": id}).set["nextrun"] for id in ids]
    until = (NOON + timedelta(hours=1)).strftime("%H:%M")
    assert all("12:00" <= one[11:16] <= until for one in times)
    quarters = [sum(int(4 * place_of(id)) == quarter for id in ids) for quarter in range(4)]
    assert min(quarters) > 400


@pytest.mark.parametrize(
    ("retries", "most", "left"), [(2, 3, 1), (0, 3, 2), (0, 1, 1), (9, 3, 1), (0, None, 2)]
)
def test_a_retry_leaves_as_many_attempts_as_the_server_will_give(
    retries: int, most: object, left: int
) -> None:
    assert attempts_left({**ITEM, "retries": retries}, most) == left


def test_a_condition_meets_the_item_as_it_was_seen() -> None:
    assert still(ITEM) == {
        "_id": "i",
        "state": "failed",
        "retries": 2,
        "$and": [{"$expr": {"$eq": ["$_modified", {"$toDate": 1795863600123}]}}],
    }
    assert as_seen(ITEM, {**ITEM, "_modified": "2026-11-28T11:00:00.123+00:00"})
    for change in ({"state": "new"}, {"retries": 3}, {"_modified": "2026-11-28T11:00:00.124Z"}):
        assert not as_seen(ITEM, {**ITEM, **change})


def test_what_is_there_already_is_not_written() -> None:
    with pytest.raises(ConflictError):
        Update(patch={"a": 1}).change(ITEM)
    with pytest.raises(ConflictError):
        Move("q", "1", None).change(ITEM)


def test_a_payload_that_does_not_fit_its_contract_is_not_written() -> None:
    from worker.app.contracts import Contracts

    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    contracts = Contracts(
        {"contracts": "openiap-worker/1", "queues": {"q": {"payload": schema, "files": []}}}
    )
    with pytest.raises(AppError, match="a: 'x' is not of type 'integer'"):
        Update(patch={"a": "x"}, checks=contracts).change(ITEM)
    assert Update(patch={"a": 2}, checks=contracts).change(ITEM).set == {"payload": {"a": 2}}
