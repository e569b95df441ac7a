"""A payload is written once, or not at all: the text that is sent says what the values say."""

import json
import math
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, JsonValue, field_validator

from tests.cases import each
from worker.engine.delivery.conditional import _text_of
from worker.engine.outbox.rows import outcome_from, outcome_text
from worker.item.outcome import UNCHANGED, Outcome
from worker.item.result import success
from worker.item.type_form import form_of
from worker.openiap.values import compact_text, plain_text
from worker.openiap.wire.messages import payload

T = TypeVar("T")
TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=15,
)
OBJECTS = st.dictionaries(TEXTS, JSON)


class Row(BaseModel):
    n: int


class Rows(BaseModel):
    rows: list[Row]
    by_name: dict[str, Row] = {}


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Bare(BaseModel):
    rows: list[dict]  # type: ignore[type-arg]


class Own(BaseModel):
    rows: list[int]

    @field_validator("rows", mode="plain")
    @classmethod
    def kept(cls, rows: Any) -> Any:
        return rows


class Of(BaseModel, Generic[T]):
    one: T


@dataclass
class Plain:
    rows: list[int]


@settings(max_examples=30)
@given(value=OBJECTS)
def test_the_compact_text_is_read_as_the_same_values(value: dict[str, Any]) -> None:
    text = compact_text(value)
    assert json.loads(text or plain_text(value)) == value
    found, well_known = payload(text or plain_text(value))
    assert found == value
    assert well_known


@pytest.mark.parametrize(
    "value", [{"a": math.nan}, {"a": math.inf}, {"a": "half \ud800"}, {"a": "NaN is a word"}]
)
def test_what_the_compact_text_would_say_otherwise_is_left_to_the_other(value: Any) -> None:
    assert compact_text(value) == ""


@pytest.mark.parametrize(
    "text", ['{"a": "\\ud800"}', '{"a": ' + "[" * 300 + "]" * 300 + "}", "[1]"]
)
def test_a_text_that_pydantic_does_not_read_is_not_relied_on(text: str) -> None:
    _, well_known = payload(text)
    assert not well_known


def test_a_payload_that_nobody_can_have_changed_is_not_sent() -> None:
    assert success({"n": 1}, None, handler="h", stored='{ "n": 1 }', untouched=True) is UNCHANGED
    assert success({"n": 1}, None, handler="h", stored='{ "n": 1 }') is UNCHANGED
    assert success({"n": 1}, None, handler="h").payload == {"n": 1}


@pytest.mark.parametrize("changed", [{"n": 2}, {"n": True}, {"n": 1.0}, {}, {"n": 1, "m": 2}])
def test_a_payload_that_was_changed_is_sent(changed: dict[str, Any]) -> None:
    assert success(changed, None, handler="h", stored='{"n":1}').payload == changed


@settings(max_examples=20)
@given(payload=OBJECTS, result=OBJECTS)
def test_outbox_and_update_hold_what_the_payload_holds(
    payload: dict[str, Any], result: dict[str, Any]
) -> None:
    stored = plain_text(payload)
    outcome = success(payload, result, handler="h", stored=stored, untouched=True)
    plain = replace(outcome, written=None)
    assert json.loads(outcome_text(outcome)) == json.loads(outcome_text(plain))
    assert outcome_from(outcome_text(outcome)) == plain
    for others in ({}, {"state": "successful"}):
        change = {"$set": {**others, "payload": outcome.payload}, "$unset": {"nextrun": ""}}
        text = _text_of(change, outcome.written)
        assert text == "" or json.loads(text) == change
        assert bool(text) == bool(_text_of(change, None))


def test_the_text_goes_with_its_payload() -> None:
    outcome = success({"n": 1}, {"m": 2}, handler="h", stored='{"n":1}', untouched=True)
    assert outcome.written is not None
    assert replace(outcome, payload={"other": 1}).written is None
    assert replace(outcome, source="s").written is outcome.written
    change = {"$set": {"payload": {"n": 1, "m": 2}}}  # another one, though equal
    assert _text_of(change, outcome.written) == '{"$set":{"payload":{"n":1,"m":2}}}'


@each(
    ("kind", "owned"),
    [
        (Row, True),
        (Rows, True),
        (Plain, True),
        (Of[list[Row]], True),
        (list[int], True),
        (Open, False),
        (Bare, False),
        (Own, False),
        (Of[Any], False),
        (dict[str, Any], False),
        (dict[str, JsonValue], False),
        (Of[dict[str, object]], False),
    ],
)
def test_a_type_that_hands_on_parts_of_what_it_reads_is_known(kind: Any, owned: bool) -> None:
    assert form_of(kind).owned == owned


def test_what_an_owned_type_reads_shares_nothing() -> None:
    given = {"rows": [{"n": 1}], "by_name": {"a": {"n": 2}}}
    read = form_of(Rows).read(given)
    read.rows.append(Row(n=3))
    read.by_name["b"] = Row(n=4)
    read.rows[0].n = 5
    assert given == {"rows": [{"n": 1}], "by_name": {"a": {"n": 2}}}


def test_an_outcome_can_be_made_without_a_text() -> None:
    assert Outcome("successful", {"n": 1}).written is None
