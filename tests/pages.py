"""The pages that users read: where they are, and the blocks of code on them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
GUIDE: Final = ROOT / "worker" / "cli" / "guide"
PAGES: Final = {
    "README": ROOT / "README.md",
    "handlers/README": ROOT / "handlers" / "README.md",
    "guide/README": GUIDE / "README.md",
    **{path.stem: path for path in sorted(GUIDE.glob("*.md")) if path.stem != "README"},
}
"""The pages by name; those of the guide by the name that the command shows them by."""

_FENCE: Final = re.compile(r"(?m)^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL)
_HEADING: Final = re.compile(r"(?m)^#{1,4} (?P<title>.+)$")


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        page: the page's name.
        section: the heading above it; "" where that is the page's title.
        number: which block of its language in that section, from 1.
    """

    page: str
    section: str
    number: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """``page: section``, and the number of a later one of the section."""
        place = f"{self.page}: {self.section}" if self.section else self.page
        return f"{place} {self.number}" if self.number > 1 else place


def blocks(language: str) -> dict[str, Block]:
    """Return all blocks of a language by name."""
    return {block.name: block for page in PAGES for block in blocks_of(page, language)}


def blocks_of(page: str, language: str) -> Iterator[Block]:
    """Return a page's blocks of a language in their order."""
    text = PAGES[page].read_text(encoding="utf-8")
    seen: dict[str, int] = {}
    for found in _FENCE.finditer(text):
        if found["language"] != language:
            continue
        above = headings(text[: found.start()])
        section = above[-1] if len(above) > 1 else ""
        seen[section] = seen.get(section, 0) + 1
        yield Block(page, section, seen[section], language, found["text"])


def headings(text: str) -> list[str]:
    """Return the headings of a page; a comment in a block of code is none."""
    return [found["title"] for found in _HEADING.finditer(_FENCE.sub("", text))]
