"""``--help`` of every command names defaults, and no type for what takes no value."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from tests.cases import each
from worker.cli.app import command_line, main


def commands(command: Any, *before: str) -> Iterator[tuple[str, ...]]:
    yield before
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *before, name)


EVERY = list(commands(typer.main.get_command(command_line())))


@each("words", EVERY)
def test_help_is_about_values_and_defaults(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--help" in shown
    assert "bool" not in shown.lower()
    text = re.sub(r"[│\s]+", " ", shown)
    for option, default in (
        (
            "--client ",
            "[default: official]" if words == ("demo",) else "Default: the setting client",
        ),
        ("--url ", "Default: the setting url"),
        ("--settings ", "Default: config/worker.toml"),
    ):
        found = re.search(rf" {option}.*?(?= --\w|$)", text)
        assert found is None or default in found[0]
