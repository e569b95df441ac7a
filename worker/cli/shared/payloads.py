"""Payloads from the command line and from files: read and checked before anything is pushed."""

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TextIO

from worker.cli.shared.errors import CommandError, usage_error
from worker.durations import seconds
from worker.openiap.workitem import JsonObject

MOST_PROBLEMS: Final = 10
CSV_FIELD: Final = 64 * 1024 * 1024
_DURATION: Final = re.compile(r"\+?\s*(\d.*)")


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
        found = json.loads(text, parse_constant=_no_constant)
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


def payloads_from(source: str) -> list[JsonObject]:
    """Read the payloads of a file, all of them before any is pushed.

    Args:
        source: a path ending in ``.jsonl`` (or ``.ndjson``) or ``.csv``, or ``-`` for JSON lines on
            standard input.

    Raises:
        CommandError: the file cannot be read, or lines of it are bad; each is named.
    """
    if source == "-":
        return _json_lines(sys.stdin, "standard input")
    path = Path(source)
    kind = path.suffix.lower()
    if kind not in (".jsonl", ".ndjson", ".csv"):
        raise usage_error(
            f"--from {source}: allowed: a .jsonl file (a JSON object on each line), a .csv file"
            " (names in its first line), or - for JSON lines on standard input."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _rows(file, source) if kind == ".csv" else _json_lines(file, source)
    except OSError as error:
        raise usage_error(f"--from {source}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise usage_error(f"--from {source} is not UTF-8: {error.reason}.") from error


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


def _rows(file: TextIO, name: str) -> list[JsonObject]:
    csv.field_size_limit(CSV_FIELD)
    found: list[JsonObject] = []
    problems: list[str] = []
    reader = csv.reader(file, strict=True)
    try:
        names = next(reader, [])
        _check_names(names, name)
        for row in _numbered(reader):
            number, cells = row
            if not cells:
                continue
            if len(cells) != len(names):
                problems.append(
                    f"{name} line {number} has {len(cells)} values, the first line {len(names)}."
                )
                continue
            found.append(dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        problems.append(f"{name} line {reader.line_num} is not CSV: {error}.")
    return _all_good(found, problems, name)


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


def moment(text: str, *, now: datetime) -> datetime:
    """Read when an item is to run first.

    Args:
        text: a duration from now (``5m``, ``+1h30m``), or an ISO date and time; without a zone it
            is this machine's.
        now: the present, with its zone.

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
            f"--next-run {text}: allowed: a wait like 90s, 5m or 1h30m, or a date and time like"
            " 2026-12-24T18:00 or 2026-12-24T18:00+01:00."
        ) from error
