"""A new project is made whole or not at all, and only under a name that works."""

import ast
import tomllib
from pathlib import Path

import pytest

from tests.cases import each
from worker.cli.new import NameRefused, make_project
from worker.cli.new import project as room
from worker.cli.new.project import package_of


def test_a_project_has_handlers_settings_tests_and_an_image(tmp_path: Path) -> None:
    made = make_project("invoice-robot", tmp_path, version="0.1.0")
    assert made.package == "invoice_robot"
    assert made.folder == tmp_path / "invoice-robot"
    assert set(made.files) == {
        ".dockerignore",
        ".gitignore",
        "Dockerfile",
        "README.md",
        "config/worker.toml",
        "invoice_robot/__init__.py",
        "invoice_robot/orders.py",
        "pyproject.toml",
        "tests/test_orders.py",
    }
    for name in made.files:
        text = (made.folder / name).read_text(encoding="utf-8")
        assert "@NAME@" not in text
        assert "@PACKAGE@" not in text
        assert "@VERSION@" not in text
        assert "CLONE@" not in text
        assert "REGISTRY@" not in text
        assert "wheels" not in text, "the registry has this version"
        if name.endswith(".py"):
            ast.parse(text)
        if name.endswith(".toml"):
            tomllib.loads(text)
    assert "invoice_robot.orders" in (made.folder / "config/worker.toml").read_text()


def test_a_project_of_a_clone_brings_the_wheel_along_and_builds_from_it(tmp_path: Path) -> None:
    wheel = ("openiap_worker-0.1.0+clone1-py3-none-any.whl", b"wheel")
    made = make_project("robot", tmp_path, version="0.1.0", wheel=wheel)
    assert (made.folder / "wheels" / wheel[0]).read_bytes() == b"wheel"
    assert f"wheels/{wheel[0]}" in made.files
    dockerfile = (made.folder / "Dockerfile").read_text()
    assert "COPY wheels wheels\n" in dockerfile
    assert dockerfile.count("pip install --find-links wheels . ") == 1
    assert dockerfile.count("pip install") == 1
    assert "!wheels\n" in (made.folder / ".dockerignore").read_text()
    readme = (made.folder / "README.md").read_text()
    assert "openiap-worker package wheel --out wheels" in readme
    assert not [line for line in (dockerfile + readme).splitlines() if "@" in line]


def test_what_is_there_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "robot").mkdir()
    (tmp_path / "robot" / "mine.py").write_text("mine")
    with pytest.raises(NameRefused, match="robot exists already; nothing was written"):
        make_project("robot", tmp_path, version="0.1.0")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NameRefused, match="gone exists already"):
        make_project("gone", tmp_path, version="0.1.0")
    assert [p.name for p in (tmp_path / "robot").iterdir()] == ["mine.py"]


def test_half_a_project_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "rendered", lambda values, clone: {"a.py": "1", "a.py/b.py": "2"})
    with pytest.raises(OSError, match=r"a\.py"):
        make_project("robot", tmp_path, version="0.1.0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "invoice-robot", "Robot2", "a_b-c", "x" * 60])
def test_names_that_work(name: str) -> None:
    assert package_of(name).isidentifier()


@each(
    ("name", "reason"),
    [
        ("", "allowed are up to 60 letters"),
        ("1st", "allowed are up to 60 letters"),
        ("a b", "allowed are up to 60 letters"),
        ("../x", "allowed are up to 60 letters"),
        ("a/b", "allowed are up to 60 letters"),
        ("-a", "allowed are up to 60 letters"),
        ("a-", "allowed are up to 60 letters"),
        ("a--b", "allowed are up to 60 letters"),
        ("café", "allowed are up to 60 letters"),
        ("a\n", "allowed are up to 60 letters"),
        ("x" * 61, "allowed are up to 60 letters"),
        ("class", "class is a word of Python's own"),
        ("json", "json is a word of Python's own"),
        ("Worker", "its package would stand in the way of another one, worker"),
        ("nul", "it is a device name on Windows"),
    ],
)
def test_names_that_do_not(name: str, reason: str) -> None:
    with pytest.raises(NameRefused) as caught:
        package_of(name)
    assert str(caught.value).startswith(f"A project cannot be called {name!r}: ")
    assert reason in str(caught.value)
