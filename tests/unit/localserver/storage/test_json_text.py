"""JSON as JavaScript reads and writes it."""

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import each
from worker.localserver.storage import json_text

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@each(
    ("text", "written"),
    [
        ("1.0", "1"),
        ("-0.0", "0"),
        ("1e3", "1000"),
        ("12345678901234567890", "12345678901234567000"),
        ("-12345678901234567890", "-12345678901234567000"),
        ("9007199254740993", "9007199254740992"),
        ("1e21", "1e+21"),
        ("1e400", "null"),
        ("9" * 400, "null"),
        ("0.1", "0.1"),
        ('{"a": 1, "a": 2}', '{"a":2}'),
        ('"\\u20ac"', '"€"'),
        ('"\\ud800"', '"\\ud800"'),
    ],
)
def test_numbers_and_text_come_out_as_javascript_writes_them(text: str, written: str) -> None:
    assert json_text.write(json_text.parse(text)) == written


@given(VALUES)
def test_what_is_written_is_read_back_the_same_and_is_utf8(value: object) -> None:
    once = json_text.write(json_text.parse(json.dumps(value)))
    once.encode()
    assert json_text.write(json_text.parse(once)) == once


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_value_as_doubles(number: float) -> None:
    assert float(json_text.write(json_text.parse(json.dumps(number)))) == number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Unexpected end of JSON input"),
        ('{"a":', "Unexpected end of JSON input"),
        ("nope", "Unexpected token 'n', \"nope\" is not valid JSON"),
        ("[" * 100_000, "nested too deep"),
        ("NaN", "Unexpected token 'N'"),
    ],
)
def test_what_is_no_json_is_said_in_openiaps_words(text: str, words: str) -> None:
    with pytest.raises(json_text.JsonError) as refused:
        json_text.parse(text)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-11-20T10:00:00.000Z", datetime(2026, 11, 20, 10)),
        ("2026-11-20T10:00:00.5+02:00", datetime(2026, 11, 20, 8, 0, 0, 500_000)),
        ("2026-11-20T10:00:00Z", None),
        ("2026-11-20", None),
        ("2026-19-39T10:00:00.000Z", None),
        ("0001-01-01T00:00:00.000+23:00", None),
    ],
)
def test_text_with_fractions_of_a_second_is_a_date(text: str, date: datetime | None) -> None:
    assert json_text.with_dates({"x": [text]}) == {"x": [date or text]}


@given(st.integers(0, 4_000_000_000_000))
def test_dates_are_written_and_read_in_milliseconds(moment: int) -> None:
    assert json_text.read_date(json_text.write_date(moment)) == moment


@given(VALUES)
def test_the_quick_ways_write_and_read_the_same(value: object) -> None:
    plain = json_text.parse(json_text.write(value))
    text = json_text.write_plain(plain)
    assert (
        repr(json_text.read_plain(text)) == repr(json.loads(json_text.write(plain))) == repr(plain)
    )


@each(
    "text",
    ['"\\ud800"', "[" * 500 + "]" * 500, '{"\\ud800": [1e21, 1e-7, 123456789012345678901]}'],
)
def test_what_the_quick_ways_do_not_know_is_written_and_read_as_well(text: str) -> None:
    value = json_text.parse(text)
    assert json_text.read_plain(json_text.write_plain(value)) == value
