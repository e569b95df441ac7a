"""A handlers' module given as a path is that file, whatever else bears its name."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from worker.app.application import Application
from worker.app.registry import Registry, load_modules
from worker.errors import HandlerError

WORK = """
from worker import handler

HERE = __file__

@handler({queue!r})
def work(payload: dict) -> dict:
    return {{"from": HERE}}
"""


@pytest.fixture
def folder(tmp_path: Path):
    before = list(sys.path), dict(sys.modules)
    yield tmp_path
    sys.path[:] = before[0]
    for name in set(sys.modules) - set(before[1]):
        del sys.modules[name]


def write(folder: Path, name: str, text: str = "", *, queue: str = "q") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + WORK.format(queue=queue))
    return path


def file_of(application: Application, number: int = 0) -> Path:
    return Path(list(application)[number].function({})["from"])


@pytest.mark.parametrize(
    "name",
    [
        "json.py",
        "queue.py",
        "pydantic.py",
        "worker.py",
        "conftest.py",
        "__main__.py",
        "my-work.py",
        "my work.py",
        "1st.py",
        "v1.2.py",
        "Größe.py",
        "class.py",
        "path/to/json.py",
        "path/to/work.py",
        "json/work.py",
        "a-b/c d/work.py",
        "v1.2/work.py",
        "importlib/work.py",
    ],
)
def test_a_path_is_that_file(folder: Path, name: str) -> None:
    file = write(folder, name)
    before = {module: sys.modules.get(module) for module in ("json", "queue", "pydantic", "worker")}
    assert file_of(load_modules([name], folder=folder)) == file
    assert file_of(load_modules([str(file)], folder=folder)) == file
    assert file_of(load_modules([f"./{name}"], folder=folder)) == file
    assert {module: sys.modules.get(module) for module in before} == before


def test_a_path_that_python_would_take_for_the_file_keeps_its_dotted_name(folder: Path) -> None:
    write(folder, "path/to/work.py")
    (found,) = load_modules(["path/to/work.py"], folder=folder)
    assert found.function.__module__ == "path.to.work"
    assert found.name == "path.to.work.work"
    assert list(load_modules(["path.to.work"], folder=folder)) == [found]


def test_a_file_of_a_taken_name_is_shown_by_its_own(folder: Path) -> None:
    write(folder, "json.py")
    (found,) = load_modules(["json.py"], folder=folder)
    assert found.name == "json.work"
    assert json.loads("1") == 1


def test_a_name_means_the_file_in_the_working_directory(folder: Path) -> None:
    file = write(folder, "queue.py")
    assert file_of(load_modules(["queue"], folder=folder)) == file


def test_files_of_one_name_in_several_folders_are_different(folder: Path) -> None:
    names = ["a/work.py", "b/work.py", "c/work.py"]
    files = [write(folder, name, queue=name) for name in names]
    inside = load_modules(names, folder=folder)
    assert [file_of(inside, number) for number in range(3)] == files
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    outside = load_modules([f"../{name}" for name in names], folder=elsewhere)
    assert [file_of(outside, number) for number in range(3)] == files
    assert len(Registry(outside)) == 3


def test_two_files_for_one_queue_are_told_apart_by_their_paths(folder: Path) -> None:
    names = [str(write(folder, f"{name}/json.py")) for name in "ab"]
    with pytest.raises(HandlerError) as caught:
        Registry(load_modules(names, folder=folder / "a"))
    assert all(name in str(caught.value) for name in names)


def test_a_file_and_a_package_of_one_name_are_different(folder: Path) -> None:
    file, package = write(folder, "work.py", queue="f"), write(folder, "work/__init__.py")
    found = load_modules(["work.py", "work/__init__.py"], folder=folder)
    assert [file_of(found), file_of(found, 1)] == [file, package]


@pytest.mark.parametrize("name", ["pkg/", "pkg/__init__.py", "./pkg", "json/", "a/pkg/", "a-b/"])
def test_a_package_is_given_by_its_folder_or_its_init(folder: Path, name: str) -> None:
    package = folder / name.removesuffix("__init__.py")
    write(package, "__init__.py", "from .near import VALUE\nfrom . import near\n")
    (package / "near.py").write_text("VALUE = 1\n")
    assert file_of(load_modules([name], folder=folder)) == package / "__init__.py"


@pytest.mark.parametrize("name", ["work.py", "json.py", "path/to/work.py", "a-b/json.py"])
@pytest.mark.parametrize("way", ["from .near import VALUE", "from . import near", "import near"])
def test_what_lies_beside_the_file_can_be_imported(folder: Path, name: str, way: str) -> None:
    file = write(folder, name, way + "\n")
    (file.parent / "near.py").write_text("VALUE = 1\n")
    assert file_of(load_modules([name], folder=folder)) == file


def test_another_folders_file_is_not_taken_for_the_one_beside(folder: Path) -> None:
    for place in "ab":
        write(folder, f"{place}/work.py", "import near\n", queue=place)
        (folder / place / "near.py").write_text("VALUE = 1\n")
    assert file_of(load_modules(["a/work.py"], folder=folder)) == folder / "a/work.py"
    assert refused(folder, "b/work.py") == (
        f"Module b/work.py: its import of near leads to {folder}/a/near.py, and not to"
        f" {folder}/b/near.py beside it, since Python knows one module of a name; write"
        " from . import near."
    )


def test_what_lies_in_the_working_directory_is_meant_by_its_plain_name(folder: Path) -> None:
    for place in (".", "b"):
        write(folder, f"{place}/work.py", "import near\nassert near.VALUE == 1\n", queue=place)
    (folder / "near.py").write_text("VALUE = 1\n")
    (folder / "b" / "near.py").write_text("VALUE = 2\n")
    assert file_of(load_modules(["b/work.py"], folder=folder)) == folder / "b/work.py"


def test_pythons_own_module_may_bear_the_name_of_a_neighbour(folder: Path) -> None:
    (folder / "queue.py").touch()
    file = write(folder, "work.py", "import queue\nqueue.Queue\n")
    assert file_of(load_modules(["work.py"], folder=folder)) == file


def test_packages_around_the_file_can_be_imported_from(folder: Path) -> None:
    file = write(folder, "json/inner/work.py", "from ..near import VALUE\nfrom .. import near\n")
    for name in ("json/__init__.py", "json/inner/__init__.py"):
        (folder / name).touch()
    (folder / "json/near.py").write_text("VALUE = 1\n")
    assert file_of(load_modules(["json/inner/work.py"], folder=folder)) == file


def test_a_link_to_the_folder_leads_to_the_same_module(folder: Path) -> None:
    real, link = folder / "real", folder / "link"
    write(real, "work.py")
    link.symlink_to(real)
    (found,) = load_modules(["work.py"], folder=real)
    assert list(load_modules([str(link / "work.py")], folder=real)) == [found]


@pytest.mark.parametrize("name", ["json.py", "queue.py", "my-work.py", "v1.2/work.py", "work.py"])
def test_what_is_in_the_file_can_be_pickled_for_another_process(folder: Path, name: str) -> None:
    file = write(folder, name, "def square(n):\n    return n * n\nclass Thing: ...\n")
    (found,) = load_modules([name], folder=folder)
    there = sys.modules[found.function.__module__]
    program = (
        "import pickle, sys; sys.path[:] = eval(sys.argv[1]);"
        " function, thing = pickle.loads(eval(sys.argv[2]));"
        " import json, queue; assert json.loads and queue.Queue;"
        " print(function(7), sys.modules[type(thing).__module__].__file__)"
    )
    data = pickle.dumps((there.square, there.Thing()))
    command = [sys.executable, "-c", program, repr(sys.path), repr(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert (done.stdout.split(maxsplit=1), done.stderr) == (["49", f"{file}\n"], "")


def test_installed_and_own_modules_of_python_stay_what_they_are(folder: Path) -> None:
    for name in ("queue.py", "httpx.py"):
        write(folder, name, queue=name)
    load_modules(["queue.py", "httpx.py"], folder=folder)
    program = "import sys; sys.path[:] = eval(sys.argv[1]); import queue, httpx; httpx.AsyncClient"
    done = subprocess.run(
        [sys.executable, "-c", program, repr(sys.path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def refused(folder: Path, name: str) -> str:
    with pytest.raises(HandlerError) as caught:
        load_modules([name], folder=folder)
    return str(caught.value)


def test_a_path_to_nothing_usable_is_refused_in_a_sentence(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "some").mkdir()
    (folder / "some" / "one.py").touch()
    (folder / "two.py").touch()
    (folder / "text.txt").touch()
    os.mkfifo(folder / "pipe.py")
    assert refused(folder, "no/work.py") == (
        f"Module no/work.py: there is no file {folder}/no/work.py."
    )
    assert refused(folder, "./two") == (
        f"Module ./two: there is no file {folder}/two. Did you mean ./two.py?"
    )
    assert refused(folder, "empty/") == (
        "Module empty/ is a folder without __init__.py; name a file whose name ends in .py."
    )
    assert refused(folder, "some/") == (
        "Module some/ is a folder without __init__.py; name the files in it: some/one.py."
    )
    assert refused(folder, "./text.txt") == (
        "Module ./text.txt is no Python file; allowed: a file whose name ends in .py, a folder with"
        " __init__.py, or a module's name."
    )
    assert "there is no file" in refused(folder, "pipe.py")
    assert refused(folder, "a\0b.py").startswith(r"Module 'a\x00b.py': there is no file")
    assert refused(folder, "a" * 5000 + ".py").startswith("Module aaa")
    assert refused(folder, ".").startswith("Module . is a folder without __init__.py")


def test_a_module_that_is_none_in_the_end_is_refused(folder: Path) -> None:
    (folder / "odd.py").write_text("import sys\nsys.modules[__name__] = 5\n")
    assert refused(folder, "odd.py") == ("Module odd.py has put something else in its place: 5.")
