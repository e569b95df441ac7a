"""How lines look: for people, for machines, for journald; and how that is chosen."""

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from worker.telemetry import log_forms
from worker.telemetry.log_forms import (
    LEVELS,
    MAX_LINE,
    Entry,
    Level,
    as_json,
    coloured,
    form_for,
    journal,
    text,
)


def entry(level: Level = "info", message: str = "item done", **fields: object) -> Entry:
    return Entry(level, message, fields, handler="book", worker="w-1")


class Terminal:
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("no descriptor")


def test_a_text_line_has_the_moment_and_one_level() -> None:
    moment, level, rest = text(entry(queue="q")).split(maxsplit=2)
    told = datetime.fromisoformat(moment)
    assert abs((datetime.now(UTC) - told).total_seconds()) < 60
    assert (level, rest) == ("INFO", "item done queue=q")


@pytest.mark.parametrize("level", LEVELS)
def test_a_journal_line_has_the_priority_and_no_time(level: Level) -> None:
    wanted = {"error": 3, "warn": 4, "info": 6, "verbose": 6, "debug": 7, "trace": 7}
    assert journal(entry(level, queue="q")) == f"<{wanted[level]}>item done queue=q"


def test_a_json_line_has_every_part_by_name() -> None:
    fields = {
        "queue": "q",
        "attempt": 2,
        "seconds": 0.5,
        "ratio": None,
        "text": "a\nb",
        "level": "my",
    }
    said = as_json(Entry("info", "item done", {**fields, "x": float("nan")}, False, "book", "w-1"))
    assert "\n" not in said
    told = json.loads(said)
    assert datetime.fromisoformat(told.pop("time"))
    assert told == {
        "level": "info",
        "message": "item done",
        "worker": "w-1",
        "handler": "book",
        "queue": "q",
        "attempt": 2,
        "seconds": 0.5,
        "ratio": None,
        "text": "a\nb",
        "level_": "my",
        "x": "nan",
    }


def test_no_form_shows_a_secret() -> None:
    hostile = entry(
        message="url wss://robot:s3cret-1@host/ws",
        password="s3cret-2",
        error=ValueError("token=s3cret-3-abc"),
    )
    for form in (text, coloured, journal, as_json):
        hostile._line = None
        assert "s3cret" not in form(hostile)


def test_no_form_is_forged_or_grows_without_bound() -> None:
    hostile = entry(message="x\n<3>all is lost", value="\x1b[31m" + "y" * 10 * MAX_LINE)
    for form in (text, journal, as_json):
        hostile._line = None
        said = form(hostile)
        assert said.isprintable()
        assert len(said) < 2 * MAX_LINE + 1000


def test_json_carries_every_letter_and_turns_no_terminal_around() -> None:
    name = "Køb 4711 \u2028 \u202e \x9b"
    said = as_json(entry(name=name))
    assert json.loads(said)["name"] == name
    assert said.isprintable()


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where these tests run may itself be a container."""
    monkeypatch.setattr(log_forms, "_CONTAINER_FILES", ("/nowhere/.dockerenv",))


CASES: list[tuple[str, Mapping[str, str], object, object]] = [
    ("auto", {}, None, text),
    ("auto", {}, Terminal(), coloured),
    ("auto", {"NO_COLOR": "1"}, Terminal(), text),
    ("auto", {"TERM": "dumb"}, Terminal(), text),
    ("auto", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None, as_json),
    ("auto", {"SF_VMID": "7"}, None, as_json),
    ("auto", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, Terminal(), coloured),
    ("auto", {"container": "podman"}, None, as_json),
    ("text", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None, text),
    ("json", {}, Terminal(), as_json),
    ("auto", {"JOURNAL_STREAM": "8:1"}, Terminal(), coloured),
    ("auto", {"JOURNAL_STREAM": "nonsense"}, None, text),
]


@pytest.mark.parametrize(("choice", "environment", "stream", "form"), CASES)
def test_the_form_is_chosen_by_setting_and_stderr(
    choice: Any, environment: Mapping[str, str], stream: Any, form: object
) -> None:
    assert form_for(choice, environment, stream) is form


def test_the_journal_is_known_by_its_stream_and_the_setting_wins() -> None:
    with tempfile.TemporaryFile("w") as stream:
        told = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{told.st_dev}:{told.st_ino}", "container": "lxc"}
        assert form_for("auto", environment, stream) is journal  # type: ignore[arg-type]
        assert form_for("text", environment, stream) is text  # type: ignore[arg-type]
        other = {"JOURNAL_STREAM": f"{told.st_dev}:{told.st_ino + 1}"}
        assert form_for("auto", other, stream) is text  # type: ignore[arg-type]


def test_a_container_is_known_by_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    file = tmp_path / ".dockerenv"
    file.touch()
    monkeypatch.setattr(log_forms, "_CONTAINER_FILES", (str(file),))
    assert form_for("auto", {}, None) is as_json


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize(
    "value",
    ["text", 'ü\u2028\x1b[31m"\\\n', "x" * 300, True, False, None, 0, -1, 2**70, 1.5, 1e300],
)
def test_every_value_is_json_as_the_standard_library_writes_it(value, clean: bool) -> None:
    line = as_json(Entry("info", "m", {"k": value}, clean=clean))
    told = json.loads(line)
    assert told["k"] == value
    assert type(told["k"]) is type(value)
    assert json.dumps(told) == line
