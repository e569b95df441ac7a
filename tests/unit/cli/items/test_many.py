"""A change of many items is typed by whoever asks for it at a terminal."""

import io
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from worker.cli.items.unfinished import Unfinished
from worker.cli.shared.asking import confirm
from worker.cli.shared.errors import CommandError
from worker.settings import Settings

QUESTION = {"question": "Retry: 2,000 items?", "typed": "retry 2000"}


class Typed(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("typed", ["", "y", "yes", "retry", "retry 12", "retry 1"])
def test_anything_else_than_what_is_asked_for_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(f"{typed}\n"))
    with pytest.raises(typer.Abort):
        confirm(**QUESTION, yes=False)


def test_what_is_asked_for_is_typed_or_said_by_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Typed("retry 2000\n"))
    confirm(**QUESTION, yes=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    confirm(**QUESTION, yes=True)
    with pytest.raises(CommandError, match="add --yes"):
        confirm(**QUESTION, yes=False)


def test_a_command_is_known_again_by_all_that_it_was_given(tmp_path: Path) -> None:
    now = datetime(2026, 11, 28, 12, 0, 0, 123_000, tzinfo=UTC)

    def known(**given: Any) -> Unfinished:
        settings = Settings(state_dir=tmp_path, url="ws://one", username=given.pop("who", "ann"))
        return Unfinished(settings, {"word": "retry", **given})

    known(queue="a").begin(now)
    assert known(queue="a").before() == now
    assert known(queue="b").before() is None
    assert known(queue="a", at="1h").before() is None
    assert known(queue="a", who="bob").before() is None
    known(queue="a").end()
    assert known(queue="a").before() is None
    for damaged in ("", "[]", "{", '{"before": 7}'):
        known(queue="a").begin(now)
        (kept,) = tmp_path.rglob("*.json")
        kept.write_text(damaged)
        assert known(queue="a").before() is None
