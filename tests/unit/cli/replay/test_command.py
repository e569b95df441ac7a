"""``replay`` refuses what it cannot do before it connects to anything."""

from pathlib import Path

import pytest

from worker.cli.replay import command
from worker.cli.shared.errors import CommandError


def test_a_debugger_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(CommandError) as caught:
        command.replay(item="x", handlers=["work"], debugger=5678)
    assert caught.value.text == (
        "--debugger needs debugpy, which is not installed: pip install debugpy."
    )
    assert caught.value.code == 2
