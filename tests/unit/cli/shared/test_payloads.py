"""Payloads are read and checked before anything is pushed; bad lines are named."""

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cases import each
from worker.cli.shared.errors import USAGE_ERROR, CommandError
from worker.cli.shared.payloads import moment, payload, payloads_from

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def written(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return str(path)


def refusal(source: str) -> str:
    with pytest.raises(CommandError) as refused:
        payloads_from(source)
    assert refused.value.code == USAGE_ERROR
    return refused.value.text


@each(
    ("text", "said"),
    [
        ('{"a": 1', "P is not JSON: Expecting ',' delimiter at line 1, column 8."),
        ("", "P is empty; it must be a JSON object, for example {}."),
        ("[1]", "P is an array; it must be a JSON object."),
        ('"x"', "P is text; it must be a JSON object."),
        ("12", "P is a number; it must be a JSON object."),
        ("true", "P is a boolean; it must be a JSON object."),
        ("null", "P is null; it must be a JSON object."),
        ('{"a": NaN}', "P is not JSON: NaN is no JSON value."),
        ('{"x": {"a": 1, "a": 2}}', "P is not JSON: the name a is there twice."),
    ],
)
def test_a_payload_that_is_no_json_object_is_refused(text: str, said: str) -> None:
    with pytest.raises(CommandError) as refused:
        payload(text, "P")
    assert refused.value.text == said


def test_a_payload_nested_without_end_is_refused() -> None:
    with pytest.raises(CommandError, match="is not JSON"):
        payload('{"a":' * 100_000, "P")


def test_json_lines_are_read_without_their_blank_lines(tmp_path: Path) -> None:
    source = written(tmp_path, "x.jsonl", '\ufeff{"a":1}\n\n{"b":"ä"}')
    assert payloads_from(source) == [{"a": 1}, {"b": "ä"}]


def test_standard_input_is_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, b'{"a":1}\n{"a":2}\n')
    assert payloads_from("-") == [{"a": 1}, {"a": 2}]


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Standard input in a locale that is no help."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))


LINE = '{"name": "Åse"}\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_standard_input_is_utf_8_or_what_is_said_whatever_the_locale(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    given(monkeypatch, LINE.encode(encoding))
    said = "utf-8" if encoding.startswith("utf-8") else encoding
    assert payloads_from("-", encoding=said) == [{"name": "Åse"}]


def test_input_in_another_encoding_is_refused_with_its_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch, b'{"a": 1}\n' + LINE.encode("cp1252"))
    said = refusal("-")
    assert said.startswith("standard input line 2 is not utf-8")
    assert "--encoding cp1252" in said


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--encoding klingon"):
        payloads_from(written(tmp_path, "x.jsonl", "{}"), encoding="klingon")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("number;amount\r\n4711;12\r\n", ";"),
        ("sep=;\r\nnumber;amount\r\n4711;12\r\n", ";"),
        ("number\tamount\n4711\t12\n", "tabs"),
        ('"a,b,c"|amount\n4711|12\n', "|"),
        ("number,amount\r\n4711,12\r\n,\r\n,\r\n", ""),
        ("number,amount,,\r\n4711,12,,\r\n", ""),
    ],
)
def test_csv_is_read_as_spreadsheets_write_it(tmp_path: Path, text: str, said: str) -> None:
    lines: list[str] = []
    (row,) = payloads_from(written(tmp_path, "x.csv", "\ufeff" + text), say=lines.append)
    assert [*row.values()] == ["4711", "12"]
    assert bool(lines) is bool(said)
    assert all(line.endswith(f"separated by {said}.") for line in lines)


def test_a_delimiter_that_is_given_is_taken(tmp_path: Path) -> None:
    source = written(tmp_path, "x.csv", "a#b\n1#2\n")
    assert payloads_from(source, delimiter="#") == [{"a": "1", "b": "2"}]
    with pytest.raises(CommandError, match="--delimiter xx"):
        payloads_from(source, delimiter="xx")


def test_bad_lines_are_named_by_file_and_number(tmp_path: Path) -> None:
    source = written(tmp_path, "x.jsonl", '{"a":1}\n{"a":\n[1]\n')
    assert refusal(source) == (
        f"{source} line 2 is not JSON: Expecting value at line 1, column 6.\n"
        f"{source} line 3 is an array; it must be a JSON object.\n"
        "Nothing was pushed."
    )


def test_a_file_full_of_bad_lines_is_not_told_line_by_line(tmp_path: Path) -> None:
    lines = refusal(written(tmp_path, "x.jsonl", "x\n" * 25)).splitlines()
    assert len(lines) == 12
    assert lines[-2:] == ["And 15 more bad lines.", "Nothing was pushed."]


def test_csv_rows_take_their_names_from_the_first_line(tmp_path: Path) -> None:
    source = written(tmp_path, "x.csv", 'a,b\r\n1,"x\ny"\r\n3,"say ""hi"""\r\n')
    assert payloads_from(source) == [{"a": "1", "b": "x\ny"}, {"a": "3", "b": 'say "hi"'}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3\n", "{} line 3 has 1 values, the first line 2.\nNothing was pushed."),
        ("a,a\n1,2\n", "{} line 1: the field name 'a' is empty or there twice."),
        ("a,\n1,2\n", "{} line 2 has 2 values, the first line 1.\nNothing was pushed."),
        ("a,,b\n1,2,3\n", "{} line 1: the field name '' is empty or there twice."),
        ("", "{} is empty; its first line must name the fields."),
        ("a,b\n", "{} has no items."),
        ('a\n"x', "{} line 2 is not CSV: unexpected end of data.\nNothing was pushed."),
    ],
)
def test_bad_csv_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    source = written(tmp_path, "x.csv", text)
    assert refusal(source) == said.format(source)


def test_other_files_are_refused_with_what_is_allowed(tmp_path: Path) -> None:
    assert refusal("x.xlsx") == (
        "--from x.xlsx: allowed: a .jsonl file (a JSON object on each line), a .csv file"
        " (names in its first line), or - for JSON lines on standard input."
    )
    assert refusal(str(tmp_path / "no.csv")).endswith("no.csv: No such file or directory.")


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("a\nKöln\n".encode("latin-1"))
    assert refusal(str(path)).startswith(f"{path} line 2 is not utf-8:")


def test_a_wait_counts_from_now() -> None:
    assert moment("90s", now=NOW) == NOW + timedelta(seconds=90)
    assert moment("+1h30m", now=NOW) == NOW + timedelta(minutes=90)
    assert moment("30", now=NOW) == NOW + timedelta(seconds=30)


def test_a_moment_has_its_zone_or_this_machines() -> None:
    assert moment("2026-12-24T18:00+01:00", now=NOW) == datetime(2026, 12, 24, 17, tzinfo=UTC)
    here = datetime(2026, 12, 24, 18).astimezone()
    assert moment("2026-12-24T18:00", now=NOW) == here


def test_what_is_no_moment_is_refused() -> None:
    with pytest.raises(CommandError) as refused:
        moment("tomorrow", now=NOW)
    assert refused.value.text == (
        "--next-run tomorrow: allowed: a wait like 90s, 5m or 1h30m, or a date and time like"
        " 2026-12-24T18:00 or 2026-12-24T18:00+01:00."
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_never_read_as_if_it_were_utf_8(tmp_path: Path, encoding: str) -> None:
    source = tmp_path / "items.csv"
    source.write_bytes("name;town\nAda;London\n".encode(encoding))
    with pytest.raises(CommandError) as caught:
        payloads_from(str(source))
    hint = str(caught.value).partition("--encoding, for example --encoding ")[2].split(".")[0]
    assert payloads_from(str(source), encoding=hint) == [{"name": "Ada", "town": "London"}]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Name, first;Name, last;City\na;b;c\nd;e;f\n", ["Name, first", "Name, last", "City"]),
        ('"a\nb";c\n1,5;2\n', ["a\nb", "c"]),
        ("a\tb,c\n1\t2\n", ["a", "b,c"]),
        ("a|b\r1|2\r", ["a", "b"]),
        ("just one\nx, y\n", None),
        ("a;b;;\n1;2;;\n", ["a", "b"]),
    ],
)
def test_the_delimiter_is_what_all_lines_have_alike(
    tmp_path: Path, text: str, found: list[str] | None
) -> None:
    source = tmp_path / "items.csv"
    source.write_bytes(text.encode())
    if found is None:
        with pytest.raises(CommandError, match="line 2 has 2 values"):
            payloads_from(str(source))
        return
    assert list(payloads_from(str(source))[0]) == found
