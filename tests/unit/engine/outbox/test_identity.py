"""A restarted worker finds its own name again, and no two workers have one."""

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.engine.outbox.identity import claim_identity, draw_anew, host_name, lock_path
from worker.engine.outbox.lockfile import Locked, mark_of
from worker.errors import StateError


def test_a_restarted_worker_gets_its_old_name(tmp_path: Path) -> None:
    first = claim_identity(tmp_path, host="box.example.org")
    assert re.fullmatch("box-[0-9a-f]{4}-1", first.id)
    first.release()
    first.release()
    assert claim_identity(tmp_path, host="box.example.org").id == first.id


def test_two_workers_on_one_host_have_two_names(
    tmp_path: Path, begin: Callable[..., object]
) -> None:
    other = begin("holds_identity")
    assert other.stdout.readline().endswith("-1\n")
    mine = claim_identity(tmp_path, host="box")
    assert mine.id.endswith("-2")
    other.send_signal(signal.SIGKILL)
    other.wait(60)
    third = claim_identity(tmp_path, host="box")
    assert third.id.endswith("-1"), "a killed worker's name is free at once"
    third.release()
    mine.release()


def test_a_chosen_name_is_taken_once(tmp_path: Path) -> None:
    mine = claim_identity(tmp_path, "blue")
    assert mine.id == "blue"
    with pytest.raises(Locked, match=r"blue\.worker is in use by another process, pid"):
        claim_identity(tmp_path, "blue")
    mine.release()
    claim_identity(tmp_path, "blue").release()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be made"):
        claim_identity(tmp_path / "file" / "state")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("box.example.org", "box"),
        ("Büro PC", "B-ro-PC"),
        ("../../etc", "worker"),
        ("", "worker"),
        ("a" * 200, "a" * 60),
    ],
)
def test_a_hosts_name_is_fit_for_a_file(given: str, name: str) -> None:
    assert host_name(given) == name


def test_two_state_directories_give_two_names_on_hosts_of_one_name(tmp_path: Path) -> None:
    one = claim_identity(tmp_path / "a", host="worker")
    two = claim_identity(tmp_path / "b", host="worker")
    assert one.id != two.id
    one.release()
    two.release()


def test_a_lock_has_a_mark_that_no_other_has_and_a_restart_finds_again(tmp_path: Path) -> None:
    first = claim_identity(tmp_path / "a", "blue")
    mark = first.lock.mark
    assert re.fullmatch("[0-9a-f]{24}", mark)
    assert mark_of(lock_path(tmp_path / "a", "blue")) == mark
    first.release()
    assert first.lock.mark == ""
    again = claim_identity(tmp_path / "a", "blue")
    assert again.lock.mark == mark
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = claim_identity(tmp_path / "b", "blue")
    assert copy.lock.mark not in (mark, "")
    copy.release()
    again.release()
    assert mark_of(tmp_path / "nothing") == ""


def test_a_directory_that_is_a_copy_gives_another_name_once_it_was_drawn_anew(
    tmp_path: Path,
) -> None:
    first = claim_identity(tmp_path, host="box")
    draw_anew(tmp_path)
    second = claim_identity(tmp_path, host="box")
    assert first.id != second.id
    assert second.id.endswith("-1")
    second.release()
    first.release()
