"""``items history``, ``watch`` and ``download``: read by people and by programs, and harmless."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.integration.cli.commands import Cli, running, signed_environment
from worker.cli.items.download import placed, targets
from worker.cli.shared.errors import CommandError
from worker.management.items.types import ItemFile


def pushed(signed: Cli, queue: str, *more: str) -> str:
    done = signed("items", "push", queue, *more, "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["ids"][0])


def test_a_timeline_is_read_by_people_and_programs(signed: Cli) -> None:
    assert signed("queues", "create", "lines").returncode == 0
    id = pushed(signed, "lines", "--payload", '{"country": "FR"}')
    edited = signed("items", "edit", id, "--patch", '{"country": "DE"}', "--yes")
    assert edited.returncode == 0, edited.stderr
    shown = signed("items", "history", id, "--utc")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert any("pushed" in line and "UTC" in line for line in lines)
    assert any("edited" in line and "tester" in line for line in lines)
    assert "  country" in lines
    data = json.loads(signed("items", "history", id, "--json").stdout)
    assert [one["what"] for one in data["entries"]] == ["pushed", "edited"]
    assert data["children"] == []
    unknown = signed("items", "history", "nobody")
    assert (unknown.returncode, unknown.stderr.count("There is no item nobody")) == (1, 1)
    none = signed("items", "priority", id, "--to", "5", "--yes", OPENIAP_WORKER_HISTORY="0")
    assert none.returncode == 0, none.stderr
    data = json.loads(signed("items", "history", id, "--json").stdout)
    assert [one["what"] for one in data["entries"]] == ["pushed", "edited"]


def test_files_are_fetched_whole_and_replace_nothing(signed: Cli, tmp_path: Path) -> None:
    assert signed("queues", "create", "files").returncode == 0
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name * 1000)
    id = pushed(signed, "files", "--file", "a.txt", "--file", "b.txt")
    done = signed("items", "download", id, "--to", "in", "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "in" / "a.txt").read_text() == "a.txt" * 1000
    assert sorted(os.listdir(tmp_path / "in")) == ["a.txt", "b.txt"]
    (tmp_path / "in" / "a.txt").write_text("mine")
    again = signed("items", "download", id, "--to", "in")
    assert again.returncode == 2
    assert "is there already; nothing was fetched" in again.stderr
    assert (tmp_path / "in" / "a.txt").read_text() == "mine"
    assert signed("items", "download", id, "a.txt", "--to", "in", "--force").returncode == 0
    assert (tmp_path / "in" / "a.txt").read_text() == "a.txt" * 1000
    missing = signed("items", "download", id, "c.txt")
    assert missing.returncode == 1
    assert "has no file c.txt. Its files: a.txt, b.txt." in missing.stderr


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..\\x", "C:\\x"])
def test_a_hostile_name_stays_in_the_folder(name: str, tmp_path: Path) -> None:
    ((_, target),) = targets([ItemFile(name=name, id="1")], None, tmp_path, force=False, id="i")
    assert target == tmp_path / "x"


@pytest.mark.parametrize("name", ["..", "", "a\nb", "CON", "x" * 300])
def test_a_name_that_is_not_safe_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Nothing was fetched"):
        targets([ItemFile(name=name, id="1")], None, tmp_path, force=True, id="i")


def test_two_names_that_would_be_one_and_a_link_that_points_elsewhere(tmp_path: Path) -> None:
    two = [ItemFile(name="a/x", id="1"), ItemFile(name="b/X", id="2")]
    with pytest.raises(CommandError, match="would be X here"):
        targets(two, None, tmp_path, force=True, id="i")
    victim, link, came = tmp_path / "victim", tmp_path / "link", tmp_path / "came"
    victim.write_text("precious")
    link.symlink_to(victim)
    came.write_text("new")
    with pytest.raises(CommandError, match="meanwhile"):
        placed(came, link, force=False)
    placed(came, link, force=True)
    assert (victim.read_text(), link.read_text()) == ("precious", "new")


def test_a_watch_tells_of_changes_as_json_lines_and_ends_at_ctrl_c(
    signed: Cli, server_url: str, tmp_path: Path
) -> None:
    assert signed("queues", "create", "live").returncode == 0
    environment = signed_environment(server_url, tmp_path)
    arguments = ("items", "watch", "--queue", "live", "--json")
    seen, ids = threading.Event(), list[str]()

    def push() -> None:  # nobody tells when it has begun to look
        while not seen.wait(0.2):
            ids.append(pushed(signed, "live"))

    with running(*arguments, folder=tmp_path, **environment) as watch:
        pushing = threading.Thread(target=push)
        pushing.start()
        found = json.loads(watch.wait_for("{"))
        seen.set()
        pushing.join()
        assert (found["id"] in ids, found["state"]) == (True, "new")
        watch.process.send_signal(signal.SIGINT)
        assert watch.process.wait(60) == 0
        assert "Traceback" not in "".join(watch.lines)
