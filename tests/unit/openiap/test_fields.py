"""Whatever JSON holds, a field is what its name says or none: nothing raises, nothing is NaN."""

import json
import math
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import each
from tests.unit.documents import ANY_JSON
from worker.openiap.errors import ServerError
from worker.openiap.fields import (
    LONGEST,
    MOST,
    duration_of,
    moment_of,
    number,
    object_of,
    objects_of,
    text_of,
    texts_of,
    whole,
)
from worker.openiap.values import (
    MAX_DEPTH,
    depth_of,
    documents_from_text,
    from_message,
    iso,
    json_text,
    parse_iso,
)


@given(ANY_JSON)
def test_each_field_is_what_its_name_says(value: object) -> None:
    assert type(number(value)) is int
    assert abs(number(value)) <= MOST
    assert whole(value) is None or (type(whole(value)) is int and whole(value) == value)
    seconds = duration_of(value)
    assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= LONGEST)
    moment = moment_of(value)
    if moment is not None:
        assert moment.utcoffset() == timedelta(0)
        assert iso(moment + timedelta(seconds=LONGEST)) > iso(moment - timedelta(seconds=LONGEST))
    assert isinstance(text_of(value), str)
    assert all(isinstance(one, str) and one for one in texts_of(value))
    assert isinstance(object_of(value), dict)
    assert all(isinstance(one, dict) for one in objects_of(value))


@each(
    ("value", "count"),
    [
        (3, 3),
        (3.0, 3),
        (3.7, 3),
        (True, 0),
        ("3", 0),
        (None, 0),
        (float("nan"), 0),
        (float("inf"), 0),
        (-float("inf"), 0),
        (10**400, 0),
        (2**53, 2**53),
        (2**53 + 1, 0),
        ([3], 0),
    ],
)
def test_a_count_is_a_count(value: object, count: int) -> None:
    assert number(value) == count


@each(
    "value",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59Z",
        "0001-01-01",
        "yesterday",
        "",
        5,
        True,
        None,
        {},
    ],
)
def test_a_moment_that_nobody_can_reckon_with_is_none(value: object) -> None:
    assert moment_of(value) is None


@given(st.text() | st.datetimes(timezones=st.timezones()).map(str))
def test_a_text_is_a_moment_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        parse_iso(text).isoformat()


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000 + "]" * 100_000, "[1", "nothing", '[{"n": ' + "9" * 5000 + "}]"],
    ids=["deep", "cut", "text", "digits"],
)
def test_an_answer_that_cannot_be_read_is_an_error_of_the_servers(text: str) -> None:
    with pytest.raises(ServerError):
        documents_from_text(text, operation="query")
    assert from_message(text) == text


@given(ANY_JSON)
def test_what_has_a_json_text_can_be_read_back(value: object) -> None:
    try:
        text = json_text(value)
    except ValueError:
        return
    assert json.loads(text) == value


@pytest.mark.parametrize("depth", [1, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 980, 100_000])
def test_json_text_is_nested_no_deeper_than_everybody_can_read(depth: int) -> None:
    value: object = '}]{[\\"' * MAX_DEPTH
    for level in range(depth):
        value = [value] if level % 2 else {"]": value}
    if depth > MAX_DEPTH:
        with pytest.raises(ValueError, match=f"allowed: {MAX_DEPTH} arrays"):
            json_text(value)
        return
    assert depth_of(json_text(value)) == depth
    assert json.loads(json_text(value)) == value
