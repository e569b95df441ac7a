"""What was edited becomes a patch that makes exactly it, or is refused."""

import json
from typing import Any

import pytest

from worker.console.item_forms import editable
from worker.console.parts.bulk import read_object
from worker.console.parts.patches import patch_between
from worker.management.errors import ValidationError
from worker.management.items.actions import merged


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": 1}),
        ({"a": 1}, {}),
        ({"a": 1}, {"a": True}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "d": [None, {"e": None}]}}),
        ({"a": {"b": 1}}, {"a": [1]}),
        ({"a": 1}, {"a": {"b": {"c": 2}}}),
        ({"a": None, "b": 1}, {"a": None, "b": 2}),
        ({"a": {"b": 1}}, {"a": {}}),
    ],
)
def test_the_patch_makes_what_was_edited(before: dict[str, Any], after: dict[str, Any]) -> None:
    made = merged(before, patch_between(before, after))
    assert json.dumps(made, sort_keys=True) == json.dumps(after, sort_keys=True)


def test_nothing_edited_is_no_patch() -> None:
    assert (
        patch_between({"a": None, "b": [1, {"c": None}]}, {"a": None, "b": [1, {"c": None}]}) == {}
    )


@pytest.mark.parametrize("after", [{"a": None}, {"b": {"c": None}}, {"b": {"c": {"d": None}}}])
def test_what_no_patch_says_is_refused(after: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        patch_between({"a": 1}, after)


def test_what_hides_is_edited_as_an_escape_and_comes_back() -> None:
    payload = {"name": "a\u202eb\x1b\u0085\U000e0041", "line": "1\n2"}
    shown = editable(payload)
    assert shown.isascii()
    assert read_object(shown) == payload


@pytest.mark.parametrize("typed", ["", "{", "[1]", '{"a": NaN}', "[" * 100_000])
def test_what_is_no_object_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        read_object(typed)
