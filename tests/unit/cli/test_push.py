"""What ``push`` refuses before it looks for a server."""

import os
from pathlib import Path

import pytest

from worker.cli.push import _files
from worker.cli.shared.errors import USAGE_ERROR, CommandError


@pytest.mark.parametrize("name", [b"back\\slash.txt", b"no-\xff-text.txt"])
def test_a_file_whose_name_openiap_would_change_is_refused(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_text("x")
    with pytest.raises(CommandError, match="its name") as refused:
        _files([path])
    assert refused.value.code == USAGE_ERROR
    refused.value.text.encode("utf-8")


def test_other_names_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "Rechnung № 4711 ä.txt"
    path.write_text("x")
    assert _files([path]) == (path,)
