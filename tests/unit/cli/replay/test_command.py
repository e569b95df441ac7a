"""``replay`` refuses what it cannot do before it connects to anything."""

from pathlib import Path

import pytest

from worker.cli import replay
from worker.cli.shared.problems import Problem


def test_a_debugger_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "find_spec", lambda name: None)
    with pytest.raises(Problem) as caught:
        replay.replay("x", handlers=["work"], debugger=5678)
    assert caught.value.text == (
        "--debugger needs debugpy, which is not installed: pip install debugpy."
    )
    assert caught.value.code == 2
