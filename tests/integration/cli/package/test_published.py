"""``package list`` and ``package delete`` as commands."""

import json
from pathlib import Path

from tests.integration.cli.commands import Cli


def published(signed: Cli, name: str) -> list[dict[str, str]]:
    found = signed("package", "list", "--json")
    assert found.returncode == 0, found.stderr
    documents: list[dict[str, str]] = json.loads(found.stdout)
    return [one for one in documents if one["id"] == name]


def test_what_is_published_is_listed_and_deleted(signed: Cli, tmp_path: Path) -> None:
    folder = str(tmp_path)
    (tmp_path / "jobs.py").write_text("# nothing\n", encoding="utf-8")
    named = ("--name", "listed", "--version", "1.0.0", "--handlers", "jobs", "--out", folder)
    built = signed("package", "build", folder, *named)
    assert built.returncode == 0, built.stderr
    for wrong in ("listed", "0123456789abcdef01234567"):
        refused = signed("package", "delete", wrong, "--yes")
        assert refused.returncode == 1
        assert f"No package '{wrong}' is published" in refused.stderr
    assert signed("package", "publish", f"{folder}/listed-1.0.0.tgz").returncode == 0
    (document,) = published(signed, "listed")
    shown = signed("package", "list").stdout
    assert all(text in shown for text in ("listed", "1.0.0", document["_id"]))
    unasked = signed("package", "delete", "listed")
    assert unasked.returncode == 2
    assert "add --yes" in unasked.stderr
    deleted = signed("package", "delete", "listed", "--yes")
    assert deleted.returncode == 0, deleted.stderr
    assert deleted.stdout.startswith("Deleted: listed 1.0.0 (document ")
    assert published(signed, "listed") == []
