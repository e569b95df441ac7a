"""Timelines are bounded whatever is added, and read whatever anybody wrote in their place."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import each
from worker.item.history import (
    FIELD,
    LONGEST,
    MOST,
    MOST_READ,
    Entry,
    History,
    What,
    added,
    history_of,
    key_of,
    pushed,
    read,
    refused,
    runs,
    with_operators,
    written,
)
from worker.localserver.operations.operators import changed
from worker.localserver.storage.errors import RefusedError
from worker.openiap.values import json_text

ID = "6b0b2b7ec9549061c133a51d"
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
names = st.sampled_from(
    [
        *(ID, "first", "last", "waits", "count", "parked", "what", "at", "by", "attempt", "start"),
        *("seconds", "kind", "class", "code", "error", "again", "why", "succeeded"),
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(names | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


def at(second: int, what: What = "retry", **more: Any) -> Entry:
    return Entry(what, NOON + timedelta(seconds=second), "w", **more)


def by_updates(entries: list[Entry], limit: int) -> object:
    document: dict[str, Any] = {"_id": ID}
    for entry in entries:
        document = changed(document, pushed(ID, entry, limit))
    return document.get(FIELD)


def by_documents(entries: list[Entry], limit: int) -> object:
    found: object = None
    for entry in entries:
        found = added(found, ID, entry, limit)
    return found


@each("limit", [1, 2, 3, 4, 7, 20, MOST])
@each("way", [by_updates, by_documents])
def test_so_many_entries_are_kept_the_middle_goes_and_what_went_is_counted(
    limit: int, way: Any
) -> None:
    entries = [at(second) for second in range(2 * MOST + 50)]
    found = history_of(ID, way(entries, limit))
    quarter = limit // 4
    kept = [*entries[:quarter], *entries[len(entries) - (limit - 2 * quarter) :]]
    assert list(found.entries) == kept
    assert len(found.entries) <= limit
    assert found.left_out == len(entries) - len(kept)
    assert found.gap == quarter


@pytest.mark.parametrize("way", [by_updates, by_documents])
def test_waiting_crowds_out_no_run(way: Any) -> None:
    run = at(0, attempt=1)
    waits = [at(second, "waits", why="waits for key a") for second in range(1, 500)]
    found = history_of(ID, way([run, *waits, at(600, "succeeded", attempt=2)], 20))
    assert [one.what for one in found.entries] == ["retry", *["waits"] * 5, "succeeded"]
    assert found.left_out == 494


def test_both_ways_of_writing_leave_the_same() -> None:
    entries = [at(n, "waits" if n % 3 else "retry") for n in range(60)]
    assert history_of(ID, by_updates(entries, 8)) == history_of(ID, by_documents(entries, 8))


def test_an_entry_is_stored_whole_and_bounded() -> None:
    entry = Entry(
        "failed", NOON, "w1", 3, NOON, 1.25, "business", "ValueError", "BAD", "no", NOON, "why"
    )
    assert read(json.loads(json_text(written(entry)))) == entry
    long = "x" * 100_000
    large = Entry("failed", NOON, long, 1, NOON, 0.1, "business", long, long, long, NOON, long)
    assert len(json_text(written(large))) < 6 * LONGEST
    assert read(written(large)) is not None


def test_a_copys_history_is_its_own_and_its_first_entry_takes_the_originals_away() -> None:
    original = {"_id": ID, **changed({}, pushed(ID, at(0), 20))}
    copy = {**original, "_id": "copy"}
    assert history_of("copy", copy[FIELD]) == History()
    after = changed(copy, pushed("copy", at(1), 20, ID))
    assert list(after[FIELD]) == ["copy"]
    assert list(added(original[FIELD], "copy", at(1), 20)) == ["copy"]


def test_none_are_kept_where_none_are_wanted() -> None:
    assert pushed(ID, at(0), 0) == {}
    assert with_operators({"$set": {"a": 1}}, {}) == {"$set": {"a": 1}}


@pytest.mark.parametrize("id", ["a.b", "$where", "", "ä", "x" * 65, "a\x00b", "\ud800"])
def test_an_id_that_can_be_no_fields_name_has_a_history_all_the_same(id: str) -> None:
    assert key_of(id).isalnum()
    document = changed({"_id": id}, pushed(id, at(0), 20))
    assert len(history_of(id, document[FIELD]).entries) == 1


def test_runs_of_an_attempt_are_counted_as_far_as_they_are_known() -> None:
    entries = [at(0, "handed back", attempt=1), at(1, attempt=1), at(2, "edited"), at(3, attempt=2)]
    assert runs(entries) == [1, 2, None, 1]
    late = [at(0, attempt=1), at(9, attempt=4), at(10, attempt=4), at(11, attempt=5)]
    assert runs(late, gap=1) == [1, None, None, 1]


@settings(max_examples=100, deadline=None)
@given(json_values, json_values)
def test_whatever_stands_there_is_read_and_bounded(one: object, other: object) -> None:
    for place in (
        one,
        {ID: one},
        {ID: {"first": one, "last": other, "waits": one, "count": other}},
    ):
        found = history_of(ID, place, {ID: other})
        assert found.left_out >= 0
        assert len(found.entries) <= 6 * MOST_READ
        assert all(entry.at.tzinfo for entry in found.entries)
        assert len(runs(found.entries, found.gap)) == len(found.entries)
        after = added(place, ID, at(0), 8)
        assert len(history_of(ID, after).entries) <= 8
        json_text(after)


def test_a_huge_list_is_read_in_part() -> None:
    huge = {ID: {"last": [written(at(n)) for n in range(50_000)]}}
    assert len(history_of(ID, huge).entries) <= MOST_READ


@pytest.mark.parametrize(
    "spoilt", ["x", 7, [1], {ID: "x"}, {ID: {"last": "x"}}, {ID: {"count": "x"}}]
)
def test_a_refusal_for_what_stands_in_its_place_is_known(spoilt: object) -> None:
    with pytest.raises(RefusedError) as raised:
        changed({"_id": ID, FIELD: spoilt}, pushed(ID, at(0), 20))
    assert refused(str(raised.value), ID)
