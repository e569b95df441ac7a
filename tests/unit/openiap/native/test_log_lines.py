"""Log lines: levels, one stream, no colours but on a terminal."""

import io
import re

import pytest

from tests.cases import each
from worker.openiap.native.log_lines import LogWriter, level_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_before_tracing_is_enabled_only_errors_come_through() -> None:
    out = io.StringIO()
    lines = LogWriter(out)
    for level in ("trace", "debug", "verbose", "info", "warn", "error"):
        lines.write(level, (level,))
    assert out.getvalue().split()[1:] == ["ERROR", "error"]


@pytest.mark.parametrize(
    ("level", "through"),
    [
        ("error", ["error"]),
        ("warn", ["error", "warn"]),
        ("info", ["error", "warn", "info"]),
        ("verbose", ["error", "warn", "info", "verbose"]),
        ("debug", ["error", "warn", "info", "verbose", "debug"]),
        ("trace", ["error", "warn", "info", "verbose", "debug", "trace"]),
    ],
)
def test_a_level_lets_itself_and_what_is_worse_through(level: str, through: list[str]) -> None:
    out = io.StringIO()
    lines = LogWriter(out)
    lines.enable(level)
    for one in ("error", "warn", "info", "verbose", "debug", "trace"):
        lines.write(one, (one,))
    assert [line.split()[-1] for line in out.getvalue().splitlines()] == through


def test_disabled_means_nothing_at_all() -> None:
    out = io.StringIO()
    lines = LogWriter(out)
    lines.enable("trace")
    lines.disable()
    lines.write("error", ("x",))
    assert out.getvalue() == ""


@each(
    ("expression", "level"),
    [
        ("", "info"),
        ("debug", "debug"),
        ("WARNING", "warn"),
        ("openiap=trace", "trace"),
        ("openiap=debug,tokio=warn", "debug"),
        ("tokio=trace", "info"),
        ("nonsense", "info"),
        ("off", "off"),
    ],
)
def test_the_rust_librarys_expressions_are_understood(expression: str, level: str) -> None:
    assert level_of(expression) == level


def test_a_line_has_time_level_and_every_argument() -> None:
    out = io.StringIO()
    lines = LogWriter(out)
    lines.enable("info")
    lines.write("info", ("popped", 3, {"a": 1}))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    popped 3 \{'a': 1\}\n", out.getvalue()
    )


def test_colours_only_on_a_terminal() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for out in (plain, terminal):
        lines = LogWriter(out)
        lines.write("error", ("x",))
    assert "\x1b" not in plain.getvalue()
    assert "\x1b" in terminal.getvalue()


def test_a_message_cannot_overwrite_the_line_nor_colour_it() -> None:
    out = Terminal()
    LogWriter(out).write("error", ("hidden\rnothing happened \x1b[2J",))
    assert "\r" not in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_a_stream_that_is_closed_does_not_stop_the_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = io.StringIO()
    out.close()
    lines = LogWriter(out)
    lines.write("error", ("one",))
    lines.write("error", ("two",))
    assert "two" in capsys.readouterr().err
