"""The pages of the guide as text: which there are, their sections, where their links lead.

1. A page is a Markdown file of this folder; ``README.md`` says in which order they stand.
2. Headings are looked for outside of code, where a comment may look like one.
3. A link is said in the words of the terminal: to another page as the command that shows it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

FOLDER: Final = Path(__file__).parent
INDEX: Final = "README.md"
COMMAND: Final = "openiap-worker guide"

_LINK: Final = re.compile(r"\[(?P<text>[^\]\n]+)\]\((?P<target>[^)\s]+)\)")
_FENCE: Final = re.compile(r"(```.*?^```)", re.DOTALL | re.MULTILINE)
_ENTRY: Final = re.compile(r"^- \[[^\]]+\]\((?P<file>[\w-]+)\.md\): (?P<line>.+)$")


@dataclass(frozen=True)
class Heading:
    """A heading of a page.

    Attributes:
        line: the number of its line, from 0.
        level: 1 for the page's title.
        text: without the marks before it.
    """

    line: int
    level: int
    text: str

    @property
    def anchor(self) -> str:
        """What a link names it by: as GitHub makes it."""
        return re.sub(r"[^\w\- ]", "", self.text.lower()).replace(" ", "-")


def pages() -> dict[str, Path]:
    """Return the pages by name, in the order of the index; what it lacks stands at the end."""
    found = {path.stem: path for path in sorted(FOLDER.glob("*.md")) if path.name != INDEX}
    listed = [name for _, entries in index() for name, _ in entries if name in found]
    return {name: found[name] for name in dict.fromkeys([*listed, *found])}


def index() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the index: each group's heading, with the name and the line of its pages."""
    groups: list[tuple[str, list[tuple[str, str]]]] = []
    for line in (FOLDER / INDEX).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            groups.append((line.removeprefix("## "), []))
        elif groups and (entry := _ENTRY.match(line)):
            groups[-1][1].append((entry["file"], entry["line"].replace("`", "")))
    return groups


def title_of(text: str) -> str:
    """Return a page's title, which is its first line."""
    return text.partition("\n")[0].removeprefix("#").strip()


def headings_of(text: str) -> Iterator[Heading]:
    """Return a page's headings in order."""
    code = False
    for number, line in enumerate(text.splitlines()):
        if line.startswith("```"):
            code = not code
        elif not code and (found := re.match(r"(#{1,6}) +(\S.*)", line)):
            yield Heading(number, len(found[1]), found[2].strip())


def section_of(text: str, wanted: str) -> str:
    """Return a page's part under a heading, with the headings below it, or "" for none.

    Args:
        wanted: the heading, its anchor, or a part of it; capitals do not matter. Where several fit,
            the one that is just this comes first, then the first one.
    """
    headings = list(headings_of(text))
    low = wanted.lower().removeprefix("#")
    found = next((one for one in headings if low in (one.text.lower(), one.anchor)), None)
    below = [one for one in headings if one.level > 1]
    found = found or next((one for one in below if low in one.text.lower()), None)
    if found is None:
        return ""
    lines = text.splitlines()
    after = (one.line for one in headings if one.line > found.line and one.level <= found.level)
    return "\n".join(lines[found.line : next(after, len(lines))]).rstrip()


def for_terminal(text: str) -> str:
    """Return a page's Markdown with links that can be followed in a terminal."""
    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(_said, part) for part in parts)


def _said(link: re.Match[str]) -> str:
    text, target = link["text"], link["target"]
    path, _, anchor = target.partition("#")
    if "://" in target:
        return link[0]
    if not path:
        return text
    if "/" not in path and path != INDEX:
        page = path.removesuffix(".md")
        return f"{text} (`guide {page}{f' {anchor}' if anchor else ''}`)"
    place = str(PurePosixPath(*[part for part in path.split("/") if part != ".."]))
    return text if place in text else f"{text} ({place})"
