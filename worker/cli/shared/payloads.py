"""Payloads from the command line and from files: read and checked before anything is pushed."""

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TextIO

from worker.cli.shared.errors import CommandError, usage_error
from worker.cli.shared.paths import read, shown
from worker.durations import seconds
from worker.openiap.workitem import JsonObject

MOST_PROBLEMS: Final = 10
MOST_LOOKED: Final = 65_536
MOST_LINES: Final = 20
CSV_FIELD: Final = 64 * 1024 * 1024
UTF_8: Final = "utf-8"
DELIMITERS: Final = (",", ";", "\t", "|")
_NAMES: Final = {"\t": "tabs"}
_SEP_LINE: Final = re.compile(r"\"?sep=(.)\"?\r?\n")
_QUOTED: Final = re.compile(r'"[^"]*"')
_DURATION: Final = re.compile(r"\+?\s*(\d.*)")


def _quiet(text: str) -> None:
    """Say nothing."""


def payload(text: str, where: str) -> JsonObject:
    """Read one payload.

    Args:
        text: JSON text.
        where: how to call it in an error.

    Raises:
        CommandError: it is not JSON, or no object; OpenIAP would refuse or rewrite it.
    """
    if not text.strip():
        raise usage_error(f"{where} is empty; it must be a JSON object, for example {{}}.")
    try:
        found = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise usage_error(
            f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise usage_error(f"{where} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        kind = {list: "an array", str: "text", bool: "a boolean", type(None): "null"}.get(
            type(found), "a number"
        )
        raise usage_error(f"{where} is {kind}; it must be a JSON object.")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def _once(pairs: list[tuple[str, object]]) -> JsonObject:
    """Make an object of its pairs; of a name that is there twice one value would be lost."""
    found: JsonObject = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {shown(name)} is there twice")
        found[name] = value
    return found


def payloads_from(
    source: str, *, encoding: str = UTF_8, delimiter: str = "", say: Callable[[str], None] = _quiet
) -> list[JsonObject]:
    """Read the payloads of a file, all of them before any is pushed.

    Args:
        source: a path ending in ``.jsonl`` (or ``.ndjson``) or ``.csv``, or ``-`` for JSON lines on
            standard input.
        encoding: of its text, whatever this machine's locale is; a byte order mark may be there.
        delimiter: what stands between the fields of a CSV file; "": as its first line shows.
        say: is told of what was found out.

    Raises:
        CommandError: the file cannot be read, or lines of it are bad; each is named.
    """
    if source == "-":
        try:
            data = sys.stdin.buffer.read()
        except OSError as error:
            raise usage_error(f"--from -: standard input: {error.strerror or error}.") from error
        text = _decoded(data, encoding, "standard input")
        return _json_lines(io.StringIO(text), "standard input")
    path = Path(source)
    kind = path.suffix.lower()
    if kind not in (".jsonl", ".ndjson", ".csv"):
        raise usage_error(
            f"--from {shown(source)}: allowed: a .jsonl file (a JSON object on each line), a .csv"
            " file (names in its first line), or - for JSON lines on standard input."
        )
    data = read(path, "--from")
    text = _decoded(data, encoding, source)
    if kind != ".csv":
        return _json_lines(io.StringIO(text), source)
    text, found = _separated(text, _delimiter(delimiter))
    if found != "," and not delimiter:
        say(f"{source}: its fields are taken to be separated by {_NAMES.get(found, found)}.")
    return _rows(io.StringIO(text, newline=""), source, found)


def _decoded(data: bytes, encoding: str, name: str) -> str:
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise usage_error(
            f"--encoding {encoding}: there is no such encoding; allowed: utf-8, cp1252, utf-16 and"
            " what else Python knows."
        ) from error
    except UnicodeError as error:
        if not isinstance(error, UnicodeDecodeError):  # of codecs that are not for bytes of files
            raise usage_error(f"{name} is not {encoding}: {error}. Nothing was pushed.") from error
        line = data.count(b"\n", 0, error.start) + 1
        raise usage_error(
            f"{name} line {line} is not {encoding}: {error.reason}. Say what it is with --encoding,"
            f" for example --encoding {_likely(data)}. Nothing was pushed."
        ) from error
    if "\0" in text:  # UTF-16 reads as UTF-8, every second character of which is none
        line = text.count("\n", 0, text.index("\0")) + 1
        raise usage_error(
            f"{name} line {line} is not {encoding}: it has NUL characters. Say what it is with"
            f" --encoding, for example --encoding {_likely(data)}. Nothing was pushed."
        )
    return text


def _likely(data: bytes) -> str:
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if 3 * data[:MOST_LOOKED].count(0) > len(data[:MOST_LOOKED]):
        return "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    return "cp1252"


def _delimiter(given: str) -> str:
    found = {"tab": "\t", "\\t": "\t"}.get(given.lower(), given)
    if len(found) > 1 or found in ("\r", "\n", '"'):
        raise usage_error(f"--delimiter {given}: allowed: one character, or tab.")
    return found


def _separated(text: str, given: str) -> tuple[str, str]:
    """Return the text without Excel's ``sep=`` line, and what separates its fields."""
    said = _SEP_LINE.match(text)
    if said is not None:
        text = text[said.end() :]
    if given or said is not None:
        return text, given or said[1]  # type: ignore[index]
    lines = _QUOTED.sub("", text[:MOST_LOOKED]).splitlines()[:MOST_LINES]
    if len(text) > MOST_LOOKED and len(lines) > 1:
        lines.pop()  # cut
    lines = [line for line in lines if line.strip()] or [""]

    def fits(delimiter: str) -> tuple[bool, int]:
        counts = [line.rstrip(f"{delimiter} \r").count(delimiter) for line in lines]
        return counts[0] > 0 and min(counts) == max(counts), counts[0]

    return text, max(DELIMITERS, key=fits)


def _json_lines(lines: Iterable[str], name: str) -> list[JsonObject]:
    found: list[JsonObject] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(payload(line.strip(), f"{name} line {number}"))
        except CommandError as error:
            problems.append(error.text)
    return _all_good(found, problems, name)


def _rows(file: TextIO, name: str, delimiter: str) -> list[JsonObject]:
    csv.field_size_limit(CSV_FIELD)
    found: list[JsonObject] = []
    problems: list[str] = []
    reader = csv.reader(file, strict=True, delimiter=delimiter)
    try:
        names = _cut(next(reader, []), 0)
        _check_names(names, name)
        for row in _numbered(reader):
            number, cells = row
            cells = _cut(cells, len(names))
            if not any(cell.strip() for cell in cells):
                continue  # spreadsheets leave rows of nothing but separators
            if len(cells) != len(names):
                problems.append(
                    f"{name} line {number} has {len(cells)} values, the first line {len(names)}."
                )
                continue
            found.append(dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        problems.append(f"{name} line {reader.line_num} is not CSV: {error}.")
    return _all_good(found, problems, name)


def _cut(cells: list[str], least: int) -> list[str]:
    """Leave out the empty cells at the end of a row, as spreadsheets write them."""
    while len(cells) > least and not cells[-1].strip():
        cells.pop()
    return cells


def _check_names(names: list[str], name: str) -> None:
    if not names:
        raise usage_error(f"{name} is empty; its first line must name the fields.")
    seen: set[str] = set()
    for field in names:
        if not field.strip() or field in seen:
            raise usage_error(f"{name} line 1: the field name {field!r} is empty or there twice.")
        seen.add(field)


def _numbered(rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    for row in rows:
        yield getattr(rows, "line_num", 0), row


def _all_good(found: list[JsonObject], problems: list[str], name: str) -> list[JsonObject]:
    if problems:
        shown = problems[:MOST_PROBLEMS]
        more = len(problems) - len(shown)
        if more:
            shown.append(f"And {more} more bad lines.")
        raise usage_error("\n".join([*shown, "Nothing was pushed."]))
    if not found:
        raise usage_error(f"{name} has no items.")
    return found


def moment(text: str, *, now: datetime, option: str = "--next-run") -> datetime:
    """Read when an item is to run first.

    Args:
        text: a duration from now (``5m``, ``+1h30m``), or an ISO date and time; without a zone it
            is this machine's.
        now: the present, with its zone.
        option: what it was given with, for the error's text.

    Raises:
        CommandError: neither.
    """
    wait = _DURATION.fullmatch(text.strip())
    if wait:
        try:
            return now + timedelta(seconds=seconds(wait[1]))
        except (ValueError, OverflowError):
            pass
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise usage_error(
            f"{option} {text}: allowed: a wait like 90s, 5m or 1h30m, or a date and time like"
            " 2026-12-24T18:00 or 2026-12-24T18:00+01:00."
        ) from error
