"""Nothing that Python can say is changed without a word on its way through JSON."""

import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path, PureWindowsPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretBytes, SecretStr, TypeAdapter

from tests.cases import each
from worker.errors import ApplicationError
from worker.item.json_form import MAX_DEPTH, NotJson, json_form, typed_form
from worker.item.metadata import CheckpointError, checkpoint_form
from worker.item.push import ContractError, pushes_to
from worker.item.result import result_fields, success
from worker.item.type_form import form_of
from worker.openiap.values import json_text


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    YES = "yes"


@dataclass
class Line:
    text: str
    price: Decimal


def nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


def inside_itself() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["self"] = found
    return found


EAST = timezone(timedelta(hours=2))
CARRIED: list[tuple[Any, Any]] = [
    (2**53, 2**53),
    (-(2**53), -(2**53)),
    (12345678901234567000, 12345678901234567000),
    (10**20, 10**20),
    (1.5, 1.5),
    (1e300, 1e300),
    (True, True),
    (None, None),
    ("Zoë \U0001f600 \x00", "Zoë \U0001f600 \x00"),
    ((1, (2,)), [1, [2]]),
    ({3}, [3]),
    (frozenset({"a"}), ["a"]),
    (OrderedDict(a=1), {"a": 1}),
    (Color.RED, "red"),
    (Level.LOW, 1),
    ({Word.YES: Word.YES}, {"yes": "yes"}),
    (Decimal("1.10"), "1.10"),
    (UUID(int=7), str(UUID(int=7))),
    (Path("/a/b c"), "/a/b c"),
    (PureWindowsPath("C:\\x"), "C:\\x"),
    (date(2026, 1, 2), "2026-01-02"),
    (time(1, 2, 3, 4), "01:02:03.000004"),
    (datetime(2026, 1, 2, 3, 4, 5, 678901), "2026-01-02T03:04:05.678901"),
    (datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), "2026-01-02T03:04:05.678901Z"),
    (datetime(2026, 1, 2, tzinfo=EAST), "2026-01-02T00:00:00+02:00"),
    (timedelta(hours=1, microseconds=1), "PT1H0.000001S"),
    (Line("x", Decimal("2.50")), {"text": "x", "price": "2.50"}),
    (nested(MAX_DEPTH - 2), nested(MAX_DEPTH - 2)),
]
REFUSED: list[tuple[Any, str]] = [
    (2**53 + 1, "9007199254740993 is beyond what OpenIAP keeps exactly"),
    (-(2**63), "write it as text"),
    (10**40, "is beyond"),
    (math.nan, "nan has no JSON form"),
    (-math.inf, "-inf has no JSON form"),
    (SecretStr("hunter2"), "stars would be stored"),
    (SecretBytes(b"hunter2"), "stars would be stored"),
    (b"\xff", "bytes have no JSON form; attach them as a file"),
    (bytearray(b"x"), "bytes have no JSON form"),
    ("\ud800x", "half a character ('\\ud800')"),
    (Path("/a/\udcff"), "half a character"),
    ({1: "a"}, "1: the key 1 is an int; keys must be text"),
    ({None: "a"}, "None: the key None is a NoneType; keys must be text"),
    ({(1, 2): "a"}, "keys must be text"),
    ({"\ud800": 1}, "half a character"),
    ({"a\0b": 1}, "a\\0b: the key holds a NUL"),
    (complex(1, 2), "a complex has no JSON form"),
    (object(), "an object has no JSON form"),
    (range(3), "a range has no JSON form"),
    (nested(MAX_DEPTH + 1), "nested more than 90 deep"),
    (nested(100_000), "nested more than 90 deep"),
    (inside_itself(), "or inside itself"),
]


@each(("value", "stored"), CARRIED)
def test_what_json_can_say_is_carried_exactly(value: Any, stored: Any) -> None:
    found = json_form({"x": [value]})
    assert found == {"x": [stored]}
    assert json.loads(json_text(found)) == found
    assert type(found["x"][0]) is type(stored)


@each(("value", "text"), REFUSED)
def test_what_it_cannot_say_is_refused_with_its_place(value: Any, text: str) -> None:
    with pytest.raises(NotJson) as caught:
        json_form({"rows": [{}, {"x": value}]})
    assert str(caught.value).startswith("rows.1.x")
    assert text in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value)) < 300


@each(("value", "text"), REFUSED)
def test_every_way_in_refuses_it(value: Any, text: str) -> None:
    with pytest.raises(ContractError, match=r"The payload of queue q has no JSON form: a\.x"):
        pushes_to("q", [{"a": {"x": value}}], {})
    with pytest.raises(ApplicationError, match=r"h: the result: a\.x"):
        result_fields({"a": {"x": value}}, handler="h")
    assert success({"n": 1}, {"a": {"x": value}}, handler="h").kind == "failed"
    with pytest.raises(CheckpointError, match=r"The checkpoint of item i: a\.x"):
        checkpoint_form({"a": {"x": value}}, "i")


def test_what_was_popped_is_not_looked_at_again() -> None:
    odd = {"id": 2**60 + 1, "text": "\ud800"}
    assert success(odd, {"n": 1}, handler="h").payload == {**odd, "n": 1}


def test_what_is_stored_is_a_copy() -> None:
    rows = [1]
    (push,) = pushes_to("q", [{"rows": rows}], {})
    rows.append(2)
    assert push.payload == {"rows": [1]}


class Everything(BaseModel):
    """A field of each type that a model can carry."""

    whole: int = 0
    real: float = 0.0
    text: str = ""
    money: Decimal = Decimal(0)
    moment: datetime = datetime(2026, 1, 1)
    day: date = date(2026, 1, 1)
    hour: time = time(1)
    span: timedelta = timedelta()
    id: UUID = UUID(int=0)
    path: Path = Path()
    raw: bytes = b""
    color: Color = Color.RED
    pair: tuple[int, str] = (1, "")
    some: set[int] = Field(default_factory=set)
    frozen: frozenset[str] = frozenset()
    by_number: dict[int, str] = Field(default_factory=dict)
    by_day: dict[date, list[Decimal]] = Field(default_factory=dict)
    maybe: UUID | None = None
    either: UUID | int | str = 0
    anything: Any = None
    line: Line | None = None


SMALL = st.integers(-(2**53), 2**53)
REAL = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text(max_size=8)
KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
ZONES = st.none() | st.integers(-23 * 60, 23 * 60).map(lambda m: timezone(timedelta(minutes=m)))
MOMENTS = st.datetimes(timezones=ZONES)
MONEY = st.decimals(allow_nan=False, allow_infinity=False, places=4, max_value=10**12)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | SMALL | REAL | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
MODELS = st.builds(
    Everything,
    whole=SMALL,
    real=REAL,
    text=WORDS,
    money=MONEY,
    moment=MOMENTS,
    day=st.dates(),
    hour=st.times(),
    span=st.timedeltas(timedelta(-10_000), timedelta(10_000)),
    id=st.uuids(),
    path=st.from_regex(r"[a-z0-9./]{1,10}", fullmatch=True).map(Path),
    raw=WORDS.map(str.encode),
    pair=st.tuples(SMALL, WORDS),
    some=st.sets(SMALL, max_size=3),
    frozen=st.frozensets(WORDS, max_size=3),
    by_number=st.dictionaries(SMALL, WORDS, max_size=3),
    by_day=st.dictionaries(st.dates(), st.lists(MONEY, max_size=2), max_size=2),
    maybe=st.none() | st.uuids(),
    either=st.uuids() | SMALL,
    anything=JSON,
    line=st.none() | st.builds(Line, text=WORDS, price=MONEY),
)


@settings(max_examples=60, deadline=None)
@given(MODELS)
def test_a_model_is_read_as_it_was_written(value: Everything) -> None:
    form = form_of(Everything)
    through = json.loads(json_text(typed_form(form, value)))
    assert form.read(through) == value
    assert form.read(json.loads(json_text(json_form(value)))) == value


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_plain_json_is_carried_as_it_is(value: Any) -> None:
    found = json_form({"x": value})
    assert found == {"x": value}
    assert json.loads(json_text(found)) == found


@settings(max_examples=100, deadline=None)
@given(st.integers())
def test_whole_numbers_are_refused_exactly_where_javascript_would_round(value: int) -> None:
    as_double = float(value)
    shown = int(Decimal(repr(as_double))) if abs(value) < 10**21 else None
    if shown == value:
        assert json_form(value) == value
    else:
        with pytest.raises(NotJson):
            json_form(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (datetime, datetime(2026, 1, 1, 1, 1, 1, 1)),
        (timedelta, timedelta(-1, 1, 1)),
        (time, time(1)),
    ],
)
def test_text_forms_are_those_that_pydantic_reads(kind: Any, value: Any) -> None:
    assert TypeAdapter(kind).validate_json(json_text(json_form(value))) == value
