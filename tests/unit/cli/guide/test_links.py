"""Links between pages lead somewhere: on GitHub, and in the terminal."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.cases import each
from tests.pages import GUIDE, PAGES, ROOT
from worker.cli.guide.pages import for_terminal, headings_of, index, pages, section_of

DOCUMENTS = [
    *PAGES.values(),
    ROOT / "worker" / "README.md",
    *sorted((ROOT / "tests").rglob("*.md")),
]
FENCE = re.compile(r"(?ms)^```.*?^```$|`[^`\n]*`")
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")


def links(path: Path) -> set[str]:
    return set(LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))))


def anchors(path: Path) -> set[str]:
    return {one.anchor for one in headings_of(path.read_text(encoding="utf-8"))}


def broken(path: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    found = []
    for link in sorted(links(path)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        there = target.exists() and target.is_relative_to(ROOT)
        if not there or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@each("path", DOCUMENTS)
def test_every_link_leads_somewhere(path: Path) -> None:
    assert broken(path) == []


def test_a_broken_link_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# A b\n[x](#a-b) [y](#c) [z](no.md) `[q](no.md)`\n```\n# C\n[w](no.md)\n```\n")
    assert broken(page) == ["#c", "no.md"]


def test_every_page_is_in_the_index_and_on_the_main_page() -> None:
    names = {path.stem for path in GUIDE.glob("*.md")} - {"README"}
    listed = [name for _, entries in index() for name, _ in entries]
    assert sorted(listed) == sorted(names)
    assert list(pages()) == listed
    assert {f"worker/cli/guide/{name}.md" for name in names} <= {
        link.partition("#")[0] for link in links(ROOT / "README.md")
    }


def test_what_the_terminal_says_of_a_link_is_a_command_that_works() -> None:
    for name, path in pages().items():
        shown = for_terminal(path.read_text(encoding="utf-8"))
        assert not re.search(r"\]\((?!https?://)", FENCE.sub("", shown)), name
        for page, anchor in re.findall(r"`guide ([\w-]+)(?: ([\w-]+))?`", shown):
            text = pages()[page].read_text(encoding="utf-8")
            assert not anchor or section_of(text, anchor), (name, page, anchor)


def test_the_main_page_is_short_and_names_every_dependency() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    told = text.partition("\n## Dependencies")[2].partition("\n## ")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[<>=;\[ ]", one)[0] for one in project["dependencies"]]
    assert [name for name in names if f"`{name}" not in told] == []
