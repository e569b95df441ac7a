"""The layout holds: imports run downwards, in no circle, and every room is on the list.

``worker/README.md`` draws it. Imports for types alone count: whoever reads a file follows those.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cases import each

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "worker"
GROUND = [
    "_version",
    "errors",
    "durations",
    "forks",
    "http_connection",
    "import_path",
    "kept_memory",
    "kinds",
    "package_path",
    "runloop",
    "service",
    "setting_sources",
    "settings",
    "standard_streams",
    "unseen",
    "uptime",
    "web_server",
]
FLOORS: tuple[tuple[str, ...], ...] = (
    tuple(GROUND),
    ("openiap",),
    ("state", "item"),
    ("telemetry",),
    ("producer",),
    ("app",),
    ("engine",),
    ("management",),
    ("testing", "console"),
    ("cli",),
    ("__init__", "__main__", "context", "contract", "contracts", "sync"),
)
"""From the ground up; rooms of one floor do not import each other, save for the first and the last:
small files that belong together, and the documented names, which lead into rooms."""
BESIDE = "localserver"
BESIDE_MAY = {*GROUND, "openiap"}
MAY_USE_WHAT_IS_BESIDE = {"testing", "console", "cli"}
INSIDE_BESIDE = ("storage", "operations", "protocol")
OTHERS = {"README.md", "py.typed"}
MOST_LINES = 450

Imports = Mapping[str, frozenset[str]]


def room_of(module: str) -> str:
    """``worker.engine.daemon`` lies in ``engine``; ``worker`` itself is ``__init__``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def floor_of(room: str) -> int | None:
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def upward(imports: Imports) -> list[str]:
    """Return the imports that run up, or across to a neighbour."""
    found = []
    for module, target in sorted((m, t) for m in imports for t in imports[m]):
        here, there = room_of(module), room_of(target)
        if here == there:
            continue
        if BESIDE in (here, there):
            allowed = there in BESIDE_MAY if here == BESIDE else here in MAY_USE_WHAT_IS_BESIDE
        else:
            low, high = floor_of(there), floor_of(here)
            same = low == high and low in (0, len(FLOORS) - 1)
            allowed = low is not None and high is not None and (low < high or same)
        if not allowed:
            found.append(f"{module} -> {target}")
    return found


def upward_beside(imports: Imports) -> list[str]:
    """Return the imports inside the local server that run up."""

    def floor(module: str) -> int:
        parts = module.split(".")
        return INSIDE_BESIDE.index(parts[2]) if parts[2:] and parts[2] in INSIDE_BESIDE else 9

    return [
        f"{module} -> {target}"
        for module in sorted(imports)
        for target in sorted(imports[module])
        if room_of(module) == room_of(target) == BESIDE
        and floor(target) > floor(module)
        and target.rpartition(".")[2] != "options"
    ]


def circles(imports: Imports) -> list[list[str]]:
    """Return the groups of modules each of which leads to every other (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        path.append(module)
        for target in imports.get(module, ()):
            if target not in order:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in path:
                low[module] = min(low[module], order[target])
        if low[module] == order[module]:
            start = path.index(module)
            if len(path) - start > 1:
                found.append(sorted(path[start:]))
            del path[start:]

    for module in imports:
        if module not in order:
            visit(module)
    return found


def imports_of(package: Path) -> dict[str, frozenset[str]]:
    """Read which module of a package names which other, wherever in the file."""
    files = {_name(path, package): path for path in package.rglob("*.py")}
    return {name: frozenset(_named(name, path, set(files))) for name, path in files.items()}


def _name(path: Path, package: Path) -> str:
    dotted = ".".join(path.relative_to(package.parent).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


def _named(module: str, path: Path, known: set[str]) -> Iterator[str]:
    top = module.partition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name if name in known else str(node.module) for name in names]
        elif isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        else:
            continue
        yield from (f for f in found if f.partition(".")[0] == top and f in known and f != module)


@pytest.fixture(scope="module")
def imports() -> Imports:
    return imports_of(PACKAGE)


def test_no_circle(imports: Imports) -> None:
    assert circles(imports) == []


def test_no_import_runs_up(imports: Imports) -> None:
    assert upward(imports) == []
    assert upward_beside(imports) == []


def test_nothing_stands_at_the_top_that_is_not_on_the_list() -> None:
    listed = {room for floor in FLOORS for room in floor} | {BESIDE}
    found = {
        entry.stem if entry.suffix == ".py" else entry.name
        for entry in PACKAGE.iterdir()
        if entry.name not in OTHERS and (entry.is_file() or any(entry.rglob("*.py")))
    }
    assert found - listed == set()
    # Only these two may still be missing.
    assert listed - found <= {"management", "console"}


def test_no_file_is_too_long_to_have_one_purpose() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in PACKAGE.rglob("*.py")
        if not path.name.endswith("_pb2.py")
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}


def test_no_room_has_a_name_that_says_nothing() -> None:
    empty = re.compile(r"(utils?|helpers?|common|misc|manager|base)\.py")
    assert [str(path) for path in PACKAGE.rglob("*.py") if empty.fullmatch(path.name)] == []


def test_the_local_server_loads_nothing_of_the_worker_itself() -> None:
    code = (
        "import sys, worker.localserver.server\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('worker.')}\n"
        f"assert rooms <= {BESIDE_MAY | {BESIDE}!r}, sorted(rooms)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=110, cwd=ROOT)


def test_every_file_that_the_architecture_page_names_exists() -> None:
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    named = names_in(page)
    assert len(named) > 40
    assert [name for name in sorted(named) if not (PACKAGE / name).exists()] == []


def test_the_architecture_page_draws_what_is_there() -> None:
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    drawn = set(drawn_in(page))
    assert [name for name in sorted(drawn) if not (PACKAGE / name).exists()] == []
    folders = {
        f"{found.relative_to(PACKAGE).as_posix()}/"
        for found in (*PACKAGE.glob("*/"), *PACKAGE.glob("*/*/"))
        if any(found.glob("*.py"))
    }
    files = {found.name for found in PACKAGE.glob("*.py")}
    assert sorted((folders | files) - drawn) == []


def names_in(page: str) -> set[str]:
    """Return what a page names in backticks as a file, by its ending, or as a folder."""
    endings = "py|toml|md|proto|yaml|json|service|template"
    return set(re.findall(rf"`([\w./@-]+(?:\.(?:{endings})|/))`", page))


def drawn_in(page: str) -> Iterator[str]:
    """Return the paths of a page's tree: each step to the right is a step down."""
    tree = page.partition("```text\nworker/\n")[2].partition("```")[0]
    path: list[str] = []
    for line in tree.splitlines():
        found = re.match(r"( *)(\S+)", line)
        assert found, line
        path[len(found[1]) // 2 - 1 :] = [found[2]]
        yield "".join(path)


@each(
    ("made_up", "wrong"),
    [
        ({"worker.openiap.pool": {"worker.engine.daemon"}}, True),
        ({"worker.engine.daemon": {"worker.openiap.pool"}}, False),
        ({"worker.state.lock": {"worker.item.item"}}, True),
        ({"worker.errors": {"worker.durations"}}, False),
        ({"worker.localserver.server": {"worker.engine.daemon"}}, True),
        ({"worker.localserver.server": {"worker.openiap.values"}}, False),
        ({"worker.engine.daemon": {"worker.localserver.server"}}, True),
        ({"worker.cli.server": {"worker.localserver.server"}}, False),
        ({"worker.engine.daemon": {"worker.unheard.of"}}, True),
        ({"worker.item.item": {"worker"}}, True),
    ],
)
def test_an_upward_import_is_seen(made_up: dict[str, set[str]], wrong: bool) -> None:
    assert bool(upward({name: frozenset(found) for name, found in made_up.items()})) is wrong


def test_names_and_trees_are_read() -> None:
    page = (
        "`a.py`, `../b/c-d.yaml`, `e/`, `not.a.file`\n"
        "```text\nworker/\n  f/   x\n    g.py\n  h.py\n```\n"
    )
    assert names_in(page) == {"a.py", "../b/c-d.yaml", "e/"}
    assert list(drawn_in(page)) == ["f/", "f/g.py", "h.py"]


def test_a_circle_is_seen(tmp_path: Path) -> None:
    package = tmp_path / "thing"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from thing.b import x\n")
    (package / "b.py").write_text("import thing.c\n")
    (package / "c.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from thing import a\n"
    )
    assert circles(imports_of(package)) == [["thing.a", "thing.b", "thing.c"]]
