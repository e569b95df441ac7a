"""Python values to OpenIAP's JSON text and back."""

from asyncio import Lock
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.cases import each
from worker.openiap.errors import ServerError
from worker.openiap.values import (
    argument_text,
    depth_of,
    format_bytes,
    from_message,
    from_text,
    iso,
    json_text,
    object_from_text,
    objects_from_text,
    parse_iso,
)


class Thing(BaseModel):
    n: int


@each(
    ("value", "text"),
    [
        ({"a": 1}, '{"a":1}'),
        (Thing(n=2), '{"n":2}'),
        (Decimal("1.50"), '"1.50"'),
        (date(2026, 11, 20), '"2026-11-20"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (PurePosixPath("a/b"), '"a/b"'),
        ({"s": {1}}, '{"s":[1]}'),
        ("ü", '"ü"'),
        (None, "null"),
    ],
)
def test_values_become_json(value: object, text: str) -> None:
    assert json_text(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": float("-inf")}])
def test_what_json_has_no_number_for_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        json_text(value)


def test_what_has_no_json_form_is_named() -> None:
    with pytest.raises(TypeError, match="a Lock has no JSON form"):
        json_text({"s": Lock()})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_json_comes_back(value: Any) -> None:
    assert from_text(json_text(value), operation="query") == value


def test_times_are_utc_with_milliseconds() -> None:
    east = timezone(timedelta(hours=2))
    assert iso(datetime(2026, 11, 20, 12, 0, 0, 1999, east)) == "2026-11-20T10:00:00.001Z"
    assert iso(datetime(2026, 11, 20, 10)) == "2026-11-20T10:00:00.000Z"
    assert parse_iso("2026-11-20T10:00:00.001Z") == datetime(2026, 11, 20, 10, 0, 0, 1000, UTC)
    assert parse_iso("2026-11-20T10:00:00").tzinfo is UTC


def test_text_arguments_are_passed_on_as_they_are() -> None:
    assert argument_text('{"a":1}') == '{"a":1}'
    assert argument_text({"a": 1}) == '{"a":1}'
    assert argument_text(None) == ""


def test_answers_of_another_shape_are_server_errors() -> None:
    assert objects_from_text("", operation="query") == []
    assert object_from_text("", operation="insert_one") == {}
    with pytest.raises(ServerError, match="not an array"):
        objects_from_text("{}", operation="query") or objects_from_text('{"a":1}', operation="q")
    with pytest.raises(ServerError, match="not an object"):
        object_from_text("[1]", operation="insert_one")
    with pytest.raises(ServerError, match="not JSON"):
        from_text("<html>", operation="query")


def test_a_message_may_be_any_text() -> None:
    assert from_message('{"a":1}') == {"a": 1}
    assert from_message("plain words") == "plain words"
    assert from_message("") is None


def test_sizes_are_for_people() -> None:
    assert format_bytes(0) == "0 Bytes"
    assert format_bytes(1536) == "1.5 KB"
    assert format_bytes(1024**5, 0) == "1 PB"


@given(
    st.recursive(
        st.none() | st.text('[]{}"\\\n', max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[{"\\'), inner),
        max_leaves=20,
    )
)
def test_depth_is_counted_in_arrays_and_objects_and_not_in_texts(value: Any) -> None:
    def depth(one: Any) -> int:
        inside = one.values() if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inside is None else 1 + max(map(depth, inside), default=0)

    # So many beside it that they have to be counted one by one.
    assert depth_of(json_text([value, [[]] * 600])) == max(depth(value), 2) + 1
